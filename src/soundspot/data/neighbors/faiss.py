"""Approximate nearest neighbors by cosine, for millions of vectors: FAISS (extra `ann`)."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int32, Int64
from numpy.typing import NDArray
from torch import Tensor

from soundspot.data.neighbors.candidate_filter import CandidatePairs, pair_similarities, row_blocks, top_k_columns
from soundspot.data.neighbors.exact_knn import (
    check_num_neighbors,
    encode_groups,
    float32_error_bound,
    normalize_to_grid,
)
from soundspot.errors import RecipeError

NUM_PROBES = 64
TRAINING_VECTORS_PER_CELL = 64
MIN_VECTORS_PER_CELL = 39  # with fewer FAISS warns
SPARE_RESULTS = 8  # asked for beyond k: if the last is not as near as the k-th, no equal is left out


class ApproximateSearch:
    """Nearest neighbors among a set of vectors through an inverted file (IVF), for some rows of it at a time.

    About 4 sqrt(n) cells are trained on a sample; the index keeps the vectors as float32. Called with (r,) positions of
    rows, it returns the (r, k) int32 positions of their neighbors by cosine, nearest first, as far as the index finds
    them: exactly the nearest of the cells searched, ties by the lower position.

    Args:
        embeddings: (n, d) vectors of any norm; may be a memory map, which is read in blocks.
        k: number of neighbors.
        groups: name of each row's group; rows of one group are no neighbors of each other. None: each row is its own
            group.
        file: path of the index; an existing file is used as it is, otherwise it is written.
        num_probes: number of cells searched. Rows with fewer than k neighbors in them search four times as many, and so
            on.

    Raises:
        RecipeError: FAISS is not installed.
        DataError: too few rows for k, or a vector is not finite.
    """

    def __init__(
        self,
        embeddings: Float[Tensor, "n d"] | NDArray[np.float32],
        k: int,
        groups: Sequence[str] | None,
        file: Path,
        num_probes: int = NUM_PROBES,
    ) -> None:
        faiss = import_faiss()
        n, d = embeddings.shape
        check_num_neighbors(k, n, groups)
        self.k, self.num_probes, self.embeddings = k, num_probes, embeddings
        self.group_codes = encode_groups(groups, n).numpy()
        self.max_group_size = int(np.bincount(self.group_codes).max())  # members of the own group are found too
        if not file.exists():
            num_cells = max(1, min(int(4 * n**0.5), n // MIN_VECTORS_PER_CELL))
            index = faiss.index_factory(d, f"IVF{num_cells},Flat", faiss.METRIC_INNER_PRODUCT)
            sample = np.random.default_rng(0).permutation(n)[: min(n, TRAINING_VECTORS_PER_CELL * num_cells)]
            index.train(self._get_unit(np.sort(sample)))
            for block in row_blocks(n):
                index.add(self._get_unit(np.arange(block.start, block.stop)))
            draft = file.with_suffix(".draft")
            faiss.write_index(index, str(draft))
            draft.replace(file)
        self.index: Any = faiss.read_index(str(file))

    def __call__(self, rows: Int64[Tensor, " r"]) -> Int32[np.ndarray, "r k"]:
        """Return the positions of the neighbors of some rows, nearest first, as far as the index finds them."""
        table = np.empty((len(rows), self.k), np.int32)
        left, num_probes = np.arange(len(rows)), self.num_probes
        while len(left):
            self.index.nprobe = num_probes
            is_full = self._fill(table, left, rows.numpy()[left])
            left, num_probes = left[~is_full], 4 * num_probes  # with all cells searched every row is full
        return table

    def _fill(
        self, table: Int32[np.ndarray, "r k"], rows: NDArray[np.int64], queries: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Write the neighbors of each query into its row of the table, if the cells searched hold k of them.

        FAISS hands out equal products in an order that depends on how many are asked for, and rounds to float32. So
        every neighbor that may be as near as the k-th is a candidate; where there may be more than were asked for, all
        of that similarity are asked for.

        Returns:
            Mask of the queries that have their neighbors.
        """
        unit, codes = self._get_unit(queries), self.group_codes
        size = min(self.k + self.max_group_size + SPARE_RESULTS, len(codes))
        value, column = self.index.search(unit, size)
        is_neighbor = (column >= 0) & (codes[column] != codes[queries][:, None])
        rank = is_neighbor.cumsum(axis=1)
        is_full = rank[:, -1] >= self.k
        kth = value[np.arange(len(queries)), (rank >= self.k).argmax(axis=1)]
        least = kth - 2 * float32_error_bound(unit.shape[1])
        is_cut = is_full & (column[:, -1] >= 0) & (value[:, -1] >= least) & (size < len(codes))
        if (is_complete := is_full & ~is_cut).any():
            row, position = (is_neighbor & (value >= least[:, None]))[is_complete].nonzero()
            table[rows[is_complete]] = self._rank(queries[is_complete], row, column[is_complete][row, position])
        for i in is_cut.nonzero()[0]:  # one at a time, as these may be many
            near = self.index.range_search(unit[i : i + 1], float(least[i]))[2]
            near = near[codes[near] != codes[queries[i]]]
            table[rows[i]] = self._rank(queries[i : i + 1], np.zeros_like(near), near)[0]
        return is_full

    def _rank(
        self, queries: NDArray[np.int64], row: NDArray[np.int64], column: NDArray[np.int64]
    ) -> Int32[np.ndarray, "r k"]:
        """Return the k most similar candidates of each query by their exact similarity; ties by the lower position."""
        order = np.lexsort((row, column))
        row, column = row[order], column[order]
        positions, inverse = np.unique(column, return_inverse=True)
        candidates, rows = (normalize_to_grid(torch.as_tensor(self.embeddings[at])) for at in (positions, queries))
        pair_rows = torch.from_numpy(row)
        value = pair_similarities(candidates, rows, pair_rows, torch.from_numpy(inverse))
        return top_k_columns(CandidatePairs(pair_rows, torch.from_numpy(column), value), len(queries), self.k).numpy()

    def _get_unit(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return normalize_to_grid(torch.as_tensor(self.embeddings[rows])).float().numpy()


def measure_recall(
    table: NDArray[np.int32],
    embeddings: Float[Tensor, "n d"] | NDArray[np.float32],
    groups: Sequence[str] | None,
    sample_size: int = 1000,
) -> float:
    """Compute the fraction of the true k nearest neighbors that a table holds, over a fixed sample of its rows.

    A neighbor is true where it is as near as the true k-th nearest one, whichever of several equal ones a table holds.

    Args:
        table: (n, k) positions of neighbors.
        embeddings: (n, d) vectors that were searched, of any norm.
        groups: name of each row's group; rows of one group are no neighbors of each other. None: each row is its own
            group.
        sample_size: number of rows compared; all where there are fewer.

    Returns:
        Recall in [0, 1], the mean over the rows.
    """
    n, k = table.shape
    rows = np.sort(np.random.default_rng(1).permutation(n)[:sample_size])
    codes = encode_groups(groups, n)
    queries = normalize_to_grid(torch.as_tensor(embeddings[rows]))
    value = torch.empty(len(rows), 0, dtype=torch.float64)
    similarities = torch.empty(table[rows].shape, dtype=torch.float64)
    columns = torch.from_numpy(table[rows]).long()
    for block in row_blocks(n):
        similarity = queries @ normalize_to_grid(torch.as_tensor(embeddings[block]), block.start).T
        similarity[codes[rows][:, None] == codes[block]] = -torch.inf
        value = torch.cat([value, similarity], dim=1)
        value = value.topk(min(k, value.shape[1]), dim=1).values
        in_block = (columns >= block.start) & (columns < block.stop)
        similarities[in_block] = similarity[in_block.nonzero()[:, 0], columns[in_block] - block.start]
    return float((similarities >= value[:, -1:]).double().mean())


def import_faiss() -> Any:
    """Import FAISS, which is an optional dependency.

    Returns:
        The module `faiss`.

    Raises:
        RecipeError: FAISS is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its wrapper's types have no __module__
            import faiss
    except ImportError as error:
        raise RecipeError(
            "an index `ivf` needs FAISS; install it with `pip install soundspot[ann]`, or use `exact`"
        ) from error
    return faiss
