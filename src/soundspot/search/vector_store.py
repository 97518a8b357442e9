"""The vectors of an index: rows of float32 on disk, appended to by one process, mapped into memory by any number."""

import os
import zlib
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from soundspot.errors import DataError
from soundspot.utils.atomic_io import convert_os_errors, write_all

BLOCK = 8192  # rows at a time


def vector_path(folder: Path, generation: int) -> Path:
    """Rows (n, width), without a header, least byte first. A new generation leaves out rows that belong to nothing."""
    return folder / f"vectors-{generation}.f32"


def open_vectors(path: Path, rows: int, width: int) -> Float32[np.ndarray, "n d"]:
    """The rows of a file of vectors, read as they are looked at.

    Raises:
        DataError: the file is missing, or has fewer rows than it should.
    """
    if not rows:
        return np.empty((0, width), np.float32)
    wanted = rows * width * 4
    found = path.stat().st_size if path.exists() else None
    if found is None or found < wanted:
        raise DataError(
            f"{path}: found {'no such file' if found is None else f'{found} bytes'}, expected {wanted} or more for the "
            f"{rows} vectors of this index. Put a copy back, or remove the folder and index again"
        )
    # "c": nothing is written; torch wants an array that could be.
    return np.memmap(path, "<f4", "c", shape=(rows, width))


class VectorWriter:
    """Appends rows, in a `with` block; what lies behind the rows that the catalogue knows is cut off.

    Raises:
        OutputError: it cannot be written; FullError: there is no room.
    """

    def __init__(self, path: Path, rows: int, width: int) -> None:
        self.path, self.num_rows, self.width = path, rows, width
        with convert_os_errors(self.path):
            self._file = FileIO(self.path, "r+b" if self.path.exists() else "w+b")
            self._file.truncate(rows * width * 4)
            self._file.seek(rows * width * 4)

    def append(self, vectors: Float32[np.ndarray, "n d"]) -> int:
        """Writes the next rows and waits until the disk has them; the first of them."""
        first = self.num_rows
        with convert_os_errors(self.path):
            write_all(self._file, np.ascontiguousarray(vectors, "<f4").data.cast("B"))
            os.fsync(self._file.fileno())
        self.num_rows += len(vectors)
        return first

    def __enter__(self) -> "VectorWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def write_compacted(vectors: Float32[np.ndarray, "n d"], rows: Int64[np.ndarray, " m"], path: Path) -> None:
    """Writes those rows alone, in their order, to another file."""
    with VectorWriter(path, 0, vectors.shape[1]) as writer:
        for some in np.array_split(rows, max(1, -(-len(rows) // BLOCK))):
            writer.append(vectors[some])


def compute_checksums(vectors: Float32[np.ndarray, "n d"]) -> Iterator[int]:
    """CRC-32 of each row."""
    return (zlib.crc32(row) for row in np.ascontiguousarray(vectors, "<f4"))


def find_damaged_rows(
    vectors: Float32[np.ndarray, "n d"], rows: Int64[np.ndarray, " m"], expected: Int64[np.ndarray, " m"]
) -> list[int]:
    """Rows that are not what was written."""
    return [
        int(row)
        for first in range(0, len(rows), BLOCK)
        for row, right, found in zip(
            rows[first : first + BLOCK],
            expected[first : first + BLOCK],
            compute_checksums(vectors[rows[first : first + BLOCK]]),
            strict=True,
        )
        if right != found
    ]


def remove_stale_files(folder: Path, generation: int) -> None:
    """Removes the files of other generations, which a killed process may have left."""
    for path in folder.iterdir():
        kind, _, rest = path.name.partition("-")
        if kind in ("vectors", "inverted") and rest.replace(".", "-").partition("-")[0] != str(generation):
            path.unlink()
