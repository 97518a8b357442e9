"""The files nearest to a query, exactly: a product in float32 with a proven bound, float64 for who may be among them.

With unit vectors on the grid of `whence.data.exact` a dot product in float64 is not rounded at all, so a score depends
on no order of summation, machine or neighbour in the file, and ties are true ties. The plain product in float32 of n
numbers is off by no more than (n + 8) 2^-24 times the norms, and what the grid rounds by less than 2^-25 sqrt(n).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from whence.data.exact import unit_grid

BLOCK = 8192  # rows compared in float64 at once
ROWS = 65536  # in float32


@dataclass(frozen=True, eq=False)
class Owners:
    """Whose the rows are.

    Attributes:
        place: of its file among the files of the rows, for each row; -1 where it belongs to nothing or is not wanted.
        files: how many there are.
    """

    place: Int64[np.ndarray, " n"]
    files: int


def nearest_rows(
    vectors: Float32[np.ndarray, "n d"], query: Float64[Tensor, " d"], owners: Owners, k: int, every: bool = False
) -> tuple[Int64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
    """Rows that may be among the k best, and surely all that are, with their exact scores; in no order.

    Args:
        vectors: rows of about unit norm.
        query: of unit norm, on the grid.
        every: k best rows; else those of the k best files, a file being as good as its best row.
    """
    rough = products(vectors, query.float().numpy())
    wanted = owners.place >= 0
    rough[~wanted] = -np.inf
    best = rough if every else best_of_each(rough, owners)
    k = min(k, int(wanted.sum()) if every else len(best))
    if not k:
        return np.empty(0, np.int64), np.empty(0)
    least = np.partition(best, len(best) - k)[len(best) - k]
    rows = np.flatnonzero(rough >= least - 2 * bound(vectors.shape[1]))
    rows = rows[wanted[rows]]
    return rows, scores(vectors, rows, query)


def bound(d: int) -> float:
    """How far a product in float32 of unit vectors of d numbers may be from the exact one of those on the grid."""
    return 1.1 * ((d + 8) * 2.0**-24 + 2 * d**0.5 * 2.0**-26)


def products(vectors: Float32[np.ndarray, "n d"], query: Float32[np.ndarray, " d"]) -> Float32[np.ndarray, " n"]:
    """vectors . query."""
    found = torch.empty(len(vectors))
    asked = torch.from_numpy(query)
    for first in range(0, len(vectors), ROWS):
        some = slice(first, first + ROWS)
        torch.mv(torch.from_numpy(np.asarray(vectors[some])), asked, out=found[some])
    return found.numpy()


def best_of_each(rough: Float32[np.ndarray, " n"], owners: Owners) -> Float32[np.ndarray, " f"]:
    """The best score of each file that has rows which are wanted."""
    wanted = owners.place >= 0
    best = torch.full((owners.files,), -torch.inf)
    best.scatter_reduce_(0, torch.from_numpy(owners.place[wanted]), torch.from_numpy(rough[wanted]), "amax")
    return best[best > -torch.inf].numpy()


def scores(
    vectors: Float32[np.ndarray, "n d"], rows: Int64[np.ndarray, " m"], query: Float64[Tensor, " d"]
) -> Float64[np.ndarray, " m"]:
    """Exact cosines of some rows with the query."""
    parts = [rows[first : first + BLOCK] for first in range(0, len(rows), BLOCK)]
    return np.concatenate(
        [(unit_grid(torch.from_numpy(vectors[part])) @ query).numpy() for part in parts] or [np.empty(0)]
    )
