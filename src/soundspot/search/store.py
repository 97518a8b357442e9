"""The files of an index: a SQLite database of files and windows, and one memory-mapped file of their embeddings.

Embeddings are on the disk before the transaction that says which window they belong to. Whatever is killed leaves rows
that belong to no window; the next writer cuts them off.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from errno import ENOSPC
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from soundspot.data.media.file_types import FILE_TYPES, FileType, check_inside
from soundspot.errors import DataError, OutputError, RecipeError
from soundspot.inference.localizer import Localizer
from soundspot.inference.mining.embed import compute_weights_digest
from soundspot.search.result import Failure
from soundspot.utils.atomic_io import convert_os_errors, lock_folder

DATABASE_FILE = "index.sqlite"
OLD_DATABASE_FILE = "catalogue.sqlite"  # of an index by `whence`
SCHEMA_VERSION = 1
METADATA_TYPES: dict[str, type] = {
    **{"root": bytes, "stride": float, "weights": str, "method": str, "checkpoint": str},
    **{"width": int, "num_rows": int, "generation": int},
}
INCOMPLETE = -1  # time of a file of which not all windows are written
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE metadata (name TEXT PRIMARY KEY, value);
CREATE TABLE files (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB UNIQUE NOT NULL, type INTEGER NOT NULL, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, digest BLOB NOT NULL, cause TEXT NOT NULL, message TEXT NOT NULL
);
CREATE TABLE windows (
    row INTEGER PRIMARY KEY, file INTEGER NOT NULL REFERENCES files (id) ON DELETE CASCADE, modality INTEGER NOT NULL,
    time REAL, checksum INTEGER NOT NULL
);
CREATE INDEX windows_of_file ON windows (file);
PRAGMA user_version = {SCHEMA_VERSION};
"""


class IncompleteIndexError(DataError):
    """An index whose creation was interrupted."""


@dataclass(frozen=True)
class FileRecord:
    """A file below the root of an index.

    Attributes:
        path: path relative to the root, in the system's bytes.
        file_type: `image`, `audio` or `video`.
        size: size in bytes.
        mtime_ns: modification time in nanoseconds; INCOMPLETE (-1) until all windows are written.
        digest: 16-byte hash of the content; empty until it is read.
        cause: reason why the file could not be indexed, in one or two words; empty for an indexed file.
        message: error message, or the peculiarity of an indexed file.
        id: id in the database; 0 until it is written.
    """

    path: bytes
    file_type: FileType
    size: int = 0
    mtime_ns: int = INCOMPLETE
    digest: bytes = b""
    cause: str = ""
    message: str = ""
    id: int = 0

    def with_failure(self, cause: str, message: str) -> "FileRecord":
        """Return a copy that says why the file could not be indexed.

        Args:
            cause: reason in one or two words, such as `unreadable`.
            message: error message, with a remedy.

        Returns:
            Record with the new cause and message, all else unchanged.
        """
        return replace(self, cause=cause, message=message)

    def to_failure(self, root: Path) -> Failure:
        """Convert the record of a file that could not be indexed to a failure.

        Args:
            root: folder of the files.

        Returns:
            Failure with the absolute path, the cause and the message.
        """
        return Failure(root / os.fsdecode(self.path), self.cause, self.message)


