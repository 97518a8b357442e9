"""Tables of semantically similar samples: build them from any embeddings, save them, draw from them.

A table is (n, k) int32 positions, nearest first, the sample itself left out, in a memory-mapped .npy; beside it a .json
names the data set, its hash and the encoder, so that a table is never used with another set.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int32
from numpy.typing import NDArray
from torch import Tensor

from whence.errors import DataError
from whence.output import whole_folder
from whence.randomness import uniform

Sampling = Literal["random", "fixed", "anchor"]


def fingerprint(ids: Sequence[str]) -> str:
    """Sixteen hex digits that stand for a list of sample ids in its order."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]


def refuse_too_many(k: int, n: int) -> None:
    """Raise DataError where a set of n samples has no k neighbours for each; to be called before embedding them."""
    if not 1 <= k <= n - 1:
        raise DataError(f"{k} neighbours were asked of a set of {n}; expected 1 to {n - 1}. Lower `k`")


def nearest(
    embeddings: Float[Tensor, "n d"], k: int, groups: Sequence[str] | None = None, chunk: int = 1024
) -> Int32[np.ndarray, "n k"]:
    """The k nearest of each row by cosine, nearest first, itself left out; exact, in memory of chunk x n.

    Args:
        embeddings: any vectors; they are brought to unit norm here.
        groups: rows of one group (frames of one video, say) are no neighbours of each other.
        chunk: rows compared at once.

    Raises:
        DataError: fewer than k other rows, or a vector that is not finite.
    """
    n = len(embeddings)
    refuse_too_many(k, n)
    bad = (~torch.isfinite(embeddings).all(dim=1)).nonzero().flatten()
    if len(bad):
        raise DataError(f"{len(bad)} of {n} embeddings are not finite (first: row {int(bad[0])}); mend the encoder")
    unit = torch.nn.functional.normalize(embeddings.float(), dim=1)
    codes = torch.from_numpy(np.unique(np.asarray(groups), return_inverse=True)[1]) if groups is not None else None
    table = np.empty((n, k), np.int32)
    for start in range(0, n, chunk):
        rows = torch.arange(start, min(start + chunk, n))
        similarity = unit[rows] @ unit.T
        similarity[torch.arange(len(rows)), rows] = -torch.inf
        if codes is not None:
            similarity[codes[rows][:, None] == codes[None]] = -torch.inf
        best = similarity.topk(k, dim=1)
        if bool(torch.isinf(best.values).any()):
            raise DataError(f"some sample has fewer than {k} neighbours outside its own group; lower `k`")
        table[rows.numpy()] = best.indices.numpy()
    return table


@dataclass(frozen=True)
class Neighbours:
    """A table for each modality: row i holds the positions of the samples most like sample i, nearest first."""

    images: NDArray[np.int32]
    sounds: NDArray[np.int32]
    data: str
    encoder: str = ""

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
        with whole_folder(folder, overwrite=True, holds="meta.json") as draft:
            for name in ("images", "sounds"):
                np.save(draft / f"{name}.npy", np.ascontiguousarray(getattr(self, name), np.int32))
            n, k = self.images.shape
            meta = {"data": self.data, "encoder": self.encoder, "n": n, "k": k}
            (draft / "meta.json").write_text(json.dumps(meta))

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
            meta = json.loads((folder / "meta.json").read_text())
            images, sounds = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "sounds"))
        except (OSError, ValueError) as error:
            raise DataError(
                f"{folder}: no table of neighbours can be read ({error}); make one with `whence mine`"
            ) from error
        shape = (meta["n"], meta["k"])
        if images.shape != shape or sounds.shape != shape:
            raise DataError(
                f"{folder}: tables are {images.shape} and {sounds.shape}, meta.json says {shape}; mine again"
            )
        if data is not None and meta["data"] != data:
            raise DataError(
                f"{folder}: this table of neighbours was made for another data set ({meta['data']}, {meta['n']} "
                f"samples); expected {data}. Mine neighbours of the set that is trained on with `whence mine`"
            )
        return cls(images, sounds, meta["data"], meta["encoder"])
