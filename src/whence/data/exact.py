"""Exact nearest neighbours by cosine, in bounded memory, to the same bit on every machine.

Unit vectors are rounded to multiples of 2^-26, finer than a float32 holds them where it matters: products are multiples
of 2^-52 and sums stay below 2, so a dot product in float64 is not rounded at all. Similarities then depend on no order
of summation, chunk, thread count or device, and ties are true ties: the lower position comes first.

On a CPU a product in bf16 (float32 where bf16 is not native) comes first. With a proven bound of its error it leaves a
few rows more than k, and these alone are compared in float64.
"""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int32, Int64
from numpy.typing import NDArray
from torch import Tensor

from whence.errors import DataError

GRID = 2.0**26
ROWS = 512  # compared at once with all others
PLAIN_ROWS = 32  # the same in float64
SAMPLE = 8192  # of all columns, by which each row's floor is guessed
PARTS = 3  # numbers of 8 bits that hold one of 24


def refuse_too_many(k: int, n: int, groups: Sequence[str] | None = None) -> None:
    """Raise DataError where a set of n samples has no k neighbours for each; to be called before embedding them."""
    if not 1 <= k <= n - 1:
        raise DataError(f"{k} neighbours were asked of a set of {n}; expected 1 to {n - 1}. Lower `k`")
    if groups is not None:
        name, most = Counter(groups).most_common(1)[0]
        if k > n - most:
            raise DataError(
                f"those of the group {name!r}, {most} of {n} samples, have fewer than {k} neighbours outside their "
                f"own group; lower `k` to {n - most}"
            )


