"""Writes the names of docs/released-weights.md from the importers themselves: python examples/released_weights.py"""

import re
from pathlib import Path

from marks import Marks
from soundspot.evaluation.report.tables import format_markdown_table
from soundspot.importers import IMPORTERS
from soundspot.importers.release import Release

PAGE = Path(__file__).resolve().parent.parent / "docs" / "released-weights.md"
MARKS = Marks("names", "released_weights")


def group_names(release: Release) -> list[list[str]]:
    """A row for each prefix: number of its weights, the first of them with its shape, and our prefix."""
    groups: dict[str, list[str]] = {}
    for name, shape in release.expected_weights().items():
        released, local = next((pair for pair in release.prefixes if name.startswith(pair[0])), (name, name))
        if "_step." in released:  # a batch norm for each step of a cycle
            released, local = re.sub(r"\d+\.$", "N.", released), re.sub(r"\d+\.\d+\.$", "N.N.", local)
        row = groups.setdefault(released, [])
        row.append(f"{name}` {'x'.join(map(str, shape)) or 'one value'}|{local}")
    rows = []
    for prefix, weights in groups.items():
        first, local = weights[0].split("|")
        rows.append([f"`{prefix}`", str(len(weights)), f"`{first}", f"`{local}`"])
    return rows


def rendered() -> str:
    """A section for each layout of names."""
    methods: dict[tuple[object, ...], list[str]] = {}
    for name, release in IMPORTERS.items():
        methods.setdefault((release.prefixes, release.marker_prefixes, release.unused_prefixes), []).append(name)
    sections = []
    for names in methods.values():
        release = IMPORTERS[names[0]]
        lines = [f"### {', '.join(names)}", f"{len(release.expected_weights())} weights."]
        if release.files:
            files = ", ".join(f"`{file}` (below as `{prefix}/`)" for prefix, file in release.files)
            lines[1] += f" A folder of {files}."
        if release.marker_prefixes:
            lines[1] += f" Must be there too, and is not used: {', '.join(f'`{x}`' for x in release.marker_prefixes)}."
        if release.unused_prefixes:
            lines[1] += f" May be there, and is not used: {', '.join(f'`{x}`' for x in release.unused_prefixes)}."
        table = [["names that begin with", "weights", "first", "here"], *group_names(release)]
        sections.append("\n\n".join([*lines, format_markdown_table(table)]))
    return "\n\n".join(sections)


if __name__ == "__main__":
    MARKS.fill(PAGE, rendered())
