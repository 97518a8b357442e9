"""Results of searching and of indexing, as values."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from soundspot.data.media.file_types import FileType, format_passed_over
from soundspot.search.query import Modality


@dataclass(frozen=True)
class Hit:
    """A file of the index near a query, represented by its best window.

    Attributes:
        path: absolute path of the file.
        file_type: `image`, `audio` or `video`.
        score: cosine similarity with the query, in [-1, 1].
        time: seconds at which the frame is shown or the audio window begins; None for an image file.
        modality: modality of the embedding that was compared: `image` or `audio`.
    """

    path: Path
    file_type: FileType
    score: float
    time: float | None = None
    modality: Modality = "image"

    def to_dict(self) -> dict[str, Any]:
        """Convert the hit to values that JSON can hold.

        Returns:
            `path`, `file_type`, `score`, `time` and `modality`; bytes of a file name that are not UTF-8 are lone
            surrogates, as in `os.fsdecode`.
        """
        return asdict(self) | {"path": str(self.path)}


@dataclass(frozen=True)
class Failure:
    """A file that could not be indexed.

    Attributes:
        path: absolute path of the file.
        cause: the reason in one or two words, such as `unreadable` or `empty`.
        message: the error message, with a remedy.
    """

    path: Path
    cause: str
    message: str


@dataclass
class IndexingSummary:
    """Counts of an indexing run.

    Attributes:
        added: files embedded for the first time.
        changed: files embedded again, since their content changed.
        moved: files whose content was indexed under another path; their embeddings were copied.
        unchanged: files left as they were.
        removed: files taken out of the index.
        num_vectors: embeddings written.
        skipped: number of files that are neither image, audio nor video, by their suffix.
        failures: files that could not be indexed.
        warnings: indexed files with a peculiarity, such as a video without sound, counted by its description.
    """

    added: int = 0
    changed: int = 0
    moved: int = 0
    unchanged: int = 0
    removed: int = 0
    num_vectors: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    warnings: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: "IndexingSummary") -> "IndexingSummary":
        return IndexingSummary(**{name: value + vars(other)[name] for name, value in vars(self).items()})

    def __str__(self) -> str:
        names = ("added", "changed", "moved", "unchanged", "removed")
        phrases = [f"{vars(self)[name]} {name}" for name in names if vars(self)[name]] or ["nothing to do"]
        phrases += [f"{count} {warning}" for warning, count in self.warnings.items()]
        if self.failures:
            causes = Counter(failure.cause for failure in self.failures).most_common()
            phrases.append(f"{len(self.failures)} failed ({', '.join(f'{count} {cause}' for cause, count in causes)})")
        if self.skipped:
            phrases.append(escape_unprintable(format_passed_over(self.skipped)))
        return ", ".join(phrases)


@dataclass(frozen=True)
class IndexStatus:
    """Contents and health of an index.

    Attributes:
        root: folder of the indexed files.
        checkpoint: path of the checkpoint whose embeddings it holds; empty if it was no file.
        method: name of the method of that checkpoint.
        files: number of indexed files by file type.
        num_vectors: embeddings of those files.
        unused_rows: rows of the vector file that belong to no file.
        failures: files that could not be indexed.
        problems: sentences that say what is damaged; empty for a healthy index.
    """

    root: Path
    checkpoint: str
    method: str
    files: dict[FileType, int]
    num_vectors: int
    unused_rows: int
    failures: list[Failure]
    problems: list[str]


def escape_unprintable(path: Path | str) -> str:
    """Escape what would break a line of a terminal, move its cursor, or is not text.

    Args:
        path: path, name or text.

    Returns:
        The text on one line, in valid UTF-8; other characters become escapes of Python.
    """
    text = str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def format_hits(hits: Sequence[Hit], root: Path | None = None) -> str:
    """Format hits as a table of rank, score, file type, time and path.

    Args:
        hits: hits, best first.
        root: folder to which the paths of files below it are printed relative; None: all paths are absolute.

    Returns:
        Lines of text: a header, and a line for each hit.
    """
    rows = [("", "score", "type", "at", "file")]
    for rank, hit in enumerate(hits, 1):
        path = hit.path.relative_to(root) if root and hit.path.is_relative_to(root) else hit.path
        time = "" if hit.time is None else f"{hit.time:.1f} s"
        rows.append((f"{rank}", f"{hit.score:.3f}", hit.file_type, time, escape_unprintable(path)))
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:4]]
    return "\n".join("  ".join([*map(str.rjust, row, widths), row[4]]) for row in rows)
