"""Approximate nearest neighbours by cosine, for millions of vectors: FAISS (extra `ann`)."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32, Int64
from numpy.typing import NDArray
from torch import Tensor

from soundspot.data.neighbors.candidate_filter import row_blocks
from soundspot.data.neighbors.exact_knn import check_num_neighbors, encode_groups, normalize_to_grid
from soundspot.errors import DataError, RecipeError

Kind = Literal["ivf", "ivfpq"]
PROBES = 64
TRAINED_ON = 64  # vectors for each cell


class ApproximateSearch:
    """Searches a set of vectors through an inverted file, some rows at a time.

    About 4 sqrt(n) cells are trained on a sample. `ivf` keeps the vectors as float32; `ivfpq` keeps a byte for about
    eight numbers.

    Args:
        embeddings: (n, d), as a memory map perhaps: read some rows at a time.
        k, groups: as `soundspot.data.neighbors.exact_knn.nearest` has them.
        kind: of the index.
        file: where the index is kept; one that is there is used.
        probes: cells that are looked into. Rows that find fewer than k neighbours look into more.

    Raises:
        RecipeError: FAISS is not installed. DataError: too few rows for k, or to train on; a vector is not finite.
    """

    def __init__(
        self,
        embeddings: Float[Tensor, "n d"] | NDArray[np.float32],
        k: int,
        groups: Sequence[str] | None,
        index_type: Kind,
        file: Path,
        probes: int = PROBES,
    ) -> None:
        faiss = import_faiss()
        n, d = embeddings.shape
        check_num_neighbors(k, n, groups)
        self.k, self.probes, self.embeddings = k, probes, embeddings
        self.codes = encode_groups(groups, n).numpy()
        self.spare = int(np.bincount(self.codes).max())  # those of the own group are found too
        if not file.exists():
            index = faiss.index_factory(d, index_factory_string(index_type, n, d), faiss.METRIC_INNER_PRODUCT)
            size = min(n, TRAINED_ON * index.nlist)
            index.train(self._unit(np.sort(np.random.default_rng(0).permutation(n)[:size])))
            for some in row_blocks(n):
                index.add(self._unit(np.arange(some.start, some.stop)))
            draft = file.with_suffix(".draft")
            faiss.write_index(index, str(draft))
            draft.replace(file)
        self.index: Any = faiss.read_index(str(file))

    def __call__(self, rows: Int64[Tensor, " r"]) -> Int32[np.ndarray, "r k"]:
        """The neighbours of some rows, as near as the index tells."""
        wanted = rows.numpy()
        table = np.empty((len(wanted), self.k), np.int32)
        left, probes = np.arange(len(wanted)), self.probes
        while len(left):
            self.index.nprobe = probes
            some = wanted[left]
            found = self.index.search(self._unit(some), min(self.k + self.spare, len(self.codes)))[1]
            fit = (found >= 0) & (self.codes[found] != self.codes[some][:, None])
            enough = fit.sum(axis=1) >= self.k
            first = fit & (fit.cumsum(axis=1) <= self.k)
            table[left[enough]] = found[enough][first[enough]].reshape(-1, self.k)
            left, probes = left[~enough], 4 * probes  # with all cells looked into every row has enough
        return table

    def search(
        self, queries: Float32[np.ndarray, "r d"], k: int, mask: Bool[np.ndarray, " n"] | None = None
    ) -> Int64[np.ndarray, "r k"]:
        """Positions of the k nearest to vectors from elsewhere, of unit norm; -1 where the cells hold fewer.

        Args:
            wanted: which of the set may be found; None: all.
        """
        faiss = import_faiss()
        how = {} if mask is None else {"sel": faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))}
        asked = faiss.SearchParametersIVF(nprobe=self.probes, **how)
        found: NDArray[np.int64] = self.index.search(np.ascontiguousarray(queries), k, params=asked)[1]
        return found

    def _unit(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return normalize_to_grid(torch.as_tensor(self.embeddings[rows])).float().numpy()


def measure_recall(
    table: NDArray[np.int32],
    embeddings: Float[Tensor, "n d"] | NDArray[np.float32],
    groups: Sequence[str] | None,
    sample: int = 1000,
) -> float:
    """The share of the true k nearest that a table holds, over a sample of its rows drawn by a fixed seed."""
    n, k = table.shape
    rows = np.sort(np.random.default_rng(1).permutation(n)[:sample])
    codes = encode_groups(groups, n)
    asked = normalize_to_grid(torch.as_tensor(embeddings[rows]))
    value = torch.empty(len(rows), 0, dtype=torch.float64)
    column = torch.empty(len(rows), 0, dtype=torch.int64)
    for some in row_blocks(n):
        near = asked @ normalize_to_grid(torch.as_tensor(embeddings[some]), some.start).T
        near[codes[rows][:, None] == codes[some]] = -torch.inf
        value = torch.cat([value, near], dim=1)
        column = torch.cat([column, torch.arange(some.start, some.stop).expand(len(rows), -1)], dim=1)
        value, place = value.topk(min(k, value.shape[1]), dim=1)
        column = column.gather(1, place)
    shared = [len(np.intersect1d(one, two)) for one, two in zip(table[rows], column.numpy(), strict=True)]
    return float(np.mean(shared)) / k


def index_factory_string(kind: Kind, n: int, d: int) -> str:
    """FAISS's name for an index of n vectors of d numbers.

    Raises:
        DataError: too few vectors to train it.
    """
    cells = max(1, min(int(4 * n**0.5), n // 39))  # with fewer than 39 vectors a cell FAISS warns
    if kind == "ivf":
        return f"IVF{cells},Flat"
    if n < 39 * 256:
        raise DataError(
            f"an index `ivfpq` of {n} vectors cannot be trained, expected {39 * 256} or more; use `exact` or `ivf`"
        )
    return f"IVF{cells},PQ{max(m for m in range(1, max(1, d // 8) + 1) if d % m == 0)}"


def import_faiss() -> Any:
    """FAISS; RecipeError where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its wrapper's types have no __module__
            import faiss
    except ImportError as error:
        raise RecipeError(
            "an index `ivf` or `ivfpq` needs FAISS; install it with `pip install soundspot[ann]`, or use `exact`"
        ) from error
    return faiss
