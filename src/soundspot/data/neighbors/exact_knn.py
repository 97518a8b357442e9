"""Exact nearest neighbors by cosine, in bounded memory, to the same bit on every machine.

Unit vectors are rounded to multiples of 2^-26, which moves a similarity by some 6e-9, less than a sum in float32 does.
Their products are multiples of 2^-52 and sums stay below 2, so a dot product in float64 is not rounded at all:
similarities depend on no order of summation, chunk, thread count or device, and ties are true ties, of which the lower
position comes first. A product in lower precision with a proven bound of its error leaves few rows to compare so.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int32, Int64
from torch import Tensor

from soundspot.data.neighbors.candidate_filter import (
    CandidateFilter,
    CandidatePairs,
    row_blocks,
    top_k_columns,
)
from soundspot.errors import DataError

GRID = 2.0**26
ROWS_PER_BLOCK = 512  # compared at once with all others
FLOAT64_ROWS = 32  # the same in float64
SAMPLE_SIZE = 8192  # of all columns, from which the threshold of each row is estimated
MAX_COSINE = 1.001  # beyond it a vector is damaged


def check_num_neighbors(k: int, n: int, groups: Sequence[str] | None = None) -> None:
    """Raise DataError if some sample of a set has fewer than k neighbors; to be called before embedding the samples.

    Args:
        k: number of neighbors of each sample.
        n: number of samples.
        groups: name of each sample's group; samples of one group are no neighbors of each other. None: no groups.

    Raises:
        DataError: k is not from 1 to n - 1, or fewer than k samples lie outside the largest group.
    """
    if not 1 <= k <= n - 1:
        raise DataError(f"k: found {k} neighbors of a set of {n} samples, expected 1 to {n - 1}. Lower `k`")
    if groups is not None:
        name, size = Counter(groups).most_common(1)[0]
        if k > n - size:
            raise DataError(
                f"k: found {k}, but the samples of the group {name!r}, {size} of {n}, have fewer neighbors outside "
                f"their own group; lower `k` to {n - size}"
            )


def normalize_to_grid(vectors: Float[Tensor, "n d"], first_row: int = 0) -> Float64[Tensor, "n d"]:
    """Normalize vectors to unit norm and round them to multiples of 2^-26; zeros stay zeros.

    Args:
        vectors: (n, d) vectors of any norm.
        first_row: position of the first of them in the whole set, for messages.

    Returns:
        (n, d) float64.

    Raises:
        DataError: a vector is not finite.
    """
    bad = (~torch.isfinite(vectors).all(dim=1)).nonzero().flatten()
    if len(bad):
        raise DataError(
            f"an embedding is not finite (row {first_row + int(bad[0])}, {len(bad)} of {len(vectors)} checked); mend "
            "the encoder"
        )
    exact = vectors.double()
    unit = exact / torch.linalg.vector_norm(exact, dim=1, keepdim=True).clamp_min(1e-12)
    return unit.mul_(GRID).round_().div_(GRID)


def quantize_unit(vectors: Float[Tensor, "n d"]) -> Float32[np.ndarray, "n d"]:
    """Normalize vectors to unit norm and round them to multiples of 2^-24, which float32 holds exactly.

    Args:
        vectors: (n, d) vectors of any norm.

    Returns:
        (n, d) float32; norms differ from 1 by at most some 2^-25 sqrt(d).

    Raises:
        DataError: a vector is not finite.
    """
    return normalize_to_grid(vectors).mul_(2.0**24).round_().mul_(2.0**-24).float().numpy()


def find_nearest_rows(
    vectors: Float32[np.ndarray, "n d"],
    query: Float64[Tensor, " d"],
    groups: Int64[np.ndarray, " n"],
    k: int,
    per_row: bool = False,
) -> tuple[Int64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
    """Find the rows nearest to a query by cosine, with their exact cosines.

    Args:
        vectors: (n, d) unit vectors by `quantize_unit`.
        query: (d,) unit vector by `normalize_to_grid`.
        groups: (n,) number of the group (file) of each row, from 0; -1 excludes a row.
        k: number of groups to return; a group is as near as its nearest row.
        per_row: True counts rows in place of groups.

    Returns:
        (m,) positions of rows that include the k nearest with all ties, in the order of the rows and not of the
        cosines, and their (m,) cosines; empty where no row is left.

    Raises:
        DataError: some vectors are not of unit norm.
    """
    group, selected = torch.from_numpy(groups), torch.from_numpy(groups >= 0)
    approximate = torch.mv(torch.from_numpy(vectors), query.float())
    best = approximate[selected]
    if not per_row and len(best):
        best = best.new_full((int(group.max()) + 1,), -torch.inf).scatter_reduce_(0, group[selected], best, "amax")
        best = best[best > -torch.inf]
    if not min(k, len(best)):
        return np.empty(0, np.int64), np.empty(0)
    if not best.abs().max() < MAX_COSINE:  # nan is not less either
        raise DataError("vectors of this index are damaged (see `soundspot search status`): remove it and index again")
    threshold = best.topk(min(k, len(best))).values[-1] - 2 * float32_error_bound(vectors.shape[1])
    rows = ((approximate >= threshold) & selected).nonzero().flatten().numpy()
    exact = [vectors[rows[block]].astype(np.float64) @ query.numpy() for block in row_blocks(len(rows))]
    return rows, np.concatenate(exact)


def float32_error_bound(d: int) -> float:
    """Return the maximum error of a dot product of two unit vectors in float32.

    Args:
        d: number of components of the vectors.

    Returns:
        The bound, 1.01 (d + 8) 2^-24.
    """
    return 1.01 * (d + 8) * 2.0**-24


def encode_groups(groups: Sequence[str] | None, n: int) -> Int64[Tensor, " n"]:
    """Number the groups of n rows.

    Args:
        groups: name of each row's group; None: each row is its own group.
        n: number of rows.

    Returns:
        (n,) int64, equal for rows of the same group; groups are numbered from 0 in the order of their names.
    """
    codes = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    return torch.from_numpy(codes)


def find_neighbors(
    embeddings: Float[Tensor, "n d"], k: int, groups: Sequence[str] | None = None
) -> Int32[np.ndarray, "n k"]:
    """Find the k nearest neighbors of every row by cosine, exactly.

    Args:
        embeddings: (n, d) vectors of any norm; the search runs on their device.
        k: number of neighbors.
        groups: name of each row's group; rows of one group (frames of one video, say) are no neighbors of each other.

    Returns:
        (n, k) positions of the neighbors, nearest first, the row itself left out; ties by the lower position.

    Raises:
        DataError: fewer than k other rows outside some row's group, or a vector that is not finite.
    """
    search = ExactSearch(embeddings, k, groups)
    return np.concatenate([search(rows) for rows in torch.arange(len(embeddings)).split(ROWS_PER_BLOCK)])


class ExactSearch:
    """Nearest neighbors among a set of vectors, for some rows of it at a time.

    Called with (r,) positions of up to ROWS_PER_BLOCK (512) rows, it returns the (r, k) int32 positions of their
    neighbors, nearest first, the row itself left out; ties by the lower position.

    Holds 10 bytes per number of the vectors, 12 on a CPU without native bfloat16.

    Args:
        embeddings: (n, d) vectors of any norm; the search runs on their device.
        k: number of neighbors, by cosine.
        groups: name of each row's group; rows of one group (frames of one video, say) are no neighbors of each other.
            None: each row is its own group.

    Raises:
        DataError: fewer than k other rows outside some row's group, or a vector that is not finite.
    """

    def __init__(self, embeddings: Float[Tensor, "n d"], k: int, groups: Sequence[str] | None = None) -> None:
        check_num_neighbors(k, len(embeddings), groups)
        n, d = embeddings.shape
        self.k = k
        # NumPy asks for large pages, without which fetching rows in no order takes twice the time.
        self.unit_vectors = torch.from_numpy(np.empty((n, d))).to(embeddings.device)
        for block in row_blocks(n):
            self.unit_vectors[block] = normalize_to_grid(embeddings[block], block.start)
        self.group_codes = encode_groups(groups, n).to(embeddings.device)
        use_filter = embeddings.device.type == "cpu" and n >= SAMPLE_SIZE and n >= 8 * k
        self._filter = CandidateFilter(self.unit_vectors, k, SAMPLE_SIZE, ROWS_PER_BLOCK) if use_filter else None

    def __call__(self, rows: Int64[Tensor, " r"]) -> Int32[np.ndarray, "r k"]:
        """Return the positions of the neighbors of up to ROWS_PER_BLOCK rows, nearest first."""
        table = torch.empty(len(rows), self.k, dtype=torch.int32)
        is_complete = torch.zeros(len(rows), dtype=torch.bool)
        if self._filter is not None:
            pairs, is_complete = self._filter(self.unit_vectors, self.group_codes, rows)
            if bool(is_complete.any()):
                pairs = CandidatePairs((is_complete.cumsum(0) - 1)[pairs.row], pairs.column, pairs.value)
                table[is_complete] = top_k_columns(pairs, int(is_complete.sum()), self.k)
        rest = (~is_complete).nonzero().flatten()
        for block in rest.split(FLOAT64_ROWS) if len(rest) else ():
            table[block] = self._compare_with_all(rows[block].to(self.unit_vectors.device)).cpu()
        return table.numpy()

    def _compare_with_all(self, rows: Int64[Tensor, " r"]) -> Int32[Tensor, "r k"]:
        """Compare rows with all others in float64."""
        value = self.unit_vectors[rows] @ self.unit_vectors.T
        value[self.group_codes[rows][:, None] == self.group_codes] = -torch.inf
        least = value.topk(self.k, dim=1).values[:, -1:]
        column, row = (value >= least).T.nonzero(as_tuple=True)
        return top_k_columns(CandidatePairs(row, column, value[row, column]), len(rows), self.k)
