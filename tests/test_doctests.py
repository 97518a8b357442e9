"""Examples in docstrings say what they print.

They are found in the source, not in modules: what checks annotations in tests wraps functions, and doctest passes over
functions that come from elsewhere.
"""

import ast
import doctest
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from conftest import ROOT

SOURCE = ROOT / "src"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def documented() -> Iterator[tuple[Path, str, int, str]]:
    """File, qualified name, line and docstring of everything that has an example."""
    for file in sorted((SOURCE / "soundspot").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if ">>>" in text:
            yield from _within(file, ast.parse(text), "")


def _within(file: Path, node: ast.AST, name: str) -> Iterator[tuple[Path, str, int, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            inner = f"{name}.{child.name}".lstrip(".")
            docstring = ast.get_docstring(child)
            if docstring and ">>>" in docstring:
                yield file, inner, child.lineno, docstring
            yield from _within(file, child, inner)


EXAMPLES = [*documented()]


@pytest.mark.parametrize(("file", "name", "line", "docstring"), EXAMPLES, ids=[one[1] for one in EXAMPLES])
def test_an_example_prints_what_it_says(file: Path, name: str, line: int, docstring: str) -> None:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    module = import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    test = doctest.DocTestParser().get_doctest(docstring, dict(vars(module)), name, str(file), line)
    told: list[str] = []
    failed, tried = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=told.append)
    assert tried
    assert not failed, "".join(told)


def test_the_public_names_have_examples() -> None:
    named = {name for _, name, _, _ in EXAMPLES}
    assert named >= {
        "create",
        "list_methods",
        "open_dataset",
        "read_recipe",
        "LocalizationMap",
        "LocalizationMap.mask",
        "iou",
        "info_nce",
    }
