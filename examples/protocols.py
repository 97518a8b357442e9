"""Writes the tables of docs/protocols.md from the protocols themselves: python examples/protocols.py"""

from pathlib import Path

from marks import Marks
from whence.evaluation import rulebook
from whence.evaluation.protocols import PROTOCOLS
from whence.evaluation.tables import markdown

PAGE = Path(__file__).resolve().parent.parent / "docs" / "protocols.md"
MARKS = Marks("tables", "protocols")


def rendered() -> str:
    """The tables, and what their words mean."""
    sources = [["protocol", "is", "follows"], *([p.name, p.summary, p.source] for p in PROTOCOLS.values())]
    meanings = [f"- **{column}**: {meaning}" for column, meaning in rulebook.COLUMNS.items()]
    parts = [
        markdown(rulebook.table()),
        "\n".join(meanings),
        markdown(sources),
        "What each released method was fed, by preset (`name@repository`: as another repository feeds it):",
        markdown(rulebook.front_ends()),
        "What public encoders are fed ([encoders](encoders.md)):",
        markdown(rulebook.front_ends(of_encoders=True)),
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    MARKS.fill(PAGE, rendered())
