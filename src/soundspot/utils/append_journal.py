"""A journal: one SQLite database that only grows, of who decided what and when.

Triggers refuse every change and deletion. The database is in write-ahead mode, so that several people and processes
work at once, and a kill loses nothing that was answered.
"""

import sqlite3
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from threading import RLock
from typing import Any

from soundspot.errors import DataError, OutputError
from soundspot.utils.safe_read import convert_read_errors

WAIT_SECONDS = 30.0  # for another writer


class AppendJournal:
    """A database whose rows are added and never changed; threads and processes may share its file.

    Args:
        path: path of the database.
        tables: name of each table -> its columns in SQL, beside `id` and `time`.
        version: version of the tables, which the file states.
        indexes: statements of SQL that create indexes.
        create: whether the database is created where it is not there; otherwise it must be.
        remedy: sentence on a database that is not there: what was expected, and what to do.

    Raises:
        DataError: there is no database, or it is damaged or of another version.
        OutputError: the database cannot be written.
    """

    def __init__(
        self,
        path: Path,
        tables: Mapping[str, str],
        version: int,
        indexes: Sequence[str] = (),
        create: bool = False,
        remedy: str = "",
    ) -> None:
        self.path, self._tables = path, tables
        if not create and not path.is_file():
            raise DataError(f"{path.parent}: found no {path.name}, {remedy}")
        self._lock = RLock()
        try:
            self._connection = sqlite3.connect(path, WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise OutputError(f"{path}: could not be opened ({error}). Check the folder's permissions") from error
        self._connection.create_function("casefold", 1, str.casefold, deterministic=True)
        weakref.finalize(self, self._connection.close)
        if create and self._read_version() == 0:
            with self.connect() as connection:
                connection.execute("PRAGMA journal_mode = WAL")
            with self.connect(write=True) as connection:
                if self._read_version() == 0:  # no other process was first
                    for statement in _schema(tables, version, indexes):
                        connection.execute(statement)
        if (stored := self._read_version()) != version:
            raise DataError(
                f"{path}: found version {stored}, expected {version}. Use the version of soundspot that wrote it"
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
                with connection:  # commits, or rolls back
                    yield connection
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

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Use the connection for one block that reads rows and makes records of them.

        Yields:
            Connection whose rows have names.

        Raises:
            DataError: the database is damaged, or what its rows hold is.
            OutputError: it cannot be read.
        """
        expected = "expected a journal of soundspot. Restore it from a copy"
        with convert_read_errors(self.path, expected), self.connect() as connection:
            yield connection

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

    def count_rows(self) -> dict[str, int]:
        """Count the rows of each table.

        Returns:
            Name of the table -> number of rows.
        """
        with self.connect() as connection:
            return {name: connection.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in self._tables}

    def _read_version(self) -> int:
        with self.connect() as connection:
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return version


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


def match_annotator(connection: sqlite3.Connection, name: str, tables: Sequence[str] = ("decisions",)) -> str:
    """Return the name of an annotator as it was first written: `Ann`, `ann` and ` ANN` are one person.

    Args:
        connection: connection of a journal.
        name: name that the annotator gives.
        tables: tables of the journal with a column `annotator`.

    Returns:
        The name as it is in the earliest row; that given, without blanks around it, where there is none.

    Raises:
        DataError: the name is not valid.
    """
    name = check_annotator(name)
    query = "SELECT time, annotator FROM {} WHERE casefold(annotator) = ? ORDER BY id LIMIT 1"
    rows = [connection.execute(query.format(table), (name.casefold(),)).fetchone() for table in tables]
    return min((tuple(row) for row in rows if row is not None), default=("", name))[1]


def _schema(tables: Mapping[str, str], version: int, indexes: Sequence[str]) -> Iterator[str]:
    """Yield the statements that create the tables."""
    for name, columns in tables.items():
        yield f"CREATE TABLE {name} (id INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, {columns})"
        for event in ("update", "delete"):
            yield (
                f"CREATE TRIGGER no_{event}_of_{name} BEFORE {event.upper()} ON {name} "
                "BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END"
            )
    yield from indexes
    yield f"PRAGMA user_version = {version}"
