"""The journal of a project: who decided what, and when, in one SQLite database that only grows.

The latest row of an annotator on an image counts (`utils.append_journal`).
"""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from soundspot.benchmark.plan import BenchmarkPlan
from soundspot.benchmark.records import AnnotationRecord, AudioRecord, Decision, ImageRecord, Source
from soundspot.data.media.file_types import check_inside
from soundspot.errors import DataError
from soundspot.utils.append_journal import AppendJournal, match_annotator

DATABASE_FILE = "journal.sqlite"
SCHEMA_VERSION = 1
COMPOSER = "composition"  # the annotator of exact masks
_TABLES = {
    "plans": "content TEXT NOT NULL",
    "images": (
        "number INTEGER NOT NULL UNIQUE, file TEXT NOT NULL UNIQUE, categories TEXT NOT NULL, width INTEGER NOT NULL, "
        "height INTEGER NOT NULL, sha256 TEXT NOT NULL, source TEXT NOT NULL"
    ),
    "decisions": (
        "annotator TEXT NOT NULL, image INTEGER NOT NULL REFERENCES images (id), step TEXT NOT NULL, "
        "choice TEXT NOT NULL, reason TEXT NOT NULL"
    ),
    "audio": (
        "key TEXT NOT NULL UNIQUE, file TEXT, category TEXT NOT NULL, sha256 TEXT NOT NULL, seconds REAL NOT NULL, "
        "problem TEXT NOT NULL, source TEXT NOT NULL"
    ),
    "pairings": (
        "image INTEGER NOT NULL REFERENCES images (id), category TEXT NOT NULL, "
        "audio INTEGER NOT NULL UNIQUE REFERENCES audio (id)"
    ),
    "annotations": (
        "annotator TEXT NOT NULL, image INTEGER NOT NULL REFERENCES images (id), category TEXT NOT NULL, "
        "tool TEXT NOT NULL, actions TEXT NOT NULL, attributes TEXT NOT NULL, mask TEXT NOT NULL"
    ),
}
_INDEXES = (
    "CREATE INDEX decisions_of_annotator ON decisions (step, annotator, image)",
    "CREATE INDEX decisions_of_image ON decisions (step, image, annotator)",
    "CREATE INDEX pairings_of_image ON pairings (image, category)",
    "CREATE INDEX audio_of_category ON audio (category)",
    "CREATE INDEX annotations_of_image ON annotations (image, category, annotator)",
)


