"""What a search finds and what an indexing run did, as values."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundspot.search.query import FileType, Modality


@dataclass(frozen=True)
class Hit:
    """A file that was found, by the best of its vectors.

    Attributes:
        path: of the file.
        kind: `image`, `sound` or `video`.
        score: cosine with what was asked for, in [-1, 1].
        time: where in the file the vector's picture is shown or its sound begins, in seconds; None of a picture.
        by: whether its picture or its sound was compared.
    """

    path: Path
    file_type: FileType
    score: float
    time: float | None = None
    modality: Modality = "picture"

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it; bytes of a name that are no UTF-8 are lone surrogates, as Python has them."""
        return {
            "path": str(self.path),
            "kind": self.file_type,
            "score": self.score,
            "time": self.time,
            "by": self.modality,
        }


@dataclass(frozen=True)
class Failure:
    """A file that could not be read, and why."""

    path: Path
    cause: str
    message: str


@dataclass
class IndexingSummary:
    """What became of the files that an indexing run looked at.

    Attributes:
        added, changed: files that were embedded, for the first time or anew. moved: files whose content was known by
            another name, or is there twice: nothing was embedded. unchanged, removed: files.
        vectors: that were written.
        failures: files that are kept out.
        odd: files that are in, with something to be told, such as a video without sound; counted by what that is.
        passed: files that are no pictures, sounds or videos by their names.
    """

    added: int = 0
    changed: int = 0
    moved: int = 0
    unchanged: int = 0
    removed: int = 0
    num_vectors: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)
    warnings: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: "IndexingSummary") -> "IndexingSummary":
        numbers = ("added", "changed", "moved", "unchanged", "removed", "vectors", "passed")
        summed = {name: getattr(self, name) + getattr(other, name) for name in numbers}
        return IndexingSummary(
            **summed, failures=self.failures + other.failures, warnings=self.warnings + other.warnings
        )

    def __str__(self) -> str:
        told = {name: getattr(self, name) for name in ("added", "changed", "moved", "unchanged", "removed")}
        words = [f"{count} {name}" for name, count in told.items() if count] or ["nothing to do"]
        words += [f"{count} {what}" for what, count in self.warnings.items()]
        words += [f"{len(self.failures)} kept out ({format_causes(self.failures)})"] if self.failures else []
        return ", ".join(words)


@dataclass(frozen=True)
class IndexStatus:
    """What an index holds, and what is wrong with it.

    Attributes:
        files: that can be found, by kind. vectors: of those. dead: rows that belong to nothing.
        failures: files that are kept out. wrong: what is damaged, in sentences.
    """

    root: Path
    checkpoint: str
    method: str
    files: dict[FileType, int]
    num_vectors: int
    unused_rows: int
    failures: list[Failure]
    problems: list[str]


def format_causes(failures: Sequence[Failure]) -> str:
    """`3 unreadable, 1 empty`."""
    return ", ".join(f"{count} {cause}" for cause, count in Counter(one.cause for one in failures).most_common())


def escape_unprintable(path: Path | str) -> str:
    """A name on one line of a terminal: what would break the line, move the cursor or is no text is escaped."""
    text = str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def format_hits(hits: Sequence[Hit], root: Path | None = None) -> str:
    """Hits in lines: rank, score, kind, time, and path, below `root` where it lies there."""
    lines = [("", "score", "kind", "at", "file")]
    for rank, hit in enumerate(hits, 1):
        path = hit.path.relative_to(root) if root and hit.path.is_relative_to(root) else hit.path
        at = "" if hit.time is None else f"{hit.time:.1f} s"
        lines.append((f"{rank}", f"{hit.score:.3f}", hit.file_type, at, escape_unprintable(path)))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    aligned = [[f"{cell:>{width}}" for cell, width in zip(line, widths, strict=False)] for line in lines]
    return "\n".join("  ".join([*cells, line[4]]) for cells, line in zip(aligned, lines, strict=True))
