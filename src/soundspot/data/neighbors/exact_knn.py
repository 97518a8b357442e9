"""Exact nearest neighbours by cosine, in bounded memory, to the same bit on every machine.

Unit vectors are rounded to multiples of 2^-26, which moves a similarity by some 6e-9, less than a sum in float32 does.
Their products are multiples of 2^-52 and sums stay below 2, so a dot product in float64 is not rounded at all:
similarities depend on no order of summation, chunk, thread count or device, and ties are true ties, of which the lower
position comes first. On a CPU a sieve leaves few columns of each row, and these alone are compared.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int32, Int64
from torch import Tensor

from soundspot.data.neighbors.candidate_filter import (
    CandidateFilter,
    CandidatePairs,
    pair_similarities,
    row_blocks,
    top_k_columns,
)
from soundspot.errors import DataError

GRID = 2.0**26
ROWS = 512  # compared at once with all others
PLAIN_ROWS = 32  # the same in float64
SAMPLE = 8192  # of all columns, by which each row's floor is guessed


def check_num_neighbors(k: int, n: int, groups: Sequence[str] | None = None) -> None:
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


def normalize_to_grid(vectors: Float[Tensor, "n d"], first_row: int = 0) -> Float64[Tensor, "n d"]:
    """Vectors of unit norm on the grid; zeros stay zeros.

    Args:
        first: row that the first of them is, for messages.

    Raises:
        DataError: a vector is not finite.
    """
    bad = (~torch.isfinite(vectors).all(dim=1)).nonzero().flatten()
    if len(bad):
        raise DataError(
            f"an embedding is not finite (row {first_row + int(bad[0])}, {len(bad)} of {len(vectors)} looked at); mend the "
            "encoder"
        )
    exact = vectors.double()
    unit = exact / torch.linalg.vector_norm(exact, dim=1, keepdim=True).clamp_min(1e-12)
    return unit.mul_(GRID).round_().div_(GRID)


def find_neighbors(
    embeddings: Float[Tensor, "n d"], k: int, groups: Sequence[str] | None = None
) -> Int32[np.ndarray, "n k"]:
    """The k nearest of each row by cosine, nearest first, itself left out.

    Args:
        embeddings: any vectors; they are brought to unit norm here. The search runs on their device.
        groups: rows of one group (frames of one video, say) are no neighbours of each other.

    Raises:
        DataError: fewer than k other rows outside the own group, or a vector that is not finite.
    """
    search = ExactSearch(embeddings, k, groups)
    return np.concatenate([search(rows) for rows in torch.arange(len(embeddings)).split(ROWS)])


def encode_groups(groups: Sequence[str] | None, n: int) -> Int64[Tensor, " n"]:
    """A number for each group; without groups each row is one of its own."""
    codes = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    return torch.from_numpy(codes)


class ExactSearch:
    """Searches a set of vectors, some rows at a time. Holds 10 bytes of each number; 12 where bf16 is not native.

    Args:
        embeddings, k, groups: as `nearest` has them.

    Raises:
        DataError: fewer than k other rows outside the own group, or a vector that is not finite.
    """

    def __init__(self, embeddings: Float[Tensor, "n d"], k: int, groups: Sequence[str] | None = None) -> None:
        check_num_neighbors(k, len(embeddings), groups)
        n, d = embeddings.shape
        self.k = k
        # NumPy asks for large pages, without which fetching rows in no order takes twice the time.
        self.unit_vectors = torch.from_numpy(np.empty((n, d))).to(embeddings.device)
        for some in row_blocks(n):
            self.unit_vectors[some] = normalize_to_grid(embeddings[some], some.start)
        self.group_codes = encode_groups(groups, n).to(embeddings.device)
        sieved = embeddings.device.type == "cpu" and n >= SAMPLE and n >= 8 * k
        self._candidate_filter = CandidateFilter.of(self.unit_vectors, k, SAMPLE, ROWS) if sieved else None

    def __call__(self, rows: Int64[Tensor, " r"]) -> Int32[np.ndarray, "r k"]:
        """The neighbours of some rows, up to ROWS of them."""
        table = torch.empty(len(rows), self.k, dtype=torch.int32)
        rest = torch.ones(len(rows), dtype=torch.bool)
        if self._candidate_filter is not None:
            pairs, held = self._candidate_filter(self.unit_vectors, self.group_codes, rows)
            if bool(held.any()):
                pairs = CandidatePairs((held.cumsum(0) - 1)[pairs.row], pairs.column, pairs.value)
                table[held] = top_k_columns(pairs, int(held.sum()), self.k)
            rest = ~held
        for some in rest.nonzero().flatten().split(PLAIN_ROWS) if rest.any() else ():
            table[some] = self._plain(rows[some].to(self.unit_vectors.device)).cpu()
        return table.numpy()

    def _plain(self, rows: Int64[Tensor, " r"]) -> Int32[Tensor, "r k"]:
        """Each row compared with all others in float64."""
        value = self.unit_vectors[rows] @ self.unit_vectors.T
        value[self.group_codes[rows][:, None] == self.group_codes] = -torch.inf
        least = value.topk(self.k, dim=1).values[:, -1:]
        column, row = (value >= least).T.nonzero(as_tuple=True)
        return top_k_columns(CandidatePairs(row, column, value[row, column]), len(rows), self.k)

    def merge(
        self, rows: Int64[Tensor, " r"], known: Int32[Tensor, "r k"], new: Int64[Tensor, " m"]
    ) -> Int32[np.ndarray, "r k"]:
        """The neighbours of rows whose k nearest are known among all but the `fresh` ones."""
        device = self.unit_vectors.device
        rows, known, new = rows.to(device), known.to(device).long(), new.to(device)
        own = self.unit_vectors[rows]
        least = (own * self.unit_vectors[known[:, -1]]).sum(dim=1, keepdim=True)
        found = [torch.stack([torch.arange(len(rows), device=device).repeat_interleave(self.k), known.flatten()])]
        for some in new.split(SAMPLE):
            value = own @ self.unit_vectors[some].T
            value[self.group_codes[rows][:, None] == self.group_codes[some]] = -torch.inf
            row, place = (value >= least).nonzero(as_tuple=True)
            found.append(torch.stack([row, some[place]]))
        row, column = torch.cat(found, dim=1)
        by_column = column.argsort(stable=True)
        row, column = row[by_column], column[by_column]
        return (
            top_k_columns(
                CandidatePairs(row, column, pair_similarities(self.unit_vectors, own, row, column)), len(rows), self.k
            )
            .cpu()
            .numpy()
        )
