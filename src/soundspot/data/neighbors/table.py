"""Tables of semantically similar samples: build them from any embeddings, save them, draw from them.

A table is (n, k) int32 positions, nearest first, the sample itself left out, in a memory-mapped .npy; beside it lie
the ids, and a .json with their hash, the encoder and the hash of its weights, so that a table is never used with
another set.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from soundspot.errors import DataError
from soundspot.utils.atomic_io import atomic_write_folder
from soundspot.utils.hash_rng import uniform

META_FILE, IDS_FILE = "meta.json", "ids.txt"
Sampling = Literal["random", "fixed", "anchor"]


def fingerprint_ids(ids: Sequence[str]) -> str:
    """Sixteen hex digits that stand for a list of sample ids in its order."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class NeighborTable:
    """A table for each modality: row i holds the positions of the samples most like sample i, nearest first.

    Attributes:
        data: fingerprint of the data set's ids.
        encoder: name of who made the vectors. weights: 16 hexadecimal digits that stand for what it has learned.
        recall: for each modality the share of true neighbours that was measured, where the search was not exact.
    """

    images: NDArray[np.int32]
    audio: NDArray[np.int32]
    data_fingerprint: str
    encoder: str = ""
    weights_digest: str = ""
    recall: dict[str, float] = field(default_factory=dict)

    def draw(
        self,
        modality: Literal["images", "sounds"],
        key: tuple[int | str, ...],
        indices: NDArray[np.int64],
        k: int,
        sampling: Sampling,
    ) -> NDArray[np.int64]:
        """For each sample one of its first k neighbours: at `random`, the nearest (`fixed`), or itself (`anchor`)."""
        table = self.images if modality == "images" else self.audio
        if sampling == "anchor":
            return np.asarray(indices, np.int64)
        if k > table.shape[1]:
            raise DataError(
                f"the table holds {table.shape[1]} neighbours of each sample, {k} were asked for; lower `k`"
            )
        column = np.zeros(len(indices), np.int64)
        if sampling == "random":
            column = (uniform((*key, "neighbour", modality), indices)[:, 0] * k).astype(np.int64)
        return table[indices, column].astype(np.int64)

    def false_negative_mask(self, indices: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
        """(b, b): True where j is among the first k neighbours of i, or i of j, in either modality."""
        hits = np.zeros((len(indices), len(indices)), bool)
        for table in (self.images, self.audio):
            near = np.asarray(table[indices, :k])
            hits |= (near[:, :, None] == indices[None, None, :]).any(axis=1)
        return hits | hits.T

    def save(self, folder: Path) -> None:
        """Writes images.npy, sounds.npy and meta.json; the folder appears whole, in place of one that was there."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write_folder(folder, overwrite=True, marker_file=META_FILE) as draft:
            for name in ("images", "sounds"):
                np.save(draft / f"{name}.npy", np.ascontiguousarray(getattr(self, name), np.int32))
            n, k = self.images.shape
            meta = {
                "data": self.data_fingerprint,
                "encoder": self.encoder,
                "weights": self.weights_digest,
                "n": n,
                "k": k,
            }
            (draft / META_FILE).write_text(json.dumps(meta))

    @classmethod
    def load(cls, folder: Path, data_fingerprint: str | None = None) -> "NeighborTable":
        """Opens a table as memory maps.

        Args:
            folder: as `save` wrote it.
            data: fingerprint of the data set it is to be used with.

        Raises:
            DataError: there is none, it is damaged, or it belongs to another data set.
        """
        try:
            meta = json.loads((folder / META_FILE).read_text())
            shape, known = (meta["n"], meta["k"]), (meta["data"], meta["encoder"])
            images, sounds = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "sounds"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{folder}: no table of neighbours can be read ({error}); make one with `soundspot mine`"
            ) from error
        if images.shape != shape or sounds.shape != shape:
            raise DataError(
                f"{folder}: tables are {images.shape} and {sounds.shape}, meta.json says {shape}; mine again"
            )
        if data_fingerprint is not None and meta["data"] != data_fingerprint:
            raise DataError(
                f"{folder}: this table of neighbours was made for another data set ({meta['data']}, {meta['n']} "
                f"samples); expected {data_fingerprint}. Mine neighbours of the set that is trained on with `soundspot mine`"
            )
        return cls(images, sounds, *known, meta.get("weights", ""), meta.get("recall", {}))
