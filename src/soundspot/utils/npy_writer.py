"""Arrays written to disk some rows at a time, by a process that may be killed at any moment."""

import io
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from soundspot.utils.atomic_io import convert_os_errors, write_all


class NpyWriter:
    """An .npy of (rows, width) that grows row by row, in a `with` block. How far it has come is its length.

    One that is there already is gone on with, if it is of the same form; a row that is not whole is cut off.

    Attributes:
        done: rows that are written.
    """

    def __init__(self, path: Path, rows: int, width: int, dtype: DTypeLike) -> None:
        self.path, self.rows, self.width, self.dtype = path, rows, width, np.dtype(dtype)
        self._header = make_npy_header((rows, width), self.dtype)
        self._file = FileIO(path, "r+b" if path.exists() else "w+b")
        if self._file.read(len(self._header)) != self._header:
            self._file.seek(0)
            self._file.truncate()
            self._write(self._header)
        self.truncate(min(rows, (path.stat().st_size - len(self._header)) // (width * self.dtype.itemsize)))

    def truncate(self, rows: int) -> None:
        """Keeps that many rows."""
        self.num_written = rows
        end = len(self._header) + rows * self.width * self.dtype.itemsize
        self._file.truncate(end)
        self._file.seek(end)

    def append(self, rows: NDArray) -> None:
        """Writes the next rows.

        Raises:
            OutputError: it cannot be written; FullError: there is no room.
        """
        assert rows.shape[1:] == (self.width,), f"{self.path}: rows of {rows.shape[1:]}, expected {self.width}"
        self._write(np.ascontiguousarray(rows, self.dtype).data.cast("B"))
        self.num_written += len(rows)

    def _write(self, content: bytes | memoryview) -> None:
        with convert_os_errors(self.path):
            write_all(self._file, content)

    def __enter__(self) -> "NpyWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def make_npy_header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """What an .npy of such an array begins with."""
    begin = io.BytesIO()
    told = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(begin, told)
    return begin.getvalue()


def read_npy_width(path: Path) -> int | None:
    """The width of an array that was begun; None where there is none."""
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            return int(np.lib.format.read_array_header_1_0(file)[0][1])
    except (OSError, ValueError):
        return None
