"""What the doctor answers with: tables of what there is, and problems."""

from dataclasses import dataclass
from typing import Any

from soundspot.data.validation.problems import Problem, severity_rank

Cell = str | int | None


@dataclass(frozen=True)
class FindingsTable:
    """Rows under a head; a cell is None where a question does not arise."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def to_records(self) -> list[dict[str, Cell]]:
        """A dictionary for each row, without the cells that are None."""
        return [
            {key: cell for key, cell in zip(self.header, row, strict=True) if cell is not None} for row in self.rows
        ]


@dataclass(frozen=True)
class Findings:
    """What was recognised (`catalogue`, `lists`, `media`, a set's name), tables of it, and problems, errors first."""

    kind: str
    tables: tuple[FindingsTable, ...] = ()
    problems: tuple[Problem, ...] = ()

    def count(self, severity: str) -> int:
        """How many problems are of a severity."""
        return sum(problem.severity == severity for problem in self.problems)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        counts = {f"{severity}s": self.count(severity) for severity in ("error", "warning", "note")}
        tables = {table.title: table.to_records() for table in self.tables}
        told = {"kind": self.kind, **counts, "tables": tables, "problems": [vars(problem) for problem in self.problems]}
        if "entries" in tables:  # of a catalogue also by category
            *categories, _ = tables["entries"]
            told["counts"] = {
                row["category"]: {key: n for key, n in row.items() if n and key != "category"} for row in categories
            }
        return told


def merge_findings(*parts: Findings) -> Findings:
    """One value of several; tables of one title and head become one."""
    tables: dict[tuple[str, tuple[str, ...]], tuple[tuple[Cell, ...], ...]] = {}
    for table in (table for part in parts for table in part.tables):
        key = (table.title, table.header)
        tables[key] = (*tables.get(key, ()), *(row for row in table.rows if row not in tables.get(key, ())))
    problems = dict.fromkeys(problem for part in parts for problem in part.problems)
    kinds = dict.fromkeys(part.kind for part in parts if part.tables or part.problems)
    return Findings(
        " and ".join(kinds) or "nothing",
        tuple(FindingsTable(title, head, rows) for (title, head), rows in tables.items()),
        tuple(sorted(problems, key=severity_rank)),
    )
