"""Writes the README's table of methods from the methods themselves: python examples/method_table.py"""

import re
import sys
from pathlib import Path

from marks import Marks
from soundspot.config.frontend import PRESETS
from soundspot.methods import METHODS, Method, list_methods

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "README.md"
MARKS = Marks("methods", "method_table")


def publication(method: type[Method]) -> str:
    """Return venue and year of the first paper that a method's file names; `ours` of one that says so."""
    doc = " ".join((sys.modules[method.__module__].__doc__ or "").split())
    if ". Ours." in doc:
        return "ours"
    match = re.search(r'", ([A-Z][A-Za-z ]*\d{4})', doc)
    assert match, f"{method.__module__} names no paper: expected its title in quotes, then venue and year"
    return match[1]


def supervision(name: str, method: type[Method]) -> str:
    """Return what a method learns from besides pairs, as its class and its recipes say."""
    preset = PRESETS.get(method.front_end_preset or name)
    recipes = [file.read_text(encoding="utf-8") for file in (ROOT / "recipes" / name).glob("*.yaml")]
    debug = "".join(recipe for recipe in recipes if "at toy size" in recipe)
    sources = {
        "class labels": method.learns_from == "labels",
        "clusters of its own embeddings": method.learns_from == "clusters",
        "ground truth, where there is any": method.supports_ground_truth or "train_ground_truth" in debug,
        "optical flow": preset is not None and preset.image.flow,
        "neighbors": any("semantic: true" in recipe for recipe in recipes),
    }
    return ", ".join(source for source, is_used in sources.items() if is_used)


def rendered() -> str:
    """Return the table, in the order of publication."""
    rows = []
    for name, summary in list_methods().items():
        idea = summary.partition(": ")[2].rstrip(".")
        page = ROOT / "docs" / "methods" / f"{name}.md"
        link = f"[`{name}`](docs/methods/{name}.md)" if page.is_file() else f"`{name}`"
        rows.append([link, publication(METHODS[name]), idea, supervision(name, METHODS[name])])
    rows.sort(key=lambda row: (row[1][-4:], row[0]))
    head = [["method", "published", "idea", "learns from, besides pairs"], ["---"] * 4]
    return "\n".join(f"| {' | '.join(row)} |" for row in head + rows)


if __name__ == "__main__":
    MARKS.fill(PAGE, rendered())
