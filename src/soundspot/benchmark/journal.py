"""The journal of a project: who decided what, and when, in one SQLite database that only grows.

Triggers refuse every change and deletion; the latest row of an annotator on an image counts. The database is in
write-ahead mode, so that several people and processes work at once, and a kill loses nothing that was answered.
"""

import json
import sqlite3
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from threading import RLock
from typing import Any

from soundspot.benchmark.plan import BenchmarkPlan
from soundspot.benchmark.records import AnnotationRecord, AudioRecord, Decision, ImageRecord, Source
from soundspot.data.media.file_types import check_inside
from soundspot.errors import DataError, OutputError

DATABASE_FILE = "journal.sqlite"
SCHEMA_VERSION = 1
WAIT_SECONDS = 30.0  # for another writer
MAX_TEXT = 500  # characters of a reason
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


class DecisionJournal:
    """The journal of a project; threads and processes may share its file.

    Args:
        folder: folder of the project.
        create: whether the database is created; otherwise it must be there.

    Raises:
        DataError: there is no database, or it is damaged or of another version.
        OutputError: the database cannot be written.
    """

    def __init__(self, folder: Path, create: bool = False) -> None:
        self.path = folder / DATABASE_FILE
        if not create and not self.path.is_file():
            raise DataError(
                f"{folder}: found no {DATABASE_FILE}, expected a project. Begin one by "
                f"`soundspot benchmark plan {folder}`"
            )
        self._lock = RLock()
        try:
            self._connection = sqlite3.connect(self.path, WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise OutputError(f"{self.path}: could not be opened ({error}). Check the folder's permissions") from error
        weakref.finalize(self, self._connection.close)
        with self.connect() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and create:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_schema())
            elif version != SCHEMA_VERSION:
                raise DataError(
                    f"{self.path}: found version {version}, expected {SCHEMA_VERSION}. Use the version of soundspot "
                    "that wrote it"
                )

    @contextmanager
    def connect(self, write: bool = False) -> Iterator[sqlite3.Connection]:
        """Use the connection for one block, which is one transaction if it writes; other threads wait.

        Args:
            write: whether the block writes; other processes wait up to 30 seconds for its end.

        Yields:
            Connection whose rows have names.

        Raises:
            DataError: the database is damaged, or a value contradicts what is there.
            OutputError: it cannot be written, or another process writes for too long.
        """
        try:
            with self._lock:
                connection = self._connection
                connection.row_factory = sqlite3.Row
                connection.execute("PRAGMA foreign_keys = ON")
                if not write:
                    yield connection
                    return
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise OutputError(
                f"{self.path}: could not be written or read ({error}). Check the disk and who else works in the "
                "project, then give the same command again: nothing is lost"
            ) from error
        except sqlite3.IntegrityError as error:
            raise DataError(
                f"{self.path}: found a contradiction to what is in the journal ({error}): somebody else was first. "
                "Read it again"
            ) from error
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{self.path}: found a damaged journal ({error}), expected SQLite. Restore it from a copy"
            ) from error

    def insert(self, table: str, **values: Any) -> int:
        """Append a row with the present time.

        Args:
            table: name of the table.
            values: value of each column.

        Returns:
            Number of the row, from 1.
        """
        with self.connect(write=True) as connection:
            return insert_row(connection, table, **values)

    def read_plan(self) -> BenchmarkPlan:
        """Read the plan that counts.

        Returns:
            The latest plan.

        Raises:
            DataError: there is none, or it is damaged.
        """
        with self.connect() as connection:
            row = connection.execute("SELECT content FROM plans ORDER BY id DESC LIMIT 1").fetchone()
        if row is None:
            raise DataError(f"{self.path}: found no plan. Write one: `soundspot benchmark plan`")
        try:
            return BenchmarkPlan.from_dict(json.loads(row["content"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.path}: found a damaged plan ({error}). Restore the journal from a copy") from error

    def read_images(self, where: str = "", values: Sequence[Any] = (), limit: int = -1) -> list[ImageRecord]:
        """Read images in the order in which they were added.

        Args:
            where: SQL condition, with `?` for values; empty: all images.
            values: values of the condition.
            limit: largest number of images; -1: all.

        Returns:
            The images.

        Raises:
            DataError: the file of one would lie outside the project.
        """
        with self.connect() as connection:
            condition = f"WHERE {where}" if where else ""
            rows = connection.execute(f"SELECT * FROM images {condition} ORDER BY id LIMIT ?", (*values, limit))
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

    def read_decisions(self, step: str) -> list[Decision]:
        """Read the decisions of a step that count: the latest of each annotator on each image.

        Args:
            step: `select`, `resolve` or `audio`; of `audio` the latest for each reason too.

        Returns:
            The decisions, in the order in which they were made.
        """
        by_reason = ", reason" if step == "audio" else ""
        with self.connect() as connection:
            rows = connection.execute(
                "SELECT * FROM decisions WHERE id IN (SELECT MAX(id) FROM decisions WHERE step = ? "
                f"GROUP BY annotator, image{by_reason}) ORDER BY id",
                (step,),
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
        with self.connect() as connection:
            condition = f"WHERE {where}" if where else ""
            rows = connection.execute(f"SELECT * FROM audio {condition} ORDER BY id", tuple(values))
            return [_to_audio(self._checked(row)) for row in rows]

    def _checked(self, row: sqlite3.Row) -> sqlite3.Row:
        """Return a row whose file lies in the project, which may be somebody else's."""
        check_inside(row["file"] or "", self.path.parent)
        return row

    def read_pairings(self) -> dict[tuple[int, str], int]:
        """Read the sound of each image and category that counts, the latest.

        Returns:
            (number of the image, category) -> number of the sound.
        """
        with self.connect() as connection:
            rows = connection.execute("SELECT image, category, audio FROM pairings ORDER BY id").fetchall()
        return {(row["image"], row["category"]): row["audio"] for row in rows}

    def read_annotations(self, image: int | None = None) -> list[AnnotationRecord]:
        """Read the masks that count: the latest of each annotator for each image and category.

        Args:
            image: number of the image; None: all images.

        Returns:
            The annotations, in the order in which they were made.
        """
        condition, values = ("", ()) if image is None else ("WHERE image = ?", (image,))
        with self.connect() as connection:
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

    def count_rows(self) -> dict[str, int]:
        """Count the rows of each table.

        Returns:
            Name of the table -> number of rows.
        """
        with self.connect() as connection:
            return {name: connection.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in _TABLES}


def insert_row(connection: sqlite3.Connection, table: str, **values: Any) -> int:
    """Append a row with the present time, in a transaction of the caller.

    Args:
        connection: connection of the journal.
        table: name of the table.
        values: value of each column.

    Returns:
        Number of the row, from 1.
    """
    columns = {"time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"), **values}
    marks = ", ".join("?" * len(columns))
    cursor = connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", tuple(columns.values()))
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def check_annotator(name: str) -> str:
    """Check the name that an annotator gives.

    Args:
        name: the name.

    Returns:
        The name without blanks around it.

    Raises:
        DataError: it is empty, longer than 60 characters, or not printable.
    """
    name = name.strip()
    if not name or len(name) > 60 or not name.isprintable():
        raise DataError(f"found the annotator {name!r:.70}, expected a name of 1 to 60 printable characters. Give one")
    return name


def _schema() -> str:
    lines = ["BEGIN IMMEDIATE;"]
    for name, columns in _TABLES.items():
        lines.append(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, {columns});")
        lines += [
            f"CREATE TRIGGER no_{event}_of_{name} BEFORE {event.upper()} ON {name} "
            "BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END;"
            for event in ("update", "delete")
        ]
    lines += [f"{index};" for index in _INDEXES]
    return "\n".join([*lines, f"PRAGMA user_version = {SCHEMA_VERSION};", "COMMIT;"])


def _to_source(text: str) -> Source:
    return Source(**json.loads(text))


def _to_image(row: sqlite3.Row) -> ImageRecord:
    values = {key: row[key] for key in ("id", "number", "file", "width", "height", "sha256")}
    return ImageRecord(**values, categories=tuple(json.loads(row["categories"])), source=_to_source(row["source"]))


def _to_audio(row: sqlite3.Row) -> AudioRecord:
    values = {key: row[key] for key in ("id", "key", "category", "sha256", "seconds", "problem")}
    return AudioRecord(**values, file=row["file"] or "", source=_to_source(row["source"]))
