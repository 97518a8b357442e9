"""Writes the tables of docs/protocols.md from the protocols themselves: python examples/protocols.py"""

from pathlib import Path

from marks import Marks
from soundspot.evaluation.protocols import table
from soundspot.evaluation.protocols.presets import PROTOCOLS
from soundspot.evaluation.report.tables import format_markdown_table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "protocols.md"
MARKS = Marks("tables", "protocols")


def rendered() -> str:
    """The tables, and what their words mean."""
    sources = [["protocol", "is", "follows"], *([p.name, p.summary, p.source] for p in PROTOCOLS.values())]
    meanings = [f"- **{column}**: {meaning}" for column, meaning in table.COLUMN_DESCRIPTIONS.items()]
    parts = [
        format_markdown_table(table.protocol_table()),
        "\n".join(meanings),
        format_markdown_table(sources),
        "What each released method was fed, by preset (`name@repository`: as another repository feeds it):",
        format_markdown_table(table.front_end_table()),
        "What public encoders are fed ([encoders](encoders.md)):",
        format_markdown_table(table.front_end_table(encoders=True)),
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    MARKS.fill(PAGE, rendered())
