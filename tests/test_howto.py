"""The how-to pages: everything they show is carried out, in order, in an empty folder."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT
from pages import Walk, in_process
from whence.data import datasets
from whence.methods import METHODS
from whence.models.encoders import ENCODERS

HOW_TO = sorted((ROOT / "docs" / "howto").glob("*.md"))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in; what is registered and imported there is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for registry in (METHODS, ENCODERS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.setattr(datasets, "FOLDERS", dict(datasets.FOLDERS))
    monkeypatch.setattr(datasets, "_REGISTERED", {})
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_a_how_to_page_works(page: Path, elsewhere: Path) -> None:
    done = Walk(elsewhere, in_process).page(page)
    assert done >= 3 or page.stem == "cluster"