class IndexStore:
    """An open index folder; threads may share it.

    Args:
        folder: folder of the index.
        metadata: values of an index to create, by name; None: open the existing index.

    Raises:
        DataError: the folder holds no index, or the index is damaged or has another schema.
        IncompleteIndexError: the creation of the index was interrupted.
        OutputError: the index cannot be written.
    """

    def __init__(self, folder: Path, metadata: dict[str, Any] | None = None) -> None:
        self.folder, self.path = folder, folder / DATABASE_FILE
        self._lock, self._num_commits = RLock(), 0
        if metadata is None and (folder / OLD_DATABASE_FILE).is_file():
            raise DataError(
                f"{folder}: found an index by `whence`, expected one by soundspot. Remove the folder and index again: "
                "`soundspot search index FOLDER --model FILE`"
            )
        if metadata is None and not self.path.is_file():
            raise DataError(
                f"{folder}: found no index of files (no {DATABASE_FILE} in it). Make one: `soundspot search index "
                f"FOLDER --index {folder.name}`"
            )
        with self._translate_errors():
            self._connection = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA trusted_schema = OFF")
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._connection.execute("PRAGMA synchronous = FULL")
            if metadata is not None:
                self._connection.executescript(_SCHEMA)
                self.set_metadata(**metadata)
                self._connection.execute("COMMIT")
            version = self.select("PRAGMA user_version")[0][0]
        if version != SCHEMA_VERSION:
            self.close()
            finding = f"{self.path}: found the schema {version}, expected {SCHEMA_VERSION}. "
            if not version:
                raise IncompleteIndexError(finding + "Its creation was interrupted: index again")
            raise DataError(
                finding + "Another version of soundspot wrote it: update, or remove the folder and index again"
            )

    def close(self) -> None:
        """Close the connection to the database; the store cannot be used afterwards."""
        self._connection.close()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Let one thread at a time use the database, and raise its errors as DataError or OutputError."""
        with self._lock:
            try:
                yield
            except sqlite3.DatabaseError as error:
                text = str(error)
                if "is full" in text:
                    with convert_os_errors(self.path):
                        raise OSError(ENOSPC, os.strerror(ENOSPC)) from error
                if "locked" in text:
                    raise OutputError(
                        f"{self.path}: another run writes here and did not end in a minute. Wait for its end"
                    ) from error
                if "readonly" in text or "unable to open" in text or "I/O" in text:
                    raise OutputError(
                        f"{self.path}: cannot be read or written ({error}). Look at the permissions of its folder, "
                        "and at the room that its disk and the quota leave"
                    ) from error
                raise self._damage(str(error)) from error

    @contextmanager
    def transaction(self, mode: str = "IMMEDIATE") -> Iterator[None]:
        """Run the block in a transaction: all of its statements take effect, or none after an error.

        Args:
            mode: `IMMEDIATE` to write, which waits up to a minute for another writer; `DEFERRED` to read one state.

        Raises:
            OutputError: another process writes, or the database cannot be written (DiskFullError: no space is left).
            DataError: the database is damaged.
        """
        with self._translate_errors():
            self._connection.execute(f"BEGIN {mode}")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._num_commits += mode == "IMMEDIATE"

    def select(self, query: str, values: Sequence[Any] = ()) -> list[tuple]:
        """Run a SELECT statement.

        Args:
            query: SQL with a `?` for each value.
            values: values of the placeholders.

        Returns:
            All rows.

        Raises:
            DataError: the database is damaged.
            OutputError: the database cannot be read.
        """
        with self._translate_errors():
            return self._connection.execute(query, values).fetchall()

    def execute_many(self, statement: str, values: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each tuple of values; to be called in a `transaction`.

        Args:
            statement: SQL with a `?` for each value.
            values: values of the placeholders, a tuple for each run.
        """
        self._connection.executemany(statement, values)

    @property
    def version(self) -> tuple[int, int]:
        """Pair of integers that differs after any process has written."""
        return self.select("PRAGMA data_version")[0][
            0
        ], self._num_commits  # data_version tells of other connections only

    def get_metadata(self) -> dict[str, Any]:
        """Return the values that belong to the whole index.

        Returns:
            Name -> value: `root`, `width`, `num_rows`, `generation`, `weights`, `method`, `checkpoint`, `stride`.
        """
        metadata = dict(self.select("SELECT name, value FROM metadata"))
        for name, type_ in METADATA_TYPES.items():
            value = metadata.get(name)
            if not isinstance(value, type_) or (isinstance(value, int) and value < 0):
                raise self._damage(f"found {value!r:.60} for {name}")
        return metadata

    def _damage(self, problem: str) -> DataError:
        return DataError(
            f"{self.path}: is damaged ({problem}), expected an index by `soundspot search index`. Put a copy back, or "
            "remove the folder and index again; your own files are not touched by that"
        )

    def set_metadata(self, **values: Any) -> None:
        """Write values that belong to the whole index; to be called in a `transaction`.

        Args:
            values: names and values to add or replace.
        """
        self.execute_many("INSERT OR REPLACE INTO metadata VALUES (?, ?)", values.items())

    def list_files(self, condition: str = "1", values: Sequence[Any] = ()) -> list[FileRecord]:
        """List the records of the files that satisfy a condition, sorted by path.

        Args:
            condition: SQL expression over the columns of `files`, with a `?` for each value; "1": all files.
            values: values of the placeholders.

        Returns:
            Records of indexed files, of files that are being indexed, and of failures.

        Raises:
            DataError: the condition is not valid SQL, the number of values is wrong, or the database is damaged.
            OutputError: the database cannot be read.
        """
        columns = "path, type, size, mtime_ns, digest, cause, message, id"
        rows = self.select(f"SELECT {columns} FROM files WHERE {condition} ORDER BY path", values)
        return [FileRecord(self._check_path(path), self._file_type(code), *rest) for path, code, *rest in rows]

    def get_paths(self, ids: Sequence[int]) -> dict[int, bytes]:
        """Return the paths of files by their ids.

        Args:
            ids: ids of files.

        Returns:
            Id -> path relative to the root, in the system's bytes; ids of deleted files are left out.
        """
        query = "SELECT id, path FROM files WHERE id IN (SELECT value FROM json_each(?))"
        return {id: self._check_path(path) for id, path in self.select(query, [json.dumps(ids)])}

    def _check_path(self, path: Any) -> bytes:
        """Return the path of a file, which may not lead out of the root: an index may be somebody else's."""
        if not isinstance(path, bytes):
            raise self._damage(f"found the path {path!r:.60}")
        check_inside(os.fsdecode(path), self.folder)
        return path

    def _file_type(self, code: Any) -> FileType:
        if code not in range(len(FILE_TYPES)):
            raise self._damage(f"found the file type {code!r:.60}")
        return FILE_TYPES[code]

    def insert_file(self, file: FileRecord) -> int:
        """Insert a file; a file of the same path is deleted with its windows; to be called in a `transaction`.

        Args:
            file: record of the file; its `id` is ignored.

        Returns:
            The new id.
        """
        self.delete_files([file.path])
        values = (file.path, FILE_TYPES.index(file.file_type), file.size, file.mtime_ns, file.digest)
        statement = (
            "INSERT INTO files (path, type, size, mtime_ns, digest, cause, message) VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        return int(self._connection.execute(statement, (*values, file.cause, file.message)).lastrowid or 0)

    def delete_files(self, paths: Iterable[bytes]) -> None:
        """Delete files with their windows; to be called in a `transaction`.

        Args:
            paths: paths relative to the root, in the system's bytes; unknown paths are ignored.
        """
        self.execute_many("DELETE FROM files WHERE path = ?", ((path,) for path in paths))

    def count_files(self) -> dict[FileType, int]:
        """Count the indexed files of each type, without failures.

        Returns:
            Number of files by `image`, `audio` and `video`, 0 included.
        """
        counts = dict(self.select("SELECT type, COUNT(*) FROM files WHERE cause = '' GROUP BY type"))
        return {file_type: counts.get(code, 0) for code, file_type in enumerate(FILE_TYPES)}

    def vector_path(self, generation: int) -> Path:
        """Return the path of the embeddings: (n, d) little-endian float32 rows without a header.

        Args:
            generation: number of the vector file; each new file leaves out the rows that belong to no window.

        Returns:
            Path of `vectors-N.f32` in the folder.
        """
        return self.folder / f"vectors-{generation}.f32"

    def open_vectors(self, num_rows: int, width: int, generation: int) -> Float32[np.ndarray, "n d"]:
        """Map the embeddings into memory; the file may hold more rows, which are left out.

        Args:
            num_rows: number n of rows.
            width: number d of values in a row.
            generation: number of the vector file.

        Returns:
            (n, d) float32; writing to it does not change the file.

        Raises:
            DataError: the file is missing, or has fewer rows than expected.
        """
        if not num_rows:
            return np.empty((0, width), np.float32)
        path, expected = self.vector_path(generation), num_rows * width * 4
        size = path.stat().st_size if path.exists() else None
        if size is None or size < expected:
            raise DataError(
                f"{path}: found {'no such file' if size is None else f'{size} bytes'}, expected {expected} or more for "
                f"the {num_rows} vectors of this index. Put a copy back, or remove the folder and index again"
            )
        # Mode "c": nothing is written, but torch wants an array that could be.
        return np.memmap(path, "<f4", "c", shape=(num_rows, width))

    def remove_stale_files(self, generation: int) -> None:
        """Remove vector files of other generations, which a killed process may have left.

        Args:
            generation: number of the vector file that stays.
        """
        for path in self.folder.glob("vectors-*.f32"):
            if path != self.vector_path(generation):
                path.unlink()


def is_index(folder: str | os.PathLike[str]) -> bool:
    """Return True if a folder holds an index; False also for an index whose creation was interrupted.

    Args:
        folder: path of a folder, which need not exist.

    Returns:
        Whether it can be opened.

    Raises:
        DataError: the folder holds a damaged index, or an index by `whence`.
    """
    if not any((Path(folder) / name).is_file() for name in (DATABASE_FILE, OLD_DATABASE_FILE)):
        return False
    try:
        IndexStore(Path(folder)).close()
    except IncompleteIndexError:
        return False
    return True


def create_store(folder: Path, localizer: Localizer, root: Path, stride: float) -> IndexStore:
    """Create the store of an empty index.

    Args:
        folder: folder of the index; it may exist if it is empty, or holds an index whose creation was interrupted.
        localizer: localizer that embeds the files and queries.
        root: folder of the files.
        stride: seconds between the windows of a video or a long audio.

    Returns:
        The open store.

    Raises:
        OutputError: the folder holds an index or something else, or cannot be written.
        RecipeError: the method takes no waveforms, or `stride` is not positive.
        DataError: the root is no folder.
    """
    if not localizer.takes_waveforms:
        raise RecipeError(
            f"{localizer.name} takes no waveforms but audio embeddings of another network, so files cannot be indexed "
            "by it. Use a checkpoint with an audio encoder of its own"
        )
    if not stride > 0:
        raise RecipeError(f"stride: found {stride:g}, expected more than 0 seconds")
    if not root.is_dir():
        raise DataError(f"{root}: found no such folder, expected the one of your files. Check the path")
    _check_free(folder)
    with convert_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    spec = localizer.method.front_end.image
    metadata = {
        "root": os.fsencode(root),
        "width": localizer.embed_pixels(torch.zeros(1, spec.num_channels, spec.size, spec.size)).shape[1],
        "num_rows": 0,
        "generation": 0,
        "weights": compute_weights_digest(localizer),
        "method": localizer.name,
        "checkpoint": localizer.model_name or localizer.checkpoint,
        "stride": stride,
    }
    with lock_folder(folder):
        _check_free(folder)  # another process may have created an index meanwhile
        for path in folder.iterdir():
            path.unlink()
        return IndexStore(folder, metadata)


def _check_free(folder: Path) -> None:
    """Raise OutputError if a folder holds anything but an index whose creation was interrupted."""
    if is_index(folder):
        raise OutputError(f"{folder}: holds an index already. Open it, or give another name")
    leftovers = {DATABASE_FILE, f"{DATABASE_FILE}-journal"}
    if folder.exists() and not (folder.is_dir() and all(path.name in leftovers for path in folder.iterdir())):
        raise OutputError(f"{folder}: holds something else. Give another name for the index")
