"""Arrays written to disk row by row, by a process that may be killed at any moment."""

import io
import os
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from soundspot.utils.atomic_io import convert_os_errors, write_all


class RowWriter:
    """Append rows to an array on disk; to be used in a `with` block.

    The length of the file says how many rows are written: an existing file is continued if it begins with the same
    header, else emptied; an incomplete last row is cut off.

    Args:
        path: path of the file: the header, then the rows in C order.
        width: number of values in a row.
        dtype: type of the values; rows are converted to it.
        num_rows: number of rows of the complete array, for the header of an .npy file; None: a raw file without a
            header.

    Attributes:
        num_written: number of complete rows in the file.

    Raises:
        OutputError: the file cannot be opened or written (DiskFullError: no space is left).
    """

    def __init__(self, path: Path, width: int, dtype: DTypeLike = np.float32, num_rows: int | None = None) -> None:
        self.path, self.width, self.dtype = path, width, np.dtype(dtype)
        self._header = header = b"" if num_rows is None else make_npy_header((num_rows, width), self.dtype)
        with convert_os_errors(path):
            self._file = FileIO(path, "r+b" if path.exists() else "w+b")
        if self._file.read(len(header)) != header:
            self._file.truncate(0)
            self._file.seek(0)
            self._write(header)
        self.truncate((path.stat().st_size - len(header)) // (width * self.dtype.itemsize))

    def truncate(self, num_rows: int) -> None:
        """Cut the file after its first rows.

        Args:
            num_rows: number of rows to keep; the next `append` follows them.

        Raises:
            OutputError: the file cannot be written.
        """
        self.num_written = num_rows
        end = len(self._header) + num_rows * self.width * self.dtype.itemsize
        with convert_os_errors(self.path):
            self._file.truncate(end)
        self._file.seek(end)

    def append(self, rows: NDArray) -> None:
        """Write the next rows, unbuffered: they survive a killed process, though not a power cut before `sync`.

        Args:
            rows: (m, width) values.

        Raises:
            OutputError: the file cannot be written (DiskFullError: no space is left).
        """
        assert rows.shape[1:] == (self.width,), f"{self.path}: rows of {rows.shape[1:]}, expected {self.width}"
        self._write(np.ascontiguousarray(rows, self.dtype).data.cast("B"))
        self.num_written += len(rows)

    def sync(self) -> None:
        """Wait until all rows so far are on the disk (fsync).

        Raises:
            OutputError: the file cannot be written.
        """
        with convert_os_errors(self.path):
            os.fsync(self._file.fileno())

    def _write(self, content: bytes | memoryview) -> None:
        with convert_os_errors(self.path):
            write_all(self._file, content)

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def make_npy_header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """Return the first bytes of an .npy file (format 1.0) that holds a C-contiguous array.

    Args:
        shape: shape of the array.
        dtype: type of its values.

    Returns:
        Magic number, version and header; the values follow it in the file.
    """
    buffer = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, description)
    return buffer.getvalue()


def read_npy_width(path: Path) -> int | None:
    """Read the number of columns from the header of an .npy file, whose rows may be incomplete.

    Args:
        path: path of the file.

    Returns:
        Size of the second axis; None where there is no such file or its header cannot be read.
    """
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            return int(np.lib.format.read_array_header_1_0(file)[0][1])
    except (OSError, ValueError):
        return None


def map_npy_rows(path: Path, num_rows: int, writable: bool = False) -> NDArray:
    """Map the first rows of an .npy file into memory, whose later rows may be missing.

    Args:
        path: path of a file by `RowWriter`.
        num_rows: number of rows, 1 or more, that are there.
        writable: whether changes of the array are written to the file.

    Returns:
        (num_rows, width) array.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is no .npy, or is shorter.
    """
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        (_, width), _, dtype = np.lib.format.read_array_header_1_0(file)
        offset = file.tell()
    return np.memmap(path, dtype, "r+" if writable else "r", offset, (num_rows, width))
