"""Writes what docs/scale.md says of costs from the newest benchmarks/results/*.json: python examples/scale.py

Of each machine the newest file; `make speed` writes it.
"""

import json
from pathlib import Path
from typing import Any

from marks import Marks
from soundspot.evaluation.report.tables import format_markdown_table

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "scale.md"
MARKS = Marks("costs", "scale")


def newest() -> dict[str, Any]:
    """The last run that measured how costs grow too."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    whole = [one for one in found if one.get("growth")]
    if not whole:
        raise SystemExit(f"{RESULTS}: found no results that tell how costs grow, expected some. Run `make speed`")
    return whole[-1]


def rendered() -> str:
    """Ratios, and how costs grow."""
    run = newest()
    machine, versions = run["machine"], run["versions"]
    gpu = machine["gpu"] or "no GPU"
    parts = [
        f"Each pair measured in one run, on {run['date']}: {machine['cpu']}, {machine['cores']} cores, {gpu}; "
        f"torch {versions['torch']}, NumPy {versions['numpy']}, Python {versions['python']}.",
        format_markdown_table([["what", "plain way", "ours", "ratio", "aim"], *(line(row) for row in run["rows"])]),
        notes(run["rows"]),
        "How each cost grows, and the exponent of its size that fits best:",
        format_markdown_table(
            [["what", "sizes", "seconds", "peak MB", "seconds grow as"], *(grown(one) for one in run["growth"])]
        ),
    ]
    return "\n\n".join(parts)


def line(row: dict[str, Any]) -> list[str]:
    """One comparison."""
    aim = (
        "" if row["target"] is None else f"{row['target']:.2g}" + (" (missed)" if row["ratio"] < row["target"] else "")
    )
    return [
        row["what"],
        f"{shown(row['plain'])} {row['unit']}",
        f"{shown(row['ours'])} {row['unit']}",
        f"{row['ratio']:.2f}",
        aim,
    ]


def shown(number: float) -> str:
    """Three digits."""
    return f"{number:.3g}" if number < 1000 else f"{number:,.0f}"


def notes(rows: list[dict[str, Any]]) -> str:
    """How each was measured, where that is not plain."""
    return "\n".join(f"- {row['what']}: {row['note']}" for row in rows if row["note"])


def grown(cost: dict[str, Any]) -> list[str]:
    """One cost at its sizes."""
    sizes = ", ".join(f"{size:,}" for size in cost["sizes"])
    seconds = ", ".join(f"{one:.3g}" for one in cost["seconds"])
    memory = ", ".join(f"{one:,.0f}" for one in cost["megabytes"])
    return [cost["what"], f"{sizes} {cost['unit']}", seconds, memory, f"n^{cost['exponent']:.2f}"]


if __name__ == "__main__":
    MARKS.fill(PAGE, rendered())
