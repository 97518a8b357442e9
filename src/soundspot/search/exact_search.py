"""The files nearest to a query, exactly: a product in float32 with a proven bound, float64 for who may be among them.

Rows are kept as multiples of 2^-24, which float32 holds exactly, and queries lie on the grid of `soundspot.data.neighbors.exact_knn`, so
that a dot product in float64 is not rounded at all: a score depends on no order of summation, machine or neighbour in
the file, and ties are true ties. The plain product in float32 of n numbers is off by no more than (n + 8) 2^-24.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor

from soundspot.data.neighbors.exact_knn import normalize_to_grid
from soundspot.errors import DataError

BLOCK = 8192  # rows compared in float64 at once
ROWS = 65536  # in float32
LARGEST = 1.001  # that a cosine may be


@dataclass(frozen=True, eq=False)
class RowFilter:
    """Whose the rows are.

    Attributes:
        place: of its file among the files of the rows, for each row; -1 where it belongs to nothing or is not wanted.
        files: how many there are.
    """

    file_index: Int64[np.ndarray, " n"]
    num_files: int

    @cached_property
    def wanted(self) -> Bool[np.ndarray, " n"]:
        """Which rows may be found."""
        return self.file_index >= 0

    @cached_property
    def places(self) -> Int64[Tensor, " m"]:
        """Of the files of those rows."""
        return torch.from_numpy(self.file_index[self.wanted])

    @cached_property
    def alone(self) -> bool:
        """Whether no file has two of those rows."""
        return len(self.places.unique()) == len(self.places)


def quantize_unit(vectors: Float[Tensor, "n d"]) -> Float32[np.ndarray, "n d"]:
    """Vectors brought to unit norm, but for some 2^-25 sqrt(d), in the form in which they are kept."""
    return normalize_to_grid(vectors).mul_(2.0**24).round_().mul_(2.0**-24).float().numpy()


def find_nearest_rows(
    vectors: Float32[np.ndarray, "n d"],
    query: Float64[Tensor, " d"],
    row_filter: RowFilter,
    k: int,
    per_window: bool = False,
) -> tuple[Int64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
    """Rows that may be among the k best, and surely all that are, with their exact scores; in no order.

    Args:
        vectors: as `kept` makes them.
        query: of unit norm, on the grid.
        every: k best rows; else those of the k best files, a file being as good as its best row.

    Raises:
        DataError: some vectors are not of unit norm.
    """
    rough = dot_products(vectors, query.float().numpy())
    wanted = row_filter.wanted
    best = rough[wanted] if per_window or row_filter.alone else best_of_each(rough[wanted], row_filter)
    k = min(k, len(best))
    if not k:
        return np.empty(0, np.int64), np.empty(0)
    if not np.abs(best).max() < LARGEST:  # not a number is not less either
        raise DataError("vectors of this index are damaged (see `soundspot search status`): remove it and index again")
    least = np.partition(best, len(best) - k)[len(best) - k]
    rows = np.flatnonzero(rough >= least - 2 * float32_error_bound(vectors.shape[1]))
    rows = rows[wanted[rows]]
    return rows, exact_scores(vectors, rows, query)


def float32_error_bound(d: int) -> float:
    """How far a product in float32 of d numbers may be from the exact one of unit vectors."""
    return 1.01 * (d + 8) * 2.0**-24


def dot_products(vectors: Float32[np.ndarray, "n d"], query: Float32[np.ndarray, " d"]) -> Float32[np.ndarray, " n"]:
    """vectors . query."""
    found = torch.empty(len(vectors))
    asked = torch.from_numpy(query)
    for first in range(0, len(vectors), ROWS):
        some = slice(first, first + ROWS)
        torch.mv(torch.from_numpy(np.asarray(vectors[some])), asked, out=found[some])
    return found.numpy()


def best_of_each(rough: Float32[np.ndarray, " m"], owners: RowFilter) -> Float32[np.ndarray, " f"]:
    """The best score of each file, of those of its rows that are wanted."""
    best = torch.full((owners.num_files,), -torch.inf)
    best.scatter_reduce_(0, owners.places, torch.from_numpy(rough), "amax")
    return best[best > -torch.inf].numpy()


def exact_scores(
    vectors: Float32[np.ndarray, "n d"], rows: Int64[np.ndarray, " m"], query: Float64[Tensor, " d"]
) -> Float64[np.ndarray, " m"]:
    """Exact cosines of some rows with the query."""
    parts = [rows[first : first + BLOCK] for first in range(0, len(rows), BLOCK)]
    return np.concatenate([vectors[part].astype(np.float64) @ query.numpy() for part in parts] or [np.empty(0)])
