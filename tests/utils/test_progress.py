"""Progress: what has a bar, from when on, and that pipes get none of it."""

import sys
from collections.abc import Callable

import pytest
import rich.console

from soundspot.utils import progress
from soundspot.utils.progress import progress_bar, show_progress, track


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What a terminal got since the last call, where bars appear at once."""
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setattr(rich.console.Console, "is_terminal", property(lambda console: True))
    return lambda: capsys.readouterr().err


def test_only_what_a_command_tracks_has_a_bar(drawn: Callable[[], str]) -> None:
    assert list(track(range(3), "quiet")) == [0, 1, 2]
    assert drawn() == ""
    with show_progress():
        assert list(track(range(3), "counted")) == [0, 1, 2]
    text = drawn()
    assert ("counted" in text, "3/3" in text) == (True, True)
    assert list(track(range(2), enabled=True)) == [0, 1]
    assert "2/2" in drawn()


def test_the_outermost_loop_has_the_bar(drawn: Callable[[], str]) -> None:
    with show_progress():
        for _ in track(range(2), "outer"):
            list(track(range(7), "inner"))
        text = drawn()
        assert ("2/2" in text, "inner" in text) == (True, False)
        list(track(range(7), "later"))
    assert "7/7" in drawn()


def test_batches_count_what_they_hold(drawn: Callable[[], str]) -> None:
    batches = iter([[1, 2, 3], [4, 5]])
    assert len(list(track(batches, "samples", total=5, enabled=True, weight=len))) == 2
    assert "5/5" in drawn()


def test_short_work_and_pipes_have_no_bar(drawn: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY", 2.0)
    list(track(range(3), "short", enabled=True))
    assert drawn() == ""
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setattr(rich.console.Console, "is_terminal", property(lambda console: False))
    with progress_bar("piped") as on_progress:
        on_progress(1, 2)
    assert drawn() == ""


def test_what_is_printed_in_the_block_stays_on_stdout(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setattr(rich.console.Console, "is_terminal", property(lambda console: True))
    with progress_bar("work") as on_progress:
        on_progress(1, 2)
        sys.stdout.write("result\n")
    captured = capsys.readouterr()
    assert (captured.out, "1/2" in captured.err) == ("result\n", True)
