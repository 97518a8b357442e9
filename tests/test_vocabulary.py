"""No private language: names are the field's words, in US spelling (docs/glossary.md has them)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT

SOURCE = ROOT / "src" / "soundspot"
FILES = sorted(SOURCE.rglob("*.py"))

# No name by themselves, nor the main (last) word of one: they say nothing of the thing that is named.
PRIVATE = {
    "told",
    "found",
    "heard",
    "seen",
    "asked",
    "shown",
    "said",
    "kept",
    "beside",
    "alone",
    "together",
    "one",
    "some",
    "few",
    "every",
    "whole",
    "plain",
    "part",
    "parts",
    "place",
    "places",
    "way",
    "ways",
    "what",
    "how",
    "bring",
    "suit",
    "settle",
    "settled",
    "once",
    "reel",
    "leg",
    "legs",
    "ticket",
    "board",
    "shelf",
    "desk",
    "tower",
    "towers",
}
# Anywhere in a name: one thing has one word.
ALIASES = {
    "picture": "image",
    "pictures": "images",
    "truths": "ground_truths",
    "hear": "predict",
    "whence": "soundspot",
}
BRITISH = re.compile(
    r"neighbour|colour|centre(?!d?_?crop)|catalogue|localis|normalis|binaris|quantis|initialis|optimis|behaviour|grey|"
    r"labell|summaris|recognis|serialis|visualis|regularis|generalis|minimis|maximis|randomis|analyse|honour|favour"
)
EXCEPTIONS: dict[str, str] = {
    "all_maps": "a public name of DESIGN: every map that a method makes",
    "all": "torch and NumPy call it so",
    "HearTheFlow": "the name of its paper",
}


def words_of(name: str) -> list[str]:
    """Split an identifier into lower-case words: `ImageCode` and `image_code` are the same two."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def complaint(name: str) -> str:
    """Return what is wrong with a name; empty where nothing is."""
    words = words_of(name)
    if name in EXCEPTIONS or not words:
        return ""
    if words[-1] in PRIVATE:
        return f"{name}: {words[-1]!r} says nothing of the thing"
    for word in words:
        if word in ALIASES:
            return f"{name}: {word!r} is called {ALIASES[word]!r}"
    return f"{name}: US spelling" if BRITISH.search(name.lower()) else ""


def names_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of every definition, parameter, attribute and binding of a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.lineno, node.name


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_names_are_the_words_of_the_field(file: Path) -> None:
    names = [(0, file.stem), *names_in(ast.parse(file.read_text(encoding="utf-8")))]
    wrong = {f"{line}: {text}" for line, name in names if (text := complaint(name))}
    assert not wrong, "\n".join(sorted(wrong, key=lambda text: int(text.partition(":")[0])))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_docstrings_begin_with_what_they_do(file: Path) -> None:
    """The first line is an imperative verb or a noun phrase with its object, never a pronoun or a question word."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    first = [
        (node.lineno, (ast.get_docstring(node) or "").partition("\n")[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    lazy = re.compile(r"(What|How|The same|Whose|Whether|Which|Where|Who|It|Itself|Its|Their|Of|By|One|Some|As|Same)\b")
    wrong = [f"{line}: {text}" for line, text in first if lazy.match(text)]
    assert not wrong, "\n".join(wrong)


def test_a_private_word_would_be_found() -> None:
    assert all(map(complaint, ("told", "ImagePart", "neighbour_table", "picture_size")))
    assert not any(map(complaint, ("image", "neighbors", "one_hot")))