class DecisionJournal(AppendJournal):
    """The journal of a project; threads and processes may share its file.

    Args:
        folder: folder of the project.
        create: whether the database is created; otherwise it must be there.

    Raises:
        DataError: there is no database, or it is damaged or of another version.
        OutputError: the database cannot be written.
    """

    def __init__(self, folder: Path, create: bool = False) -> None:
        remedy = f"expected a project. Begin one by `soundspot benchmark plan {folder}`"
        super().__init__(folder / DATABASE_FILE, _TABLES, SCHEMA_VERSION, _INDEXES, create, remedy)

    def match_annotator(self, name: str) -> str:
        """Return the name of an annotator as it was first written: `Ann`, `ann` and ` ANN` are one person.

        Args:
            name: name that the annotator gives.

        Returns:
            The name as it is in the earliest decision or mask; that given, without blanks around it, where there is
            none.

        Raises:
            DataError: the name is not valid, or stands for the composition of images.
        """
        with self.connect() as connection:
            name = match_annotator(connection, name, ("decisions", "annotations"))
        if name.casefold() == COMPOSER:
            raise DataError(f"found the annotator {name!r}, which exact masks have. Give another name")
        return name

    def read_plan(self) -> BenchmarkPlan:
        """Read the plan that counts.

        Returns:
            The latest plan.

        Raises:
            DataError: there is none, or it is damaged.
        """
        with self.reading() as connection:
            row = connection.execute("SELECT content FROM plans ORDER BY id DESC LIMIT 1").fetchone()
            if row is None:
                raise DataError(f"{self.path}: found no plan. Write one: `soundspot benchmark plan`")
            return BenchmarkPlan.from_dict(json.loads(row["content"]))

    def read_images(
        self, where: str = "", values: Sequence[Any] = (), limit: int = -1, offset: int = 0
    ) -> list[ImageRecord]:
        """Read images in the order in which they were added.

        Args:
            where: SQL condition, with `?` for values; empty: all images.
            values: values of the condition.
            limit: largest number of images; -1: all.
            offset: number of images that are passed over before.

        Returns:
            The images.

        Raises:
            DataError: the file of one would lie outside the project.
        """
        with self.reading() as connection:
            condition = f"WHERE {where}" if where else ""
            query = f"SELECT * FROM images {condition} ORDER BY id LIMIT ? OFFSET ?"
            rows = connection.execute(query, (*values, limit, offset))
            return [_to_image(self._checked(row)) for row in rows]

    def read_image(self, image: int) -> ImageRecord:
        """Read an image.

        Args:
            image: number of the image in the journal.

        Returns:
            The image.

        Raises:
            DataError: there is no such image.
        """
        records = self.read_images("id = ?", (image,))
        if not records:
            raise DataError(f"{self.path}: found no image number {image}. Reload the page, or correct the number")
        return records[0]

    def read_decisions(self, step: str, image: int | None = None) -> list[Decision]:
        """Read the decisions of a step that count: the latest of each annotator on each image.

        Args:
            step: `select`, `resolve` or `audio`; of `audio` the latest for each reason too.
            image: number of the image; None: all images.

        Returns:
            The decisions, in the order in which they were made.
        """
        by_reason = ", reason" if step == "audio" else ""
        condition, values = ("", ()) if image is None else ("AND image = ?", (image,))
        with self.reading() as connection:
            rows = connection.execute(
                f"SELECT * FROM decisions WHERE id IN (SELECT MAX(id) FROM decisions WHERE step = ? {condition} "
                f"GROUP BY annotator, image{by_reason}) ORDER BY id",
                (step, *values),
            )
            return [Decision(**dict(row)) for row in rows]

    def read_audio(self, where: str = "", values: Sequence[Any] = ()) -> list[AudioRecord]:
        """Read sounds in the order in which they were added.

        Args:
            where: SQL condition, with `?` for values; empty: all sounds.
            values: values of the condition.

        Returns:
            The sounds, refused ones included.

        Raises:
            DataError: the file of one would lie outside the project.
        """
        with self.reading() as connection:
            condition = f"WHERE {where}" if where else ""
            rows = connection.execute(f"SELECT * FROM audio {condition} ORDER BY id", tuple(values))
            return [_to_audio(self._checked(row)) for row in rows]

    def _checked(self, row: sqlite3.Row) -> sqlite3.Row:
        """Return a row whose file lies in the project, which may be somebody else's."""
        check_inside(row["file"] or "", self.path.parent)
        return row

    def read_pairings(self, image: int | None = None) -> dict[tuple[int, str], int]:
        """Read the sound of each image and category that counts, the latest.

        Args:
            image: number of the image; None: all images.

        Returns:
            (number of the image, category) -> number of the sound.
        """
        condition, values = ("", ()) if image is None else ("WHERE image = ?", (image,))
        with self.reading() as connection:
            query = f"SELECT image, category, audio FROM pairings {condition} ORDER BY id"
            rows = connection.execute(query, values).fetchall()
        return {(row["image"], row["category"]): row["audio"] for row in rows}

    def read_annotations(self, image: int | None = None) -> list[AnnotationRecord]:
        """Read the masks that count: the latest of each annotator for each image and category.

        Args:
            image: number of the image; None: all images.

        Returns:
            The annotations, in the order in which they were made.
        """
        condition, values = ("", ()) if image is None else ("WHERE image = ?", (image,))
        with self.reading() as connection:
            rows = connection.execute(
                f"SELECT * FROM annotations WHERE id IN (SELECT MAX(id) FROM annotations {condition} "
                "GROUP BY image, category, annotator) ORDER BY id",
                values,
            )
            records = []
            for row in rows:
                parsed = {key: json.loads(row[key]) for key in ("actions", "attributes", "mask")}
                records.append(AnnotationRecord(**{**dict(row), **parsed}))
        return records


def _to_source(text: str) -> Source:
    return Source(**json.loads(text))


def _to_image(row: sqlite3.Row) -> ImageRecord:
    values = {key: row[key] for key in ("id", "number", "file", "width", "height", "sha256")}
    return ImageRecord(**values, categories=tuple(json.loads(row["categories"])), source=_to_source(row["source"]))


def _to_audio(row: sqlite3.Row) -> AudioRecord:
    values = {key: row[key] for key in ("id", "key", "category", "sha256", "seconds", "problem")}
    return AudioRecord(**values, file=row["file"] or "", source=_to_source(row["source"]))
