"""Writes docs/table.md and its figure from docs/table/results.json, which `make table` measured.

python examples/table_page.py
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from marks import Marks
from soundspot.evaluation.report.tables import format_markdown_table
from soundspot.methods import METHODS

ROOT = Path(__file__).resolve().parent.parent
DOCS, PAGE = ROOT / "docs" / "table", ROOT / "docs" / "table.md"
RESULTS = DOCS / "results.json"
MARKS = Marks("table", "table_page")

Record = dict[str, Any]
COLUMNS = {  # a heading, the test, the score
    "single cIoU": ("single", "ciou_adaptive"),
    "interactive cIoU": ("interactive", "ciou_adaptive"),
    "interactive IIoU": ("interactive", "iiou_adaptive"),
    "extended AP": ("extended", "ap_adaptive"),
    "extended max-F1": ("extended", "max_f1_adaptive"),
    "sound to image R@1": ("single", "recall_a2i_category@1"),
    "image to sound R@1": ("single", "recall_i2a_category@1"),
}
MIXTURES = {  # images asked with all of their sounds at once
    "cIoU, adaptive": ("interactive", "ciou_mixture_adaptive"),
    "IoU 0.3 (published)": ("interactive", "ciou_mixture@0.3"),
    "CAP (published)": ("interactive", "cap_mixture"),
    "PIAP (published)": ("interactive", "piap_mixture"),
}
FREE = ("centered box", "whole image", "chance", "ceiling")  # the same whatever the model
DEAF = ("object saliency", "muted", "noise", "swapped audio")  # a model's answers without the right sound


def main() -> None:
    record = recorded()
    draw(record)
    MARKS.fill(PAGE, page(record))


def year(name: str) -> int:
    """Return the year of a method's publication, from the reference at the head of its file; 9999: no method."""
    text = sys.modules[METHODS[name].__module__].__doc__ if name in METHODS else ""
    match = re.search(r"\b20\d\d\b", text or "")
    return int(match[0]) if match else 9999


def recorded() -> Record:
    found: Record = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def table(record: Record) -> str:
    where = record["machine"]
    under = (
        f"Percent with 95 % intervals over images; one training each, {record['steps']} steps. "
        f"{record['minutes']:g} minutes in all on {where['cores']} cores ({where['cpu']}), torch {record['torch']}, "
        f"{record['date']}."
    )
    return f"{format_markdown_table(list(lines(record)))}\n\n{under}"


def page(record: Record) -> str:
    methods = record["methods"]
    told = [f"- **{name}**: {methods[name]['tests']['interactive']['verdict']}" for name in in_order(methods)]
    costs = [["", "weights", "training", "scoring"]]
    for name in in_order(methods):
        found = methods[name]
        costs.append([name, f"{found['weights']:,}", f"{found['training']:.1f}", f"{found['scoring']:.1f}"])
    parts = {
        "Without the right sound (cIoU)": format_markdown_table(list(deaf_lines(record))),
        "Several sources at once (interactive scenes)": format_markdown_table(list(mixture_lines(record))),
        "Does it listen? (interactive scenes)": "\n".join(told),
        "Minutes of one core": format_markdown_table(costs),
    }
    return "\n\n".join([table(record), *(f"### {head}\n\n{text}" for head, text in parts.items())])


def in_order(names: Iterable[str]) -> list[str]:
    """As they were published; by name where we do not know."""
    return sorted(names, key=lambda name: (year(name), name))


def lines(record: Record) -> Iterator[list[str]]:
    """A line for each method, as they were published, then answers that need none."""
    yield ["", *COLUMNS]
    methods = record["methods"]
    for name in in_order(methods):
        yield [f"**{name}**", *(cell(score(methods[name], *column)) for column in COLUMNS.values())]
    for row in FREE:
        yield [row, *(cell(score(methods["alignment"], *column, row=row)) for column in COLUMNS.values())]


def deaf_lines(record: Record) -> Iterator[list[str]]:
    tests = ("single", "interactive")
    yield ["", *(f"{test}: {row}" for test in tests for row in ("own sound", *DEAF))]
    for name in in_order(record["methods"]):
        found = record["methods"][name]
        cells = (score(found, test, "ciou_adaptive", row=row) for test in tests for row in ("model", *DEAF))
        yield [f"**{name}**", *(cell(one, ends=False) for one in cells)]


def mixture_lines(record: Record) -> Iterator[list[str]]:
    methods = record["methods"]
    yield ["", *MIXTURES]
    for name in in_order(methods):
        yield [f"**{name}**", *(cell(score(methods[name], *column)) for column in MIXTURES.values())]
    for row in ("centered box", "ceiling"):
        yield [row, *(cell(score(methods["alignment"], *column, row=row)) for column in MIXTURES.values())]


def score(found: Record, test: str, key: str, row: str = "model") -> Record:
    """Value and interval; empty where a row has no such score."""
    return found["tests"][test].get(row, {}).get(key, {})


def cell(interval: Record, ends: bool = True) -> str:
    """`63.8 (59.6, 68.0)`, or a dash."""
    if not interval:
        return "–"
    value, low, high = (f"{100 * interval[key]:.1f}" for key in ("value", "low", "high"))
    return f"{value} ({low}, {high})" if ends and low != high else value


def draw(record: Record) -> None:
    """Interactive scores over single-source ones, and over retrieval."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10.5, 5.2), sharey=True, layout="constrained")
    for axis, heading in zip(axes, ("single cIoU", "sound to image R@1"), strict=True):
        points = {}
        for name, found in record["methods"].items():
            across, up = score(found, *COLUMNS[heading]), score(found, *COLUMNS["interactive IIoU"])
            axis.errorbar(across["value"], up["value"], _ends(up), _ends(across), fmt="o", lw=0.8, ms=4)
            points[name] = across["value"], up["value"]
        axis.set_xlabel(heading)
        axis.set_xlim(0, 1.15)
        axis.spines[["top", "right"]].set_visible(False)
        for name, (x, y) in _apart(points).items():
            axis.annotate(name, points[name], (x + 0.02, y), fontsize=7.5, arrowprops={"arrowstyle": "-", "lw": 0.3})
    axes[0].set_ylabel("interactive IIoU")
    figure.savefig(DOCS / "claim.png", dpi=110)
    plt.close(figure)


def _apart(points: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Where the names of points stand, none on another: from below, each as low as those before it leave room."""
    wide, tall = 0.2, 0.026
    placed: dict[str, tuple[float, float]] = {}
    for name, (x, y) in sorted(points.items(), key=lambda one: one[1][1]):
        while any(abs(x - a) < wide and abs(y - b) < tall for a, b in placed.values()):
            y += tall / 4
        placed[name] = x, y
    return placed


def _ends(interval: Record) -> list[list[float]]:
    """Lengths of an error bar, down and up."""
    return [[max(0.0, interval["value"] - interval["low"])], [max(0.0, interval["high"] - interval["value"])]]


if __name__ == "__main__":
    main()
