"""Rows of a long tensor, appended in batches and looked up later; they lie in a file, so that memory stays small."""

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from tempfile import SpooledTemporaryFile

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from soundspot.utils.atomic_io import convert_os_errors, temporary_path

MAX_MEMORY_BYTES = 2**22  # more lies in a file without a name, which is gone with the process
BLOCK_BYTES = 2**22  # of the blocks of `iter_blocks`


class DiskTensor:
    """Rows (n, ...) of one shape and dtype, in the order in which they were appended, stored in a temporary file.

    Attributes:
        device: device of the rows appended last, to which rows are returned when they are looked up.
    """

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=MAX_MEMORY_BYTES)  # noqa: SIM115 (closed with this object)
        weakref.finalize(self, self._file.close)
        self._like = torch.empty(0)
        self._n = 0
        self.device = torch.device("cpu")

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._n

    def append(self, rows: Shaped[Tensor, "b ..."]) -> None:
        """Append rows.

        Args:
            rows: (b, ...) tensor; rows have the shape and dtype of those appended before.

        Raises:
            OutputError: the rows cannot be written (DiskFullError: no space is left).
        """
        if not self._n:
            self._like = torch.empty(0, *rows.shape[1:], dtype=rows.dtype)
        assert rows.shape[1:] == self._like.shape[1:], "rows of another shape"
        with convert_os_errors(temporary_path("soundspot-rows")):
            self._file.seek(0, 2)
            self._file.write(rows.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
            self._file.flush()  # an error when the file is closed would be nobody's
        self._n += len(rows)
        self.device = rows.device

    def __getitem__(self, index: slice | Int[Tensor, " b"]) -> Shaped[Tensor, "b ..."]:
        """Read rows.

        Args:
            index: slice (of step 1) or (b,) tensor of row indices from 0.

        Returns:
            (b, ...) rows in the order of the index, on `device`.
        """
        if isinstance(index, slice):
            start, stop, _ = index.indices(self._n)
            return self._read(start, max(0, stop - start)).to(self.device)
        starts = [0, *(1 + (index.diff() != 1).nonzero()[:, 0]).tolist()]  # neighbors are read at once
        runs = (index[start:stop] for start, stop in pairwise([*starts, len(index)]))
        return torch.cat([self._like, *(self._read(int(run[0]), len(run)) for run in runs if len(run))]).to(self.device)

    def iter_blocks(self) -> Iterator[Shaped[Tensor, "b ..."]]:
        """Iterate over all rows in order, in blocks of about 4 MB.

        Yields:
            (b, ...) rows on the CPU.
        """
        step = max(1, BLOCK_BYTES // max(1, self._row_bytes))
        return (self._read(start, min(step, self._n - start)) for start in range(0, self._n, step))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (n, ...) of all rows as a tensor."""
        return self._n, *self._like.shape[1:]

    @property
    def _row_bytes(self) -> int:
        return self._like.shape[1:].numel() * self._like.element_size()

    def _read(self, start: int, n: int) -> Tensor:
        if not n * self._row_bytes:
            return self._like.new_empty((n, *self._like.shape[1:]))
        self._file.seek(start * self._row_bytes)
        buffer = bytearray(self._file.read(n * self._row_bytes))
        return torch.frombuffer(buffer, dtype=self._like.dtype).reshape(n, *self._like.shape[1:])


@dataclass(frozen=True)
class RowView:
    """Rows of a `DiskTensor` in another order, read like a tensor.

    Attributes:
        rows: tensor on disk.
        indices: (n,) index in `rows` of each row of the view.
    """

    rows: DiskTensor
    indices: Int[Tensor, " n"]

    def __len__(self) -> int:
        """Return the number of rows of the view."""
        return len(self.indices)

    def __getitem__(self, index: slice, /) -> Shaped[Tensor, "b ..."]:
        """Read rows of the view.

        Args:
            index: slice of the n rows.

        Returns:
            (b, ...) rows, on the device of the tensor.
        """
        return self.rows[self.indices[index]]
