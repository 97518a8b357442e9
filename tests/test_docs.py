"""What pages say was measured is what was measured."""

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from conftest import ROOT
from pages import blocks, commands


@pytest.fixture(autouse=True)
def _beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts find what they share, as they do when they are run."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))


def script(name: str) -> ModuleType:
    """A script of examples/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_results_are_the_reports() -> None:
    results = script("results")
    assert results.MARKS.shown(results.PAGE) == results.rendered().strip()


def test_the_costs_are_what_was_measured() -> None:
    scale = script("scale")
    assert scale.MARKS.shown(scale.PAGE) == scale.rendered().strip()


def test_the_rule_book_is_that_of_the_protocols() -> None:
    protocols = script("protocols")
    assert protocols.MARKS.shown(protocols.PAGE) == protocols.rendered().strip()


def test_the_names_of_released_weights_are_those_of_the_importers() -> None:
    weights = script("released_weights")
    assert weights.MARKS.shown(weights.PAGE) == weights.rendered().strip()


def test_the_table_of_methods_in_the_readme_is_that_of_the_methods() -> None:
    methods = script("method_table")
    assert methods.MARKS.shown(methods.PAGE) == methods.rendered().strip()


def test_the_readme_says_things_once() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for once in ("3,709", "564 of the 740", "docs/ceilings.md"):
        assert readme.count(once) == 1, once


SHOWN = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINE = re.compile(r"^(?:[A-Z_]+=\S+ )?(?:torchrun .* -m )?(soundspot .*)$", re.MULTILINE)


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_shows_can_be_given(page: Path) -> None:
    """Read by the parsers, not run: which command, which options, of which type."""
    rest = page.read_text(encoding="utf-8")
    for block in blocks(rest):
        if block.language in ("sh", "console"):
            rest = rest.replace(block.text, "")
            lines = [command.line for command in commands(block.text)] if block.language == "console" else [block.text]
            for line in LINE.findall("\n".join(lines)):
                read(line)
    bare = LINE.findall(re.sub(r"^ *(?:\$ )?", "", rest, flags=re.MULTILINE))
    assert not bare, f"{page.name}: commands that no test reads; let their block begin with ```sh: {bare}"


def test_every_command_has_an_example_that_can_be_given() -> None:
    for name, parser in script("command_pages").parsers():
        assert parser.example.startswith(f"soundspot {name}"), (
            f"`soundspot {name}` has no example at the end of its docstring"
        )
        read(parser.example)


def read(line: str) -> None:
    """Reads a command line; a mistake in it fails the test with what the parser says."""
    from soundspot.cli.main import GROUPS, find_command, parse_command
    from soundspot.config.load import read_recipe

    words = shlex.split(re.sub(r"--import \S+", "", line), comments=True)[1:]  # files of a page's reader
    if {"--help", "--version"} & set(words):
        return
    name = find_command(words)
    assert name not in GROUPS, f"{line}: no command"
    _, options = parse_command(name, words[len(name.split()) :])
    if name == "train" and not Path(options["recipe"]).name.isupper() and not Path(options["recipe"]).suffix:
        read_recipe(options["recipe"], options["overrides"])


def test_every_rule_of_media_names_tests_that_there_are() -> None:
    rules = [line for line in (ROOT / "docs" / "media.md").read_text().splitlines() if line.startswith("| **")]
    file = ""
    for rule in rules:
        named = re.findall(r"`((?:[\w/]+\.py)?)(?:::(\w+))?`", rule.rpartition(" | ")[2])
        assert named, rule
        for path, function in named:
            file = path or file
            content = (ROOT / "tests" / file).read_text()
            assert not function or f"def {function}(" in content, f"{file}::{function}"
