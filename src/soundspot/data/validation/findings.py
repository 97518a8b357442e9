"""The results of a validation: problems, and tables of the content."""

from dataclasses import dataclass
from typing import Any, Literal

from soundspot.types import Audio

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
Cell = str | int | None


@dataclass(frozen=True)
class Problem:
    """A defect of somebody's data.

    Attributes:
        severity: `error` makes data unusable or scores dishonest, `warning` worse than they could be; `note` informs.
        location: file, entry or data set.
        message: text that says what was there and what was expected.
        remedy: sentence that says how to correct it, without a period.
    """

    severity: Severity
    location: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}. {self.remedy}."

    @classmethod
    def from_error(cls, error: Exception, default_location: str, remedy: str) -> "Problem":
        """Make a problem of severity `error` from an exception.

        Args:
            error: exception, whose text may begin with a location and a colon.
            default_location: location where the text has none.
            remedy: sentence that says how to correct it.

        Returns:
            The problem.
        """
        location, colon, message = str(error).partition(": ")
        message = (message if colon else str(error)).rstrip(".")
        return cls("error", location if colon else default_location, message, remedy)


def soft_mask_note(location: str) -> Problem:
    """Make the note on a mask with soft edges, or whose values leave a doubt (`is_soft_mask`).

    Args:
        location: path of the mask.

    Returns:
        The note: which pixels count.
    """
    message = (
        "found soft edges, many values, or a palette whose 0 is not black: on soft edges pixels above half of the "
        "object's level count, elsewhere all that are not 0"
    )
    return Problem("note", location, message, "Save the mask in black and white where another outline is meant")


def audio_notes(audio: Audio, location: str) -> list[Problem]:
    """Make the notes on a sound: which track or channels are heard, and what is missing.

    Args:
        audio: the sound as it was read.
        location: path of its file.

    Returns:
        A note for each of the sound's own.
    """
    remedy = "Listen to it, and save what is meant as a file of its own where it is something else"
    return [Problem("note", location, f"found: {note.rstrip('.')}", remedy) for note in audio.notes]


@dataclass(frozen=True)
class FindingsTable:
    """A table on the content of data; a cell is None where its column does not apply to its row.

    Attributes:
        title: title of the table; tables with the same title and header are merged.
        header: names of the columns.
        rows: cells of each row, as many as columns.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def to_records(self) -> list[dict[str, Cell]]:
        """Convert the rows to dictionaries.

        Returns:
            Cells by name of the column for each row, without the cells that are None.
        """
        return [
            {key: cell for key, cell in zip(self.header, row, strict=True) if cell is not None} for row in self.rows
        ]


@dataclass(frozen=True)
class Findings:
    """The result of a validation.

    Attributes:
        kind: the recognized kind of data: `catalog`, `lists`, `media` or the name of a data set.
        tables: tables of the content.
        problems: the problems, errors first.
    """

    kind: str
    tables: tuple[FindingsTable, ...] = ()
    problems: tuple[Problem, ...] = ()

    def count(self, severity: str) -> int:
        """Count the problems of a severity.

        Args:
            severity: `error`, `warning` or `note`.

        Returns:
            Number of problems.
        """
        return sum(problem.severity == severity for problem in self.problems)

    def to_dict(self) -> dict[str, Any]:
        """Convert the findings to plain values, for JSON.

        Returns:
            Kind; numbers of `errors`, `warnings` and `notes`; rows of the tables as dictionaries, by title; and the
            attributes of each problem.
        """
        return {
            "kind": self.kind,
            **{f"{severity}s": self.count(severity) for severity in SEVERITIES},
            "tables": {table.title: table.to_records() for table in self.tables},
            "problems": [vars(problem) for problem in self.problems],
        }


def merge_findings(*findings: Findings) -> Findings:
    """Merge the results of several validations; tables with the same title and header are joined.

    Args:
        findings: results to merge.

    Returns:
        Their tables, each row once; their problems, each once, errors first; and their kinds, joined by `and`
        (`nothing` where all are empty).
    """
    rows: dict[tuple[str, tuple[str, ...]], dict[tuple[Cell, ...], None]] = {}
    for table in (table for result in findings for table in result.tables):
        rows.setdefault((table.title, table.header), {}).update(dict.fromkeys(table.rows))
    problems = dict.fromkeys(problem for result in findings for problem in result.problems)
    kinds = dict.fromkeys(result.kind for result in findings if result.tables or result.problems)
    return Findings(
        " and ".join(kinds) or "nothing",
        tuple(FindingsTable(title, header, tuple(unique)) for (title, header), unique in rows.items()),
        tuple(sorted(problems, key=lambda problem: SEVERITIES.index(problem.severity))),
    )