def native_bf16() -> bool:
    """Whether this CPU multiplies in bf16 itself."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def unit_grid(vectors: Float[Tensor, "n d"], first: int = 0) -> Float64[Tensor, "n d"]:
    """Vectors of unit norm on the grid; zeros stay zeros.

    Args:
        first: row that the first of them is, for messages.

    Raises:
        DataError: a vector is not finite.
    """
    bad = (~torch.isfinite(vectors).all(dim=1)).nonzero().flatten()
    if len(bad):
        raise DataError(
            f"an embedding is not finite (row {first + int(bad[0])}, {len(bad)} of {len(vectors)} looked at); mend the "
            "encoder"
        )
    exact = vectors.double()
    unit = exact / torch.linalg.vector_norm(exact, dim=1, keepdim=True).clamp_min(1e-12)
    return unit.mul_(GRID).round_().div_(GRID)


def nearest(embeddings: Float[Tensor, "n d"], k: int, groups: Sequence[str] | None = None) -> Int32[np.ndarray, "n k"]:
    """The k nearest of each row by cosine, nearest first, itself left out.

    Args:
        embeddings: any vectors; they are brought to unit norm here. The search runs on their device.
        groups: rows of one group (frames of one video, say) are no neighbours of each other.

    Raises:
        DataError: fewer than k other rows outside the own group, or a vector that is not finite.
    """
    search = Exact(embeddings, k, groups)
    return np.concatenate([search(rows) for rows in torch.arange(len(embeddings)).split(ROWS)])


def group_codes(groups: Sequence[str] | None, n: int) -> Int64[Tensor, " n"]:
    """A number for each group; without groups each row is one of its own."""
    codes = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    return torch.from_numpy(codes)


class Exact:
    """Searches a set of vectors, some rows at a time. Holds 10 bytes of each number; 12 where bf16 is not native.

    Args:
        embeddings, k, groups: as `nearest` has them.

    Raises:
        DataError: fewer than k other rows outside the own group, or a vector that is not finite.
    """

    def __init__(self, embeddings: Float[Tensor, "n d"], k: int, groups: Sequence[str] | None = None) -> None:
        refuse_too_many(k, len(embeddings), groups)
        n, d = embeddings.shape
        self.k = k
        # NumPy asks for large pages, without which fetching rows in no order takes twice the time.
        self.unit = torch.from_numpy(np.empty((n, d))).to(embeddings.device)
        for some in blocks(n):
            self.unit[some] = unit_grid(embeddings[some], some.start)
        self.codes = group_codes(groups, n).to(embeddings.device)
        sieved = embeddings.device.type == "cpu" and n >= SAMPLE and n >= 8 * k
        self._sieve = Sieve.of(self.unit, k) if sieved else None

    def __call__(self, rows: Int64[Tensor, " r"]) -> Int32[np.ndarray, "r k"]:
        """The neighbours of some rows, up to ROWS of them."""
        table = torch.empty(len(rows), self.k, dtype=torch.int32)
        rest = torch.ones(len(rows), dtype=torch.bool)
        if self._sieve is not None:
            pairs, held = self._sieve(self.unit, self.codes, rows)
            if bool(held.any()):
                pairs = Pairs((held.cumsum(0) - 1)[pairs.row], pairs.column, pairs.value)
                table[held] = ranked(pairs, int(held.sum()), self.k)
            rest = ~held
        for some in rest.nonzero().flatten().split(PLAIN_ROWS) if rest.any() else ():
            table[some] = self._plain(rows[some].to(self.unit.device)).cpu()
        return table.numpy()

    def _plain(self, rows: Int64[Tensor, " r"]) -> Int32[Tensor, "r k"]:
        """Each row compared with all others in float64."""
        value = self.unit[rows] @ self.unit.T
        value[self.codes[rows][:, None] == self.codes] = -torch.inf
        least = value.topk(self.k, dim=1).values[:, -1:]
        column, row = (value >= least).T.nonzero(as_tuple=True)
        return ranked(Pairs(row, column, value[row, column]), len(rows), self.k)

    def merged(
        self, rows: Int64[Tensor, " r"], known: Int32[Tensor, "r k"], fresh: Int64[Tensor, " m"]
    ) -> Int32[np.ndarray, "r k"]:
        """The neighbours of rows whose k nearest are known among all but the `fresh` ones."""
        device = self.unit.device
        rows, known, fresh = rows.to(device), known.to(device).long(), fresh.to(device)
        own = self.unit[rows]
        least = (own * self.unit[known[:, -1]]).sum(dim=1, keepdim=True)
        value = own @ self.unit[fresh].T
        value[self.codes[rows][:, None] == self.codes[fresh]] = -torch.inf
        row, place = (value >= least).nonzero(as_tuple=True)
        column = torch.cat([known.flatten(), fresh[place]])
        row = torch.cat([torch.arange(len(rows), device=device).repeat_interleave(self.k), row])
        by_column = column.argsort()
        row, column = row[by_column], column[by_column]
        return ranked(Pairs(row, column, similarities(self.unit, own, row, column)), len(rows), self.k).cpu().numpy()


@dataclass(frozen=True)
class Pairs:
    """Rows and columns that are compared, by column and then by row, and how similar they are."""

    row: Int64[Tensor, " p"]
    column: Int64[Tensor, " p"]
    value: Float[Tensor, " p"]

    @classmethod
    def none(cls) -> "Pairs":
        at = torch.empty(0, dtype=torch.int64)
        return cls(at, at, torch.empty(0, dtype=torch.float64))

    def __getitem__(self, which: Tensor) -> "Pairs":
        return Pairs(self.row[which], self.column[which], self.value[which])

    def by_row(self, rows: int) -> tuple[Int64[Tensor, " p"], Int64[Tensor, " r"]]:
        """The order by row and then by column, and how many pairs each of so many rows has."""
        order = self.row.short().sort(stable=True).indices  # a radix sort, as there are few rows
        return order, torch.bincount(self.row, minlength=rows)


def padded(values: Float[Tensor, " p"], count: Int64[Tensor, " r"]) -> Float[Tensor, "r w"]:
    """Values that stand row by row as lines of one length, filled up with -inf."""
    filled = torch.arange(int(count.max()), device=count.device) < count[:, None]
    return torch.full(filled.shape, -torch.inf, dtype=values.dtype, device=count.device).masked_scatter_(filled, values)


def ranked(pairs: Pairs, rows: int, k: int) -> Int32[Tensor, "r k"]:
    """The k best columns of each row, the best first; of equals the lower one. Each row has as many."""
    by_row, count = pairs.by_row(rows)
    lines = padded(pairs.value[by_row], count)
    place = lines.sort(dim=1, descending=True, stable=True).indices[:, :k] + (count.cumsum(0) - count)[:, None]
    return pairs.column[by_row[place]].int()


def similarities(
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
class Sieve:
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
    def of(cls, unit: Float64[Tensor, "n d"], k: int) -> "Sieve":
        n, d = unit.shape
        mean = unit.mean(dim=0)
        dtype = torch.bfloat16 if native_bf16() else torch.float32
        columns = torch.zeros(n, -(-(d + 2 * PARTS) // 32) * 32, dtype=dtype)
        columns[:, d + PARTS : d + 2 * PARTS] = 1
        norm = off = most = 0.0
        for some in blocks(n):
            centred = unit[some] - mean
            shift = centred @ mean
            columns[some, :d] = centred.to(dtype)
            columns[some, d : d + PARTS] = _parts(shift, dtype)
            norm = max(norm, float(centred.norm(dim=1).max()))
            off = max(off, float((centred - columns[some, :d]).norm(dim=1).max()))
            most = max(most, float(shift.abs().max()))
        chosen = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: min(SAMPLE, n // 4)]
        expected = k * len(chosen) / n
        rank = min(int(expected + 3 * expected**0.5 + 3), len(chosen))
        score, above = torch.empty(n * ROWS, dtype=dtype), np.empty(n * ROWS, bool)
        return cls(mean, columns, columns[chosen], k, rank, norm, off, most, score, above)

    def __call__(
        self, unit: Float64[Tensor, "n d"], codes: Int64[Tensor, " n"], rows: Int64[Tensor, " r"]
    ) -> tuple[Pairs, Tensor]:
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
        guess = kth((rough @ self.sample.T).float(), self.rank).double()
        floor = guess - 2 * error - rounding * guess.abs()
        rough[:, d + PARTS : d + 2 * PARTS] = -_parts(floor, dtype)
        error += (rough.shape[1] + 8) * 2.0**-23 * (norm * self.norm + self.shift + floor.abs())

        score, above = self.score[: len(unit) * r].view(-1, r), self.above[: len(unit) * r]
        torch.mm(self.columns, rough.T, out=score)  # how far above each row's floor a column is
        signed = score.view(torch.int16 if score.itemsize == 2 else torch.int32).view(-1).numpy()
        np.greater_equal(signed, 0, out=above)  # as their sign bits say; quicker than torch on floats
        if not r * self.k <= np.count_nonzero(above) <= r * self.k * 16:
            return Pairs.none(), torch.zeros(r, dtype=torch.bool)
        flat = torch.from_numpy(np.flatnonzero(above))
        column = flat // r
        pairs = Pairs(flat - column * r, column, score.view(-1)[flat].float())
        pairs = pairs[codes[rows][pairs.row] != codes[column]]
        by_row, count = pairs.by_row(r)
        least = kth(padded(pairs.value[by_row], count), self.k).double()
        least -= error + rounding * least.abs()  # the k-th similarity is no less
        held = least > error  # what is below the floor may be `error` above it in truth
        near = (pairs.value + rounding * pairs.value.abs() >= (least - error)[pairs.row]) & held[pairs.row]
        pairs = pairs[near]
        return Pairs(pairs.row, pairs.column, similarities(unit, own, pairs.row, pairs.column)), held


def kth(values: Float[Tensor, "r n"], k: int) -> Float[Tensor, " r"]:
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


def blocks(n: int, size: int = 8192) -> list[slice]:
    """n rows, some at a time."""
    return [slice(first, min(first + size, n)) for first in range(0, n, size)]
