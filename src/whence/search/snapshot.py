"""An index as it was at one moment, and what is nearest in it."""

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from whence.errors import DataError
from whence.search.beyond import Inverted, inverted
from whence.search.catalogue import Catalogue, Entries
from whence.search.nearest import Owners, nearest_rows
from whence.search.query import KINDS, MODALITIES
from whence.search.result import Hit
from whence.search.vectors import mapped, vector_file


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Vectors, and what they belong to.

    Attributes:
        version: of the catalogue, at that moment or before it.
        inverted: where there are too many vectors to be compared with each query.
        files: numbers of the files that have entries. place: of each entry's file among those.
    """

    version: tuple[int, int]
    entries: Entries
    vectors: Float32[np.ndarray, "n d"]
    files: Int64[np.ndarray, " f"]
    place: Int64[np.ndarray, " m"]
    inverted: Inverted | None = None
    _owners: dict[tuple[frozenset[str], frozenset[str]], Owners] = field(default_factory=dict)

    @classmethod
    def of(cls, catalogue: Catalogue, folder: Path, width: int) -> "Snapshot":
        """An index as it is now.

        Raises:
            DataError: it is damaged.
        """
        version = catalogue.version
        entries = catalogue.entries()
        try:
            vectors = mapped(vector_file(folder, entries.generation), entries.rows, width)
        except DataError:
            if catalogue.entries().generation == entries.generation:
                raise
            return cls.of(catalogue, folder, width)  # it was rewritten between the two looks
        files, place = np.unique(entries.file, return_inverse=True)
        far = inverted(vectors, folder, entries.generation)
        return cls(version, entries, vectors, files, place, far)

    def owners(self, kinds: Collection[str], against: Collection[str]) -> Owners:
        """Whose each row is, of those that are asked for."""
        key = frozenset[str](kinds), frozenset[str](against)
        if key not in self._owners:
            self._owners[key] = self._owned(*key)
        return self._owners[key]

    def _owned(self, kinds: Collection[str], against: Collection[str]) -> Owners:
        e = self.entries
        wanted = np.isin(e.kind, [n for n, kind in enumerate(KINDS) if kind in kinds])
        wanted &= np.isin(e.modality, [n for n, one in enumerate(MODALITIES) if one in against])
        place = np.full(e.rows, -1)
        place[e.row[wanted]] = self.place[wanted]
        return Owners(place, len(self.files))

    def nearest(
        self, catalogue: Catalogue, root: Path, query: Float64[Tensor, " d"], owners: Owners, k: int, every: bool
    ) -> list[Hit] | None:
        """The k nearest, the best first, of equals by path; None where a file has gone from the catalogue since."""
        e = self.entries
        search = self.inverted.nearest_rows if self.inverted else nearest_rows
        rows, scores = search(self.vectors, query, owners, k, every)
        at = np.searchsorted(e.row, rows)
        names = catalogue.named(np.unique(e.file[at]).tolist())
        if not all(int(file) in names for file in e.file[at]):
            return None
        order = sorted(range(len(rows)), key=lambda i: (-scores[i], names[int(e.file[at[i]])], rows[i]))
        hits: list[Hit] = []
        told: set[int] = set()
        for i in order:
            n, file = at[i], int(e.file[at[i]])
            if every or file not in told:
                told.add(file)
                time = None if np.isnan(e.time[n]) else float(e.time[n])
                path, modality = root / os.fsdecode(names[file]), MODALITIES[e.modality[n]]
                hits.append(Hit(path, KINDS[e.kind[n]], float(scores[i]), time, modality))
            if len(hits) == k:
                break
        return hits
