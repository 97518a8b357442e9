"""What the README says is what was measured, and its example runs on what the demo leaves behind."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from conftest import ROOT


@pytest.fixture(autouse=True)
def _beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts find what they share, as they do when they are run."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))


def example(name: str) -> ModuleType:
    """A script of examples/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readmes_tables_are_the_reports() -> None:
    results = example("results")
    assert results.MARKS.shown(ROOT / "README.md") == results.rendered().strip()


def test_the_table_of_methods_is_what_was_measured() -> None:
    table = example("table_page")
    record = table.recorded()
    for file, text in ((table.PAGE, table.page(record)), (table.README, table.table(record))):
        assert table.MARKS.shown(file) == text.strip(), file.name


def test_scoring_the_table_again_keeps_what_is_known_of_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = example("table")
    monkeypatch.setattr(table, "RUNS", tmp_path)
    monkeypatch.setattr(table.Localizer, "load", lambda path: path)
    monkeypatch.setattr(table, "scores", lambda localizer, kind: f"{kind} of {localizer.parent.name}")
    (tmp_path / "toy").mkdir()
    (tmp_path / "minutes").write_text("12.5")
    known = {"steps": 300, "weights": 7, "training": 2.5}
    (tmp_path / "toy/result.json").write_text(json.dumps(known | {"tests": {}, "scoring": 9}))
    table.score_again("toy")
    tests = {kind: f"{kind} of toy" for kind in table.TESTS}
    assert table.read("toy") == known | {"tests": tests, "scoring": 0}
    assert table.spent(0) == 12.5


def test_the_costs_are_what_was_measured() -> None:
    scale = example("scale")
    assert scale.MARKS.shown(scale.PAGE) == scale.rendered().strip()


def test_the_rule_book_is_that_of_the_protocols() -> None:
    protocols = example("protocols")
    assert protocols.MARKS.shown(protocols.PAGE) == protocols.rendered().strip()


def test_the_readme_names_every_method_with_its_page_and_says_things_once() -> None:
    from whence.methods import METHODS

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in METHODS:
        assert re.search(rf"^\| \[`{name}`\]\(docs/methods/{name}.md\) \| .+ \|", readme, re.MULTILINE), name
    for once in ("3,709", "564 of the 740", "docs/ceilings.md"):
        assert readme.count(once) == 1, once
