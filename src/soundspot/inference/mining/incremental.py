"""A table of neighbours that was made before samples were added: what of it can be taken over."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int32, Int64
from numpy.typing import NDArray
from torch import Tensor

from soundspot.data.neighbors.exact_knn import ExactSearch
from soundspot.data.neighbors.table import IDS_FILE, META_FILE, NeighborTable, fingerprint_ids
from soundspot.errors import DataError


@dataclass(frozen=True)
class PreviousTable:
    """A table of a part of a data set, made by the same encoder.

    Attributes:
        places: (o,), of each of its samples in the data set, rising.
        position: (n,), of each sample of the data set in the table; -1: it is new.
        meta: what the table says of itself.
    """

    folder: Path
    table: NeighborTable
    places: NDArray[np.int64]
    position: NDArray[np.int64]
    meta: dict[str, Any]

    @classmethod
    def of(cls, folder: Path, ids: list[str], groups: list[str], encoder: str, weights: str) -> "PreviousTable":
        """The table in a folder, for the data set of these samples.

        Raises:
            DataError: it was made by another encoder, its samples are not a part of the data set in the same order
                and of the same groups, or it does not hold what it takes.
        """
        table = NeighborTable.load(folder)
        meta = json.loads((folder / META_FILE).read_text(encoding="utf-8"))
        found = (meta["encoder"], meta.get("weights", ""))
        if found != (encoder, weights):
            raise DataError(
                f"{folder}: its vectors were made by {' '.join(found)}, expected {encoder} {weights}. Extend with the "
                "same encoder, or mine anew"
            )
        if not (folder / IDS_FILE).is_file():
            raise DataError(f"{folder}: holds no {IDS_FILE}, so it cannot be extended; mine anew with --keep_vectors")
        old = (folder / IDS_FILE).read_text(encoding="utf-8").split("\n")
        where = {id: i for i, id in enumerate(ids)}
        gone = [id for id in old if id not in where]
        if gone:
            raise DataError(
                f"{folder}: {len(gone)} of its {len(old)} samples are not in the data set (first: {gone[0]!r}), "
                "expected a part of it. Extend by additions alone, or mine anew"
            )
        places = np.array([where[id] for id in old], np.int64)
        if (np.diff(places) <= 0).any():
            raise DataError(f"{folder}: its samples stand in another order than in the data set; mine anew")
        if meta.get("groups") != fingerprint_ids([groups[i] for i in places]):
            raise DataError(f"{folder}: its samples belong to other groups than in the data set; mine anew")
        position = np.full(len(ids), -1, np.int64)
        position[places] = np.arange(len(old))
        earlier = cls(folder, table, places, position, meta)
        for modality in ("images", "sounds"):
            earlier.vectors(modality)
        return earlier

    @property
    def fresh(self) -> NDArray[np.int64]:
        """Where the new samples stand."""
        return np.flatnonzero(self.position < 0)

    def vectors(self, modality: str) -> Float32[np.ndarray, "o d"]:
        file = self.folder / f"{modality}.vectors.npy"
        try:
            vectors: Any = np.load(file, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise DataError(
                f"{file}: cannot be read ({error}), so the table cannot be extended; mine anew with --keep_vectors"
            ) from error
        if vectors.ndim != 2 or len(vectors) != len(self.places) or vectors.dtype != np.float32:
            raise DataError(
                f"{file}: holds {vectors.dtype} of shape {vectors.shape}, expected float32 of {len(self.places)} "
                "samples; mine anew"
            )
        return vectors

    def useful(self, k: int) -> bool:
        """Whether its rows can be merged with the new samples, and that is less work than to search anew."""
        return self.meta.get("index") == "exact" and self.meta["k"] >= k and 4 * len(self.fresh) <= len(self.position)

    def rows(self, search: ExactSearch, modality: str, rows: Int64[Tensor, " r"]) -> Int32[np.ndarray, "r k"]:
        """The neighbours of some samples of the data set."""
        at = self.position[rows.numpy()]
        table = np.empty((len(rows), search.k), np.int32)
        known = at >= 0
        if known.any():
            old = self.places[getattr(self.table, modality)[at[known], : search.k]].astype(np.int32)
            table[known] = search.merge(
                rows[torch.from_numpy(known)], torch.from_numpy(old), torch.from_numpy(self.fresh)
            )
        if not known.all():
            table[~known] = search(rows[torch.from_numpy(~known)])
        return table
