"""Beyond a million vectors: candidates from an inverted file of FAISS (extra `ann`), compared exactly afterwards.

What was written since the inverted file was made is compared with every query, so nothing new is overlooked.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from soundspot.data.neighbors.faiss import ApproximateSearch
from soundspot.search.exact_search import RowFilter, exact_scores, find_nearest_rows

EXACT = 1_000_000  # rows up to which every query is compared with all
STALE = 1.5  # times as many rows as the inverted file holds, from which it is made anew
SPARE = 8  # candidates for each that is wanted


@dataclass(frozen=True, eq=False)
class InvertedIndex:
    """The first `rows` rows of a file of vectors, in an inverted file."""

    search: ApproximateSearch
    num_rows: int

    def find_nearest_rows(
        self,
        vectors: Float32[np.ndarray, "n d"],
        query: Float64[Tensor, " d"],
        row_filter: RowFilter,
        k: int,
        per_window: bool = False,
    ) -> tuple[Int64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
        """As `soundspot.search.exact_search.nearest_rows`; most of those that are among the k best."""
        older, newer = (
            RowFilter(place, row_filter.num_files) for place in np.split(row_filter.file_index, [self.num_rows])
        )
        wanted = older.file_index >= 0
        asked, most = min(SPARE * k, int(wanted.sum())), int(wanted.sum())
        while True:
            found = (
                self.search.search(query.float()[None].numpy(), asked, wanted)[0] if asked else np.empty(0, np.int64)
            )
            rows = found[found >= 0]
            enough = len(rows) if per_window else len(np.unique(older.file_index[rows]))
            if enough >= k or asked == most or len(rows) < asked:  # the cells that are looked into hold no more
                break
            asked = min(4 * asked, most)
        later, later_scores = find_nearest_rows(vectors[self.num_rows :], query, newer, k, per_window)
        return (
            np.concatenate([rows, later + self.num_rows]),
            np.concatenate([exact_scores(vectors, rows, query), later_scores]),
        )


def build_inverted_index(
    vectors: Float32[np.ndarray, "n d"], folder: Path, generation: int, max_exact_rows: int = EXACT
) -> None:
    """Makes the inverted file of a file of vectors, or makes it anew, where there are enough rows for one.

    Without FAISS there is none, and every query is compared with all vectors.
    """
    if len(vectors) <= max_exact_rows or find_spec("faiss") is None:
        return
    before = _files(folder, generation)
    if before and len(vectors) < STALE * before[-1][0]:
        return
    ApproximateSearch(vectors, 1, None, "ivf", folder / f"inverted-{generation}-{len(vectors)}.faiss")
    for _, path in before:
        path.unlink()


def open_inverted_index(vectors: Float32[np.ndarray, "n d"], folder: Path, generation: int) -> InvertedIndex | None:
    """The inverted file of a file of vectors, if there is one."""
    found = [(rows, path) for rows, path in _files(folder, generation) if rows <= len(vectors)]
    if not found or find_spec("faiss") is None:
        return None
    rows, path = found[-1]
    return InvertedIndex(ApproximateSearch(vectors[:rows], 1, None, "ivf", path), rows)


def _files(folder: Path, generation: int) -> list[tuple[int, Path]]:
    named = folder.glob(f"inverted-{generation}-*.faiss")
    return sorted((int(path.stem.rpartition("-")[2]), path) for path in named)
