"""Rows of a long tensor, put by as they come and looked up later: in a file, so that memory does not grow with them."""

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from tempfile import SpooledTemporaryFile

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

MAX_MEMORY_BYTES = 2**22  # bytes kept in memory; more lie in a file without a name, which is gone with the process
BLOCK_BYTES = 2**22  # bytes of rows read at a time by `blocks`


class DiskTensor:
    """Rows (n, ...) of one shape and kind, in the order in which they were added.

    Attributes:
        device: where rows come back: where the last ones that were added came from.
    """

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=MAX_MEMORY_BYTES)  # noqa: SIM115 (closed with this object)
        weakref.finalize(self, self._file.close)
        self._like = torch.empty(0)
        self._n = 0
        self.device = torch.device("cpu")

    def __len__(self) -> int:
        return self._n

    def append(self, rows: Shaped[Tensor, "b ..."]) -> None:
        """Add some rows, shaped as all before them."""
        if not self._n:
            self._like = torch.empty(0, *rows.shape[1:], dtype=rows.dtype)
        assert rows.shape[1:] == self._like.shape[1:], "rows of another shape"
        self._file.seek(0, 2)
        self._file.write(rows.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        self._n += len(rows)
        self.device = rows.device

    def __getitem__(self, index: slice | Int[Tensor, " b"]) -> Shaped[Tensor, "b ..."]:
        """Rows by their numbers, or those from one number to another."""
        if isinstance(index, slice):
            start, stop, _ = index.indices(self._n)
            return self._read(start, max(0, stop - start)).to(self.device)
        starts = [0, *(1 + (index.diff() != 1).nonzero()[:, 0]).tolist()]  # neighbours are read together
        runs = (index[start:stop] for start, stop in pairwise([*starts, len(index)]))
        return torch.cat([self._like, *(self._read(int(run[0]), len(run)) for run in runs if len(run))]).to(self.device)

    def iter_blocks(self) -> Iterator[Shaped[Tensor, "b ..."]]:
        """All rows, some at a time, on the CPU."""
        step = max(1, BLOCK_BYTES // max(1, self._bytes))
        return (self._read(start, min(step, self._n - start)) for start in range(0, self._n, step))

    @property
    def shape(self) -> tuple[int, ...]:
        return self._n, *self._like.shape[1:]

    @property
    def _bytes(self) -> int:
        """Of a row."""
        return self._like.shape[1:].numel() * self._like.element_size()

    def _read(self, start: int, n: int) -> Tensor:
        if not n * self._bytes:
            return self._like.new_empty((n, *self._like.shape[1:]))
        self._file.seek(start * self._bytes)
        raw = bytearray(self._file.read(n * self._bytes))
        return torch.frombuffer(raw, dtype=self._like.dtype).reshape(n, *self._like.shape[1:])


@dataclass(frozen=True)
class RowView:
    """Some of the rows, in an order of their own, read like a tensor of them."""

    rows: DiskTensor
    indices: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: slice, /) -> Shaped[Tensor, "b ..."]:
        return self.rows[self.indices[index]]
