"""What the rows of an index belong to: SQLite, in which a transaction is there as a whole or not at all."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from soundspot.errors import DataError, OutputError
from soundspot.search.query import FILE_TYPES, MODALITIES, FileType, Modality
from soundspot.utils.atomic_io import convert_os_errors

FILE = "catalogue.sqlite"
LAYOUT = 1
_TABLES = """
CREATE TABLE told (name TEXT PRIMARY KEY, value);
CREATE TABLE files (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB UNIQUE NOT NULL, kind INTEGER NOT NULL, size INTEGER NOT NULL,
    changed INTEGER NOT NULL, digest BLOB NOT NULL, cause TEXT NOT NULL, told TEXT NOT NULL
);
CREATE INDEX digests ON files (digest);
CREATE TABLE entries (
    row INTEGER PRIMARY KEY, file INTEGER NOT NULL REFERENCES files (id) ON DELETE CASCADE, modality INTEGER NOT NULL,
    time REAL, checksum INTEGER NOT NULL
);
CREATE INDEX owners ON entries (file);
"""


class IncompleteIndexError(DataError):
    """An index that was killed before it was made."""


@dataclass(frozen=True)
class FileRecord:
    """A file as the catalogue knows it.

    Attributes:
        path: below the root, in bytes as the system has them.
        changed: when it was, in nanoseconds; with the size it tells whether the file is still the one that was read.
            -1 where it was begun and is not whole.
        digest: of its content. cause, told: why it is kept out; told alone: what is odd about it.
    """

    path: bytes
    file_type: FileType
    size: int
    mtime_ns: int
    digest: bytes
    cause: str = ""
    message: str = ""
    id: int = 0


@dataclass(frozen=True)
class WindowEntry:
    """What a row of vectors is of: the picture at a moment of a file, or the sound from there on."""

    row: int
    file_id: int
    modality: Modality
    time: float | None
    checksum: int


@dataclass(frozen=True, eq=False)
class WindowTable:
    """All entries, by row.

    Attributes:
        row: position in the file of vectors. file: its number. kind, modality: places in KINDS and MODALITIES.
        time: in seconds; not a number where there is none.
        rows: of the file of vectors, those that belong to nothing included. generation: which file of vectors.
    """

    row: Int64[np.ndarray, " n"]
    file_id: Int64[np.ndarray, " n"]
    file_type: UInt8[np.ndarray, " n"]
    modality: UInt8[np.ndarray, " n"]
    time: Float64[np.ndarray, " n"]
    num_rows: int
    generation: int


class MetadataDatabase:
    """An open catalogue; threads may share it.

    Args:
        folder: of the index.
        told: of a new one: what is written down of it.

    Raises:
        DataError: there is none, it is damaged, or of another layout. OutputError: it cannot be written.
    """

    def __init__(self, folder: Path, told: dict[str, Any] | None = None) -> None:
        self.path = folder / FILE
        self._lock = RLock()
        self._commits = 0
        if told is None and not self.path.is_file():
            raise DataError(
                f"{folder}: found no index of files (no {FILE} in it). Make one: `soundspot search index FOLDER`"
            )
        with self._telling():
            self._connection = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._connection.execute("PRAGMA synchronous = FULL")
            if told is not None:
                with self.transaction():
                    for statement in filter(str.strip, _TABLES.split(";")):
                        self._connection.execute(statement)
                    self._connection.execute(f"PRAGMA user_version = {LAYOUT}")
                    self.set_metadata(**told)
            found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found != LAYOUT:
            self.close()
            words = f"{self.path}: found the layout {found}, expected {LAYOUT}. "
            if not found:
                raise IncompleteIndexError(words + "Its making was stopped: index again")
            raise DataError(words + "It is of another soundspot: update, or remove the folder and index again")

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """One thread at a time, and SQLite's errors in our words."""
        with self._lock:
            try:
                yield
            except sqlite3.DatabaseError as error:
                raise self._in_words(error) from error

    def _in_words(self, error: sqlite3.DatabaseError) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # Python 3.11 on
        text = str(error)
        if code == 13 or "is full" in text:
            try:
                with convert_os_errors(self.path):
                    raise OSError(28, "No space left on device")
            except OutputError as full:
                return full
        if "locked" in text:
            return OutputError(f"{self.path}: another run writes here and did not end in a minute. Wait for its end")
        if "readonly" in text or "unable to open" in text or "I/O" in text:
            return OutputError(
                f"{self.path}: cannot be read or written ({error}). Look at the permissions of its folder"
            )
        return DataError(
            f"{self.path}: is damaged ({error}), expected an index of `soundspot search index`. Put a copy back, or "
            "remove the folder and index again; your own files are not touched by that"
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything in the block, or nothing of it."""
        with self._telling():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
                self._commits += 1
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _ask(self, question: str, values: Sequence[Any] = ()) -> list[tuple]:
        with self._telling():
            return self._connection.execute(question, values).fetchall()

    # What is written down of the whole.

    def set_metadata(self, **told: Any) -> None:
        self._connection.executemany("INSERT OR REPLACE INTO told VALUES (?, ?)", told.items())

    def get_metadata(self) -> dict[str, Any]:
        return dict(self._ask("SELECT name, value FROM told"))

    @property
    def version(self) -> tuple[int, int]:
        """Another value after anybody has written."""
        return int(self._ask("PRAGMA data_version")[0][0]), self._commits  # SQLite's tells of other connections alone

    # Files and entries.

    def list_files(self, where: str = "1", values: Sequence[Any] = ()) -> list[FileRecord]:
        columns = "path, kind, size, changed, digest, cause, told, id"
        found = self._ask(f"SELECT {columns} FROM files WHERE {where} ORDER BY path", values)
        return [FileRecord(path, FILE_TYPES[kind], *rest) for path, kind, *rest in found]

    def get_paths(self, ids: Iterable[int]) -> dict[int, bytes]:
        """Paths of files by their numbers, of those that are there."""
        wanted = [int(one) for one in ids]
        parts = [wanted[first : first + 500] for first in range(0, len(wanted), 500)]
        return dict(
            row
            for part in parts
            for row in self._ask(f"SELECT id, path FROM files WHERE id IN ({','.join('?' * len(part))})", part)
        )

    def insert_file(self, file: FileRecord) -> int:
        """A file, new or in place of the one of that path, whose entries go; its number."""
        self.delete_files([file.path])
        values = (
            file.path,
            FILE_TYPES.index(file.file_type),
            file.size,
            file.mtime_ns,
            file.digest,
            file.cause,
            file.message,
        )
        into = "INSERT INTO files (path, kind, size, changed, digest, cause, told) VALUES (?, ?, ?, ?, ?, ?, ?)"
        return int(self._connection.execute(into, values).lastrowid or 0)

    def update_file(self, id: int, changed: int, told: str) -> None:
        """A file that was begun is whole, or is known to be unchanged since another moment."""
        self._connection.execute("UPDATE files SET changed = ?, told = ? WHERE id = ?", (changed, told, id))

    def delete_files(self, paths: Iterable[bytes]) -> None:
        self._connection.executemany("DELETE FROM files WHERE path = ?", ((path,) for path in paths))

    def insert_entries(self, entries: Iterable[WindowEntry]) -> None:
        rows = ((e.row, e.file_id, MODALITIES.index(e.modality), e.time, e.checksum) for e in entries)
        self._connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", rows)

    def get_file_entries(self, file: int) -> list[WindowEntry]:
        found = self._ask("SELECT row, file, modality, time, checksum FROM entries WHERE file = ? ORDER BY row", [file])
        return [WindowEntry(row, owner, MODALITIES[modality], *rest) for row, owner, modality, *rest in found]

    def count_files(self) -> dict[FileType, int]:
        """Files that can be found, of each kind."""
        counted = dict(self._ask("SELECT kind, COUNT(*) FROM files WHERE cause = '' GROUP BY kind"))
        return {kind: counted.get(n, 0) for n, kind in enumerate(FILE_TYPES)}

    def load_entries(self) -> WindowTable:
        """All entries, and which file of vectors they are of: one look."""
        asked = "SELECT row, file, kind, modality, time FROM entries JOIN files ON files.id = file ORDER BY row"
        with self._telling():
            self._connection.execute("BEGIN")
            try:
                found = self._connection.execute(asked).fetchall()
                told = self.get_metadata()
            finally:
                self._connection.execute("COMMIT")
        kinds = ("i8", "i8", "u1", "u1", "f8")
        columns = zip(*found, strict=True) if found else ((),) * 5
        row, file, kind, modality, time = (np.array(c, d) for c, d in zip(columns, kinds, strict=True))
        return WindowTable(row, file, kind, modality, time, int(told["rows"]), int(told["generation"]))

    def load_checksums(self) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Rows, and the checksum of each."""
        found = np.array(self._ask("SELECT row, checksum FROM entries ORDER BY row"), np.int64).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def renumber_rows(self, rows: Int64[np.ndarray, " n"]) -> None:
        """Gives the rows, all that there are in rising order, the numbers from 0 on."""
        numbers = ((new, int(old)) for new, old in enumerate(rows) if new != old)
        self._connection.executemany("UPDATE entries SET row = ? WHERE row = ?", numbers)

    def validate(self) -> str:
        """What SQLite finds wrong with its file; empty where nothing is."""
        found = self._ask("PRAGMA quick_check(1)")[0][0]
        return "" if found == "ok" else str(found)
