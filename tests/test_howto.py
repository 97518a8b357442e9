"""The how-to pages: everything they show is carried out, in order, in an empty folder."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT
from pages import Walk, blocks, in_process
from soundspot.data.datasets import registry
from soundspot.evaluation.metrics.registry import METRICS
from soundspot.methods import METHODS
from soundspot.models.encoders import ENCODERS

PAGES = sorted((ROOT / "docs" / "howto").glob("*.md"))
HOW_TO = [page for page in PAGES if "tests/test_howto.py" in page.read_text(encoding="utf-8")]
SLOW = {"review"}  # locates forty images by the starter


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in; what is registered and imported there is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for entries in (METHODS, ENCODERS, METRICS):
        monkeypatch.setattr(entries, "_entries", dict(entries._entries))
    monkeypatch.setattr(registry, "_DATASETS", dict(registry._DATASETS))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] if page.stem in SLOW else [], id=page.stem) for page in HOW_TO],
)
def test_a_how_to_page_works(page: Path, elsewhere: Path) -> None:
    assert Walk(elsewhere, in_process).page(page) >= 3


def test_pages_with_code_say_that_it_is_run() -> None:
    """Those of the others have placeholders alone, which the parsers read."""
    run = {"python", "console"}
    for page in set(PAGES) - set(HOW_TO):
        assert not run & {block.language for block in blocks(page.read_text(encoding="utf-8"))}, page.name
