"""An index as it was at one moment, and the search in it."""

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8
from torch import Tensor

from soundspot.data.media.file_types import FILE_TYPES
from soundspot.data.neighbors.exact_knn import find_nearest_rows
from soundspot.errors import DataError
from soundspot.search.query import MODALITIES
from soundspot.search.result import Hit
from soundspot.search.store import IndexStore
from soundspot.utils.safe_read import convert_read_errors


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All windows of an index, sorted by row, with their embeddings.

    Attributes:
        version: version of the store at that moment or before it.
        generation: number of the vector file.
        vectors: (n, d) unit-norm embeddings, rows that belong to no window included; a memory map.
        row: (m,) row in `vectors` of each window.
        file_id: (m,) id of each window's file.
        file_type: (m,) position in FILE_TYPES.
        modality: (m,) position in MODALITIES.
        time: (m,) seconds; nan for image files.
        checksum: (m,) CRC-32 of the embedding as it was written.
    """

    version: tuple[int, int]
    generation: int
    vectors: Float32[np.ndarray, "n d"]
    row: Int64[np.ndarray, " m"]
    file_id: Int64[np.ndarray, " m"]
    file_type: UInt8[np.ndarray, " m"]
    modality: UInt8[np.ndarray, " m"]
    time: Float64[np.ndarray, " m"]
    checksum: Int64[np.ndarray, " m"]
    _groups: dict[tuple[Sequence[str], Sequence[str]], Int64[np.ndarray, " n"]] = field(default_factory=dict)

    @classmethod
    def load(cls, store: IndexStore) -> "Snapshot":
        """Load the index as it is now.

        Args:
            store: store of the index.

        Returns:
            The windows of all files at one moment.

        Raises:
            DataError: the index is damaged.
        """
        version = store.version
        query = "SELECT row, file, type, modality, time, checksum FROM windows JOIN files ON id = file ORDER BY row"
        with store.transaction("DEFERRED"):
            windows, metadata = store.select(query), store.get_metadata()
        try:
            vectors = store.open_vectors(metadata["num_rows"], metadata["width"], metadata["generation"])
        except DataError:
            if store.get_metadata()["generation"] == metadata["generation"]:
                raise
            return cls.load(store)  # it was compacted meanwhile
        columns = zip(*windows, strict=True) if windows else ((),) * 6
        dtypes = ("i8", "i8", "u1", "u1", "f8", "i8")
        with convert_read_errors(store.path, "expected an index. Remove the folder and index again"):
            arrays: list[Any] = [np.array(column, dtype) for column, dtype in zip(columns, dtypes, strict=True)]
            highs = (len(vectors), None, len(FILE_TYPES), len(MODALITIES))
            for values, high in zip(arrays, highs, strict=False):
                if len(values) and (values.min() < 0 or (high is not None and values.max() >= high)):
                    raise ValueError("a window has no row, file, type or modality of this index")
        return cls(version, metadata["generation"], vectors, *arrays)

    def search(
        self,
        store: IndexStore,
        root: Path,
        query: Float64[Tensor, " d"],
        k: int,
        filters: tuple[Sequence[str], Sequence[str]],
        per_window: bool,
    ) -> list[Hit] | None:
        """Find the k windows or files nearest to a query, by cosine; exactly.

        Args:
            store: store of the index, from which the paths of the hits are read.
            root: folder of the files.
            query: (d,) unit-norm query, as `compose_query` returns it.
            k: largest number of hits.
            filters: file types and modalities to search in.
            per_window: whether each window is a hit of its own, or each file by its best window.

        Returns:
            Hits, best first, ties by path; None if a file was deleted since the snapshot was taken.

        Raises:
            DataError: the query has another length than the vectors of the index.
        """
        if len(query) != self.vectors.shape[1]:
            raise DataError(
                f"{store.path}: found vectors of {self.vectors.shape[1]} numbers, expected {len(query)}. "
                "Give a query of the index's model, or remove the folder and index again"
            )
        rows, scores = find_nearest_rows(self.vectors, query, self._group_rows(filters), k, per_row=per_window)
        windows = np.searchsorted(self.row, rows)
        files = self.file_id[windows].tolist()
        paths = store.get_paths(files)
        if not paths.keys() >= set(files):
            return None
        hits: dict[object, Hit] = {}
        for i in sorted(range(len(rows)), key=lambda i: (-scores[i], paths[files[i]], rows[i])):
            window, path = windows[i], root / os.fsdecode(paths[files[i]])
            time = None if np.isnan(self.time[window]) else float(self.time[window])
            file_type, modality = FILE_TYPES[self.file_type[window]], MODALITIES[self.modality[window]]
            hits.setdefault(i if per_window else path, Hit(path, file_type, float(scores[i]), time, modality))
        return list(hits.values())[:k]

    def _group_rows(self, filters: tuple[Sequence[str], Sequence[str]]) -> Int64[np.ndarray, " n"]:
        """Return the position of each row's file among the files; -1 for rows that are filtered out or unused."""
        if filters not in self._groups:
            file_types, modalities = filters
            selected = np.isin(self.file_type, [FILE_TYPES.index(name) for name in file_types])
            selected &= np.isin(self.modality, [MODALITIES.index(name) for name in modalities])
            groups = np.full(len(self.vectors), -1)
            groups[self.row[selected]] = np.unique(self.file_id, return_inverse=True)[1][selected]
            self._groups[filters] = groups
        return self._groups[filters]

    def find_problems(self, store: IndexStore) -> list[str]:
        """Check the database, and each embedding against its checksum.

        Args:
            store: store of the index.

        Returns:
            Sentences that say what is damaged; empty for a healthy index.

        Raises:
            DataError: the database cannot be read at all.
        """
        answer = store.select("PRAGMA quick_check(1)")[0][0]
        problems = [] if answer == "ok" else [f"{store.path}: {answer}"]
        checksums = zip(self.row.tolist(), self.checksum.tolist(), strict=True)
        if damaged := [row for row, checksum in checksums if zlib.crc32(self.vectors[row].data) != checksum]:
            path = store.vector_path(self.generation)
            problems.append(f"{path}: {len(damaged)} vectors are damaged (first: row {damaged[0]})")
        return problems
