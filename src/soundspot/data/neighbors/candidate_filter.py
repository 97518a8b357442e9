"""Few candidates for the nearest neighbors of each row, by a low-precision product with a proven bound of its error."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int32, Int64
from torch import Tensor

from soundspot.utils.device import has_native_bf16

NUM_TERMS = 3  # bfloat16 numbers whose sum is as good as one float32


@dataclass(frozen=True)
class CandidatePairs:
    """Pairs of rows and columns to compare, sorted by column and then by row.

    Attributes:
        row: (p,) positions among the rows searched.
        column: (p,) positions in the set.
        value: (p,) similarity of each pair.
    """

    row: Int64[Tensor, " p"]
    column: Int64[Tensor, " p"]
    value: Float[Tensor, " p"]

    def __getitem__(self, mask: Tensor) -> "CandidatePairs":
        return CandidatePairs(self.row[mask], self.column[mask], self.value[mask])

    def sort_by_row(self, num_rows: int) -> tuple[Int64[Tensor, " p"], Int64[Tensor, " r"]]:
        """Return the order that sorts the pairs by row and then by column.

        Args:
            num_rows: number of rows searched, r.

        Returns:
            (p,) positions of the pairs in that order, and the (r,) number of pairs of each row.
        """
        order = self.row.short().sort(stable=True).indices  # a radix sort, as there are few rows
        return order, torch.bincount(self.row, minlength=num_rows)


def pad_rows(values: Float[Tensor, " p"], counts: Int64[Tensor, " r"]) -> Float[Tensor, "r w"]:
    """Arrange values that are stored row by row as a matrix, padded with -inf at the end of each row.

    Args:
        values: (p,) values, those of the first row first.
        counts: (r,) number of values of each row; they sum to p.

    Returns:
        (r, w) matrix; w is the largest count.
    """
    filled = torch.arange(int(counts.max()), device=counts.device) < counts[:, None]
    padded = torch.full(filled.shape, -torch.inf, dtype=values.dtype, device=counts.device)
    return padded.masked_scatter_(filled, values)


def top_k_columns(pairs: CandidatePairs, num_rows: int, k: int) -> Int32[Tensor, "r k"]:
    """Return the k most similar columns of each row, most similar first; ties by the lower position.

    Args:
        pairs: candidate pairs, at least k of each row.
        num_rows: number of rows searched, r.
        k: number of columns to return.

    Returns:
        (r, k) int32 positions in the set.
    """
    order, counts = pairs.sort_by_row(num_rows)
    ranking = pad_rows(pairs.value[order], counts).sort(dim=1, descending=True, stable=True).indices[:, :k]
    return pairs.column[order[ranking + (counts.cumsum(0) - counts)[:, None]]].int()


def pair_similarities(
    unit: Float64[Tensor, "n d"], rows: Float64[Tensor, "r d"], row: Int64[Tensor, " p"], column: Int64[Tensor, " p"]
) -> Float64[Tensor, " p"]:
    """Compute the dot products of pairs of vectors, fetching each column once.

    Args:
        unit: (n, d) vectors of the set.
        rows: (r, d) vectors searched.
        row: (p,) position in `rows` of each pair.
        column: (p,) position in `unit` of each pair; the pairs are sorted by it.

    Returns:
        (p,) float64, rows[row] . unit[column].
    """
    ends = torch.bincount(column, minlength=len(unit)).cumsum(0)
    starts = torch.cat([ends.new_zeros(1), ends])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        zeros, shape = unit.new_zeros(len(row)), (len(unit), len(rows))
        pattern = torch.sparse_csr_tensor(starts, row, zeros, shape, check_invariants=False)  # they hold by the order
    return torch.sparse.sampled_addmm(pattern, unit, rows.T, beta=0).values()


class CandidateFilter:
    """Low-precision product that leaves few candidates per row, the k nearest neighbors surely among them.

    With m the mean of all vectors, row i = m + v_i ranks the columns by v_i . v_j + m . v_j, of which the last is one
    number per column. It enters by NUM_TERMS more channels, as does each row's threshold, so that the sign of the
    product says which columns pass, and the rounded numbers are as small as the differences of vectors. With r and c
    the rounded v_i and v_j, |v_i . v_j - r . c| <= |v_i - r| |v_j| + |r| |v_j - c|; errors of summation and of the
    result are added.

    Called with (unit vectors, (n,) group codes, (r,) rows), it returns the candidates of these rows with exact
    similarities, and an (r,) mask of the rows for which they are complete.

    Args:
        unit: (n, d) vectors of unit norm, on the CPU.
        k: number of neighbors.
        sample_size: number of columns from which the threshold of a row is estimated.
        max_rows: largest number of rows of a call, for which memory is reserved: fresh memory takes as long as the
            product.
    """

    def __init__(self, unit: Float64[Tensor, "n d"], k: int, sample_size: int, max_rows: int) -> None:
        n, d = unit.shape
        self.k, self.mean = k, unit.mean(dim=0)
        dtype = torch.bfloat16 if has_native_bf16() else torch.float32
        self.columns = torch.zeros(n, -(-(d + 2 * NUM_TERMS) // 32) * 32, dtype=dtype)
        self.columns[:, d + NUM_TERMS : d + 2 * NUM_TERMS] = 1
        self.max_norm = self.max_error = self.max_offset = 0.0  # of |v|, |v - c| and |m . v|
        for block in row_blocks(n):
            centered = unit[block] - self.mean
            offset = centered @ self.mean
            self.columns[block, :d] = centered.to(dtype)
            self.columns[block, d : d + NUM_TERMS] = _split_precision(offset, dtype)
            self.max_norm = max(self.max_norm, float(centered.norm(dim=1).max()))
            self.max_error = max(self.max_error, float((centered - self.columns[block, :d]).norm(dim=1).max()))
            self.max_offset = max(self.max_offset, float(offset.abs().max()))
        sample = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: min(sample_size, n // 4)]
        self.sample = self.columns[sample]
        expected = k * len(sample) / n
        self.sample_rank = min(int(expected + 3 * expected**0.5 + 3), len(sample))
        self._scores, self._passes = torch.empty(n * max_rows, dtype=dtype), np.empty(n * max_rows, bool)

    def __call__(
        self, unit: Float64[Tensor, "n d"], groups: Int64[Tensor, " n"], rows: Int64[Tensor, " r"]
    ) -> tuple[CandidatePairs, Bool[Tensor, " r"]]:
        """Return the candidates of some rows with exact similarities, and the rows for which they are complete."""
        dtype, d, r = self.columns.dtype, unit.shape[1], len(rows)
        own = unit[rows]
        centered = own - self.mean
        rounded = torch.zeros(r, self.columns.shape[1], dtype=dtype)
        rounded[:, :d] = centered.to(dtype)
        rounded[:, d : d + NUM_TERMS] = 1
        norm, rounding = centered.norm(dim=1), (centered - rounded[:, :d]).norm(dim=1)
        eps = torch.finfo(dtype).eps
        error = rounding * self.max_norm + (norm + rounding) * self.max_error
        estimate = kth_largest((rounded @ self.sample.T).float(), self.sample_rank).double()
        threshold = estimate - 2 * error - eps * estimate.abs()
        rounded[:, d + NUM_TERMS : d + 2 * NUM_TERMS] = -_split_precision(threshold, dtype)
        error += (rounded.shape[1] + 8) * 2.0**-23 * (norm * self.max_norm + self.max_offset + threshold.abs())

        scores, passes = self._scores[: len(unit) * r].view(-1, r), self._passes[: len(unit) * r]
        torch.mm(self.columns, rounded.T, out=scores)  # by how much a column exceeds the threshold of a row
        bits = scores.view(torch.int16 if scores.itemsize == 2 else torch.int32).view(-1).numpy()
        np.greater_equal(bits, 0, out=passes)  # by their sign bits: quicker than torch on floats
        if not r * self.k <= np.count_nonzero(passes) <= r * self.k * 16:
            nothing = torch.empty(0, dtype=torch.int64)
            return CandidatePairs(nothing, nothing, nothing.double()), torch.zeros(r, dtype=torch.bool)
        positions = torch.from_numpy(np.flatnonzero(passes))
        column = positions // r
        pairs = CandidatePairs(positions - column * r, column, scores.view(-1)[positions].float())
        pairs = pairs[groups[rows][pairs.row] != groups[column]]
        order, counts = pairs.sort_by_row(r)
        least = kth_largest(pad_rows(pairs.value[order], counts), self.k).double()
        least -= error + eps * least.abs()  # the k-th similarity is no less
        is_complete = least > error  # a column below the threshold may in truth exceed it by `error`
        upper = pairs.value + eps * pairs.value.abs()
        pairs = pairs[(upper >= (least - error)[pairs.row]) & is_complete[pairs.row]]
        exact = pair_similarities(unit, own, pairs.row, pairs.column)
        return CandidatePairs(pairs.row, pairs.column, exact), is_complete


def kth_largest(values: Float[Tensor, "r n"], k: int) -> Float[Tensor, " r"]:
    """Return the k-th largest value of each row.

    Args:
        values: (r, n) matrix on the CPU.
        k: rank from 1, the largest.

    Returns:
        (r,) values; -inf where n < k.
    """
    if values.shape[1] < k:
        return values.new_full((len(values),), -torch.inf)
    position = values.shape[1] - k
    return torch.from_numpy(np.partition(values.numpy(), position, axis=1)[:, position])


def _split_precision(numbers: Float64[Tensor, " n"], dtype: torch.dtype) -> Float[Tensor, "n t"]:
    """Split numbers into sums of NUM_TERMS numbers in low precision."""
    terms: list[Tensor] = []
    for _ in range(NUM_TERMS):
        terms.append(numbers.to(dtype))
        numbers = numbers - terms[-1]
    return torch.stack(terms, dim=1)


def row_blocks(n: int, size: int = 8192) -> list[slice]:
    """Divide n rows into consecutive blocks.

    Args:
        n: number of rows.
        size: number of rows of a block; the last block may be smaller.

    Returns:
        Slices of the blocks, in order; none for n = 0.
    """
    return [slice(first, min(first + size, n)) for first in range(0, n, size)]
