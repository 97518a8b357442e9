"""The folder of the user's cache."""

from pathlib import Path

import pytest

from soundspot.utils.cache import cache_folder


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "home/.cache/soundspot"),
        ({"XDG_CACHE_HOME": "xdg"}, "xdg/soundspot"),
        ({"XDG_CACHE_HOME": "xdg", "SOUNDSPOT_CACHE": "own"}, "own"),
        ({"XDG_CACHE_HOME": "", "SOUNDSPOT_CACHE": ""}, "home/.cache/soundspot"),
    ],
)
def test_the_first_variable_that_is_set_counts(
    variables: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "SOUNDSPOT_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value) if value else "")
    assert cache_folder() == tmp_path / expected


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SOUNDSPOT_CACHE", "~/own")
    assert cache_folder() == tmp_path / "own"
