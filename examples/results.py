"""Writes the tables of docs/results.md from docs/results/*.json: report.json files of `soundspot evaluate`.

python examples/results.py [FOLDER NAME TITLE]     # first takes in the report.json of a report folder
"""

import json
import sys
from pathlib import Path
from typing import Any

from marks import Marks

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "docs" / "results", ROOT / "docs" / "results.md"
MARKS = Marks("results", "results")
KEYS = ("ciou_adaptive", "iiou_adaptive", "ciou", "iiou", "mean_iou", "recall_a2i_category@1", "recall_i2a_category@1")


def table(report: dict[str, Any]) -> list[str]:
    """One report: a row for the model, for each answer that needs none, and for the ceiling; percent with intervals."""
    keys = [key for key in KEYS if any(reached(row["metrics"].get(key)) for row in report["rows"])]
    lines = [f"| | {' | '.join(keys)} |", f"| --- |{' ---: |' * len(keys)}"]
    for row in report["rows"]:
        name = f"**{row['name']}**" if row["kind"] == "model" else row["name"]
        lines.append(f"| {name} | {' | '.join(cell(row['metrics'].get(key)) for key in keys)} |")
    return lines


def reached(interval: dict[str, float | None] | None) -> bool:
    """Whether a score is above 0: one that even the ceiling does not reach tells nothing and is left out."""
    return interval is not None and bool(interval["value"])


def cell(interval: dict[str, float | None] | None) -> str:
    """`23.4 (20.1, 26.6)`, or a dash where the row has no such score."""
    if interval is None or interval["value"] is None:
        return "–"
    ends = [interval["low"], interval["high"]]
    known = [f"{100 * end:.1f}" for end in ends if end is not None]
    return f"{100 * interval['value']:.1f}" + (
        f" ({', '.join(known)})" if len(known) == 2 and known[0] != known[1] else ""
    )


def rendered(results: Path = RESULTS) -> str:
    """All reports, in the order of their names: `1-demo.json` has the title of its `title` key."""
    parts = []
    for path in sorted(results.glob("*.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        head = f"**{report['title']}** ({report['n']} items, protocol `{report['protocol']['name']}`)"
        parts += [head, "", *table(report), ""]
        if heard := report.get("sound_sensitivity"):
            parts += [heard["verdict"], ""]
    return "\n".join(parts)


def take_in(folder: Path, name: str, title: str) -> None:
    """Keeps a report folder's report.json as docs/results/NAME.json."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    del report["other_protocols"]  # the page shows one protocol
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"title": title, **report}, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    if len(sys.argv) > 1:
        folder, name, title = sys.argv[1:]
        take_in(Path(folder), name, title)
    MARKS.fill(PAGE, rendered())


if __name__ == "__main__":
    main()
