"""Few candidates for the nearest of each row, by a product in low precision with a proven bound of its error."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int32, Int64
from numpy.typing import NDArray
from torch import Tensor

from soundspot.utils.device import has_native_bf16

PARTS = 3  # numbers of 8 bits that hold one of 24


@dataclass(frozen=True)
class CandidatePairs:
    """Rows and columns that are compared, by column and then by row, and how similar they are."""

    row: Int64[Tensor, " p"]
    column: Int64[Tensor, " p"]
    value: Float[Tensor, " p"]

    @classmethod
    def none(cls) -> "CandidatePairs":
        at = torch.empty(0, dtype=torch.int64)
        return cls(at, at, torch.empty(0, dtype=torch.float64))

    def __getitem__(self, which: Tensor) -> "CandidatePairs":
        return CandidatePairs(self.row[which], self.column[which], self.value[which])

    def by_row(self, rows: int) -> tuple[Int64[Tensor, " p"], Int64[Tensor, " r"]]:
        """The order by row and then by column, and how many pairs each of so many rows has."""
        order = self.row.short().sort(stable=True).indices  # a radix sort, as there are few rows
        return order, torch.bincount(self.row, minlength=rows)


def pad_rows(values: Float[Tensor, " p"], count: Int64[Tensor, " r"]) -> Float[Tensor, "r w"]:
    """Values that stand row by row as lines of one length, filled up with -inf."""
    filled = torch.arange(int(count.max()), device=count.device) < count[:, None]
    return torch.full(filled.shape, -torch.inf, dtype=values.dtype, device=count.device).masked_scatter_(filled, values)


def top_k_columns(pairs: CandidatePairs, rows: int, k: int) -> Int32[Tensor, "r k"]:
    """The k best columns of each row, the best first; of equals the lower one. Each row has as many."""
    by_row, count = pairs.by_row(rows)
    lines = pad_rows(pairs.value[by_row], count)
    place = lines.sort(dim=1, descending=True, stable=True).indices[:, :k] + (count.cumsum(0) - count)[:, None]
    return pairs.column[by_row[place]].int()


def pair_similarities(
    unit: Float64[Tensor, "n d"], rows: Float64[Tensor, "r d"], row: Int64[Tensor, " p"], column: Int64[Tensor, " p"]
) -> Float64[Tensor, " p"]:
    """rows[row] . unit[column] of pairs in the order of their columns: so each column is fetched once."""
    ends = torch.bincount(column, minlength=len(unit)).cumsum(0)
    starts = torch.cat([ends.new_zeros(1), ends])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        nothing, shape = unit.new_zeros(len(row)), (len(unit), len(rows))
        asked = torch.sparse_csr_tensor(starts, row, nothing, shape, check_invariants=False)  # they hold by the order
    return torch.sparse.sampled_addmm(asked, unit, rows.T, beta=0).values()


@dataclass(frozen=True)
class CandidateFilter:
    """A product in low precision that leaves few candidates, and surely the k nearest among them.

    With m the mean of all vectors, row i = m + v_i ranks the columns by v_i . v_j + m . v_j, of which the last is a
    number of each column. It enters by a few more channels, as does each row's floor, so that the product says by its
    sign alone who stays; and what is rounded is no longer than vectors differ. With r and c the rounded v_i and v_j,
    |v_i . v_j - r . c| <= |v_i - r| |v_j| + |r| |v_j - c|; errors of summation and of the result are added.
    """

    mean: Float64[Tensor, " d"]
    columns: Float[Tensor, "n e"]
    sample: Float[Tensor, "m e"]
    k: int
    rank: int
    norm: float  # greatest |v|
    off: float  # greatest |v - c|
    shift: float  # greatest |m . v|
    score: Float[Tensor, " s"]  # room for a product, and for who stays: fresh memory takes as long as the product
    above: NDArray[np.bool_]

    @classmethod
    def of(cls, unit: Float64[Tensor, "n d"], k: int, sample: int, rows: int) -> "CandidateFilter":
        """For the k nearest, with floors guessed from so many columns, and room for so many rows at once."""
        n, d = unit.shape
        mean = unit.mean(dim=0)
        dtype = torch.bfloat16 if has_native_bf16() else torch.float32
        columns = torch.zeros(n, -(-(d + 2 * PARTS) // 32) * 32, dtype=dtype)
        columns[:, d + PARTS : d + 2 * PARTS] = 1
        norm = off = most = 0.0
        for some in row_blocks(n):
            centred = unit[some] - mean
            shift = centred @ mean
            columns[some, :d] = centred.to(dtype)
            columns[some, d : d + PARTS] = _parts(shift, dtype)
            norm = max(norm, float(centred.norm(dim=1).max()))
            off = max(off, float((centred - columns[some, :d]).norm(dim=1).max()))
            most = max(most, float(shift.abs().max()))
        chosen = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: min(sample, n // 4)]
        expected = k * len(chosen) / n
        rank = min(int(expected + 3 * expected**0.5 + 3), len(chosen))
        score, above = torch.empty(n * rows, dtype=dtype), np.empty(n * rows, bool)
        return cls(mean, columns, columns[chosen], k, rank, norm, off, most, score, above)

    def __call__(
        self, unit: Float64[Tensor, "n d"], codes: Int64[Tensor, " n"], rows: Int64[Tensor, " r"]
    ) -> tuple[CandidatePairs, Tensor]:
        """Candidates of some rows, compared exactly, and which rows have them; others are to be compared with all."""
        dtype, d, r = self.columns.dtype, unit.shape[1], len(rows)
        own = unit[rows]
        centred = own - self.mean
        rough = torch.zeros(r, self.columns.shape[1], dtype=dtype)
        rough[:, :d] = centred.to(dtype)
        rough[:, d : d + PARTS] = 1
        norm, off = centred.norm(dim=1), (centred - rough[:, :d]).norm(dim=1)
        rounding = torch.finfo(dtype).eps
        error = off * self.norm + (norm + off) * self.off
        guess = kth_largest((rough @ self.sample.T).float(), self.rank).double()
        floor = guess - 2 * error - rounding * guess.abs()
        rough[:, d + PARTS : d + 2 * PARTS] = -_parts(floor, dtype)
        error += (rough.shape[1] + 8) * 2.0**-23 * (norm * self.norm + self.shift + floor.abs())

        score, above = self.score[: len(unit) * r].view(-1, r), self.above[: len(unit) * r]
        torch.mm(self.columns, rough.T, out=score)  # how far above each row's floor a column is
        signed = score.view(torch.int16 if score.itemsize == 2 else torch.int32).view(-1).numpy()
        np.greater_equal(signed, 0, out=above)  # as their sign bits say; quicker than torch on floats
        if not r * self.k <= np.count_nonzero(above) <= r * self.k * 16:
            return CandidatePairs.none(), torch.zeros(r, dtype=torch.bool)
        flat = torch.from_numpy(np.flatnonzero(above))
        column = flat // r
        pairs = CandidatePairs(flat - column * r, column, score.view(-1)[flat].float())
        pairs = pairs[codes[rows][pairs.row] != codes[column]]
        by_row, count = pairs.by_row(r)
        least = kth_largest(pad_rows(pairs.value[by_row], count), self.k).double()
        least -= error + rounding * least.abs()  # the k-th similarity is no less
        held = least > error  # what is below the floor may be `error` above it in truth
        near = (pairs.value + rounding * pairs.value.abs() >= (least - error)[pairs.row]) & held[pairs.row]
        pairs = pairs[near]
        return CandidatePairs(pairs.row, pairs.column, pair_similarities(unit, own, pairs.row, pairs.column)), held


def kth_largest(values: Float[Tensor, "r n"], k: int) -> Float[Tensor, " r"]:
    """The k-th greatest of each row, -inf where there are fewer."""
    if values.shape[1] < k:
        return values.new_full((len(values),), -torch.inf)
    at = values.shape[1] - k
    return torch.from_numpy(np.partition(values.numpy(), at, axis=1)[:, at])


def _parts(numbers: Float64[Tensor, " n"], dtype: torch.dtype) -> Float[Tensor, "n p"]:
    """Numbers as sums of PARTS numbers in low precision, together as good as float32."""
    parts: list[Tensor] = []
    for _ in range(PARTS):
        parts.append(numbers.to(dtype))
        numbers = numbers - parts[-1]
    return torch.stack(parts, dim=1)


def row_blocks(n: int, size: int = 8192) -> list[slice]:
    """n rows, some at a time."""
    return [slice(first, min(first + size, n)) for first in range(0, n, size)]
