"""An index as it was at one moment, and what is nearest in it."""

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from soundspot.errors import DataError
from soundspot.search.exact_search import RowFilter, find_nearest_rows
from soundspot.search.faiss_ivf import InvertedIndex, open_inverted_index
from soundspot.search.metadata_db import MetadataDatabase, WindowTable
from soundspot.search.query import FILE_TYPES, MODALITIES
from soundspot.search.result import Hit
from soundspot.search.vector_store import open_vectors, vector_path


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Vectors, and what they belong to.

    Attributes:
        version: of the catalogue, at that moment or before it.
        inverted: where there are too many vectors to be compared with each query.
        files: numbers of the files that have entries. place: of each entry's file among those.
    """

    version: tuple[int, int]
    entries: WindowTable
    vectors: Float32[np.ndarray, "n d"]
    file_ids: Int64[np.ndarray, " f"]
    file_index: Int64[np.ndarray, " m"]
    inverted_index: InvertedIndex | None = None
    _owners: dict[tuple[frozenset[str], frozenset[str]], RowFilter] = field(default_factory=dict)

    @classmethod
    def load(cls, catalogue: MetadataDatabase, folder: Path, width: int) -> "Snapshot":
        """An index as it is now.

        Raises:
            DataError: it is damaged.
        """
        version = catalogue.version
        entries = catalogue.load_entries()
        try:
            vectors = open_vectors(vector_path(folder, entries.generation), entries.num_rows, width)
        except DataError:
            if catalogue.load_entries().generation == entries.generation:
                raise
            return cls.load(catalogue, folder, width)  # it was rewritten between the two looks
        files, place = np.unique(entries.file_id, return_inverse=True)
        far = open_inverted_index(vectors, folder, entries.generation)
        return cls(version, entries, vectors, files, place, far)

    def filter_rows(self, kinds: Collection[str], against: Collection[str]) -> RowFilter:
        """Whose each row is, of those that are asked for."""
        key = frozenset[str](kinds), frozenset[str](against)
        if key not in self._owners:
            self._owners[key] = self._owned(*key)
        return self._owners[key]

    def _owned(self, kinds: Collection[str], against: Collection[str]) -> RowFilter:
        e = self.entries
        wanted = np.isin(e.file_type, [n for n, kind in enumerate(FILE_TYPES) if kind in kinds])
        wanted &= np.isin(e.modality, [n for n, one in enumerate(MODALITIES) if one in against])
        place = np.full(e.num_rows, -1)
        place[e.row[wanted]] = self.file_index[wanted]
        return RowFilter(place, len(self.file_ids))

    def find_hits(
        self,
        catalogue: MetadataDatabase,
        root: Path,
        query: Float64[Tensor, " d"],
        owners: RowFilter,
        k: int,
        every: bool,
    ) -> list[Hit] | None:
        """The k nearest, the best first, of equals by path; None where a file has gone from the catalogue since."""
        e = self.entries
        search = self.inverted_index.find_nearest_rows if self.inverted_index else find_nearest_rows
        rows, scores = search(self.vectors, query, owners, k, every)
        at = np.searchsorted(e.row, rows)
        names = catalogue.get_paths(np.unique(e.file_id[at]).tolist())
        if not all(int(file) in names for file in e.file_id[at]):
            return None
        order = sorted(range(len(rows)), key=lambda i: (-scores[i], names[int(e.file_id[at[i]])], rows[i]))
        hits: list[Hit] = []
        told: set[int] = set()
        for i in order:
            n, file = at[i], int(e.file_id[at[i]])
            if every or file not in told:
                told.add(file)
                time = None if np.isnan(e.time[n]) else float(e.time[n])
                path, modality = root / os.fsdecode(names[file]), MODALITIES[e.modality[n]]
                hits.append(Hit(path, FILE_TYPES[e.file_type[n]], float(scores[i]), time, modality))
            if len(hits) == k:
                break
        return hits
