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

from whence.errors import DataError
from whence.output import whole_folder
from whence.randomness import uniform

META, IDS = "meta.json", "ids.txt"
Sampling = Literal["random", "fixed", "anchor"]


def fingerprint(ids: Sequence[str]) -> str:
    """Sixteen hex digits that stand for a list of sample ids in its order."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Neighbours:
    """A table for each modality: row i holds the positions of the samples most like sample i, nearest first.

    Attributes:
        data: fingerprint of the data set's ids.
        encoder: name of who made the vectors. weights: 16 hexadecimal digits that stand for what it has learned.
        recall: for each modality the share of true neighbours that was measured, where the search was not exact.
    """

    images: NDArray[np.int32]
    sounds: NDArray[np.int32]
    data: str
    encoder: str = ""
    weights: str = ""
    recall: dict[str, float] = field(default_factory=dict)

    def draw(
        self,
        modality: Literal["images", "sounds"],
        key: tuple[int | str, ...],
        index: NDArray[np.int64],
        k: int,
        how: Sampling,
    ) -> NDArray[np.int64]:
        """For each sample one of its first k neighbours: at `random`, the nearest (`fixed`), or itself (`anchor`)."""
        table = self.images if modality == "images" else self.sounds
        if how == "anchor":
            return np.asarray(index, np.int64)
        if k > table.shape[1]:
            raise DataError(
                f"the table holds {table.shape[1]} neighbours of each sample, {k} were asked for; lower `k`"
            )
        column = np.zeros(len(index), np.int64)
        if how == "random":
            column = (uniform((*key, "neighbour", modality), index)[:, 0] * k).astype(np.int64)
        return table[index, column].astype(np.int64)

    def alike(self, index: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
        """(b, b): True where j is among the first k neighbours of i, or i of j, in either modality."""
        hits = np.zeros((len(index), len(index)), bool)
        for table in (self.images, self.sounds):
            near = np.asarray(table[index, :k])
            hits |= (near[:, :, None] == index[None, None, :]).any(axis=1)
        return hits | hits.T

    def save(self, folder: Path) -> None:
        """Writes images.npy, sounds.npy and meta.json; the folder appears whole, in place of one that was there."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with whole_folder(folder, overwrite=True, holds=META) as draft:
            for name in ("images", "sounds"):
                np.save(draft / f"{name}.npy", np.ascontiguousarray(getattr(self, name), np.int32))
            n, k = self.images.shape
            meta = {"data": self.data, "encoder": self.encoder, "weights": self.weights, "n": n, "k": k}
            (draft / META).write_text(json.dumps(meta))

    @classmethod
    def load(cls, folder: Path, data: str | None = None) -> "Neighbours":
        """Opens a table as memory maps.

        Args:
            folder: as `save` wrote it.
            data: fingerprint of the data set it is to be used with.

        Raises:
            DataError: there is none, it is damaged, or it belongs to another data set.
        """
        try:
            meta = json.loads((folder / META).read_text())
            shape, known = (meta["n"], meta["k"]), (meta["data"], meta["encoder"])
            images, sounds = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "sounds"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{folder}: no table of neighbours can be read ({error}); make one with `whence mine`"
            ) from error
        if images.shape != shape or sounds.shape != shape:
            raise DataError(
                f"{folder}: tables are {images.shape} and {sounds.shape}, meta.json says {shape}; mine again"
            )
        if data is not None and meta["data"] != data:
            raise DataError(
                f"{folder}: this table of neighbours was made for another data set ({meta['data']}, {meta['n']} "
                f"samples); expected {data}. Mine neighbours of the set that is trained on with `whence mine`"
            )
        return cls(images, sounds, *known, meta.get("weights", ""), meta.get("recall", {}))
