"""Tables of semantically similar samples (neighbors), from which training draws.

A table is (n, k) int32 positions for each modality, nearest first, the sample itself left out, in a memory-mapped
.npy. Beside it lie the ids of the samples, and a .json with their hash, the encoder and the hash of its weights, so
that a table is never used with another data set.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Int32, Int64

from soundspot.errors import DataError
from soundspot.utils.hash_rng import Key, uniform
from soundspot.utils.safe_read import has_type, load_npy, read_json_object

META_FILE, IDS_FILE = "meta.json", "ids.txt"
Sampling = Literal["random", "fixed", "anchor"]
Modality = Literal["images", "audio"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
_RANDOM_KEYS: dict[Modality, str] = {"images": Key.NEIGHBOR_IMAGES, "audio": Key.NEIGHBOR_AUDIO}


def fingerprint_ids(ids: Sequence[str]) -> str:
    """Compute a hash of a list of sample ids, order included.

    Args:
        ids: ids of the samples.

    Returns:
        16 hexadecimal digits, the beginning of a SHA-256.
    """
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class NeighborTable:
    """Nearest neighbors of each sample of a data set, by image and by audio.

    Attributes:
        images: (n, k) positions of the samples whose images are most similar to that of the i-th, nearest first.
        audio: (n, k) positions of the samples whose audio is most similar to that of the i-th, nearest first.
        data_fingerprint: `fingerprint_ids` of the data set.
        encoder: name of the encoder of the embeddings.
        weights_digest: 16 hexadecimal digits that identify the encoder's weights.
        recall: fraction of the true neighbors in the table, in [0, 1], by modality, where the search was approximate;
            else empty.
    """

    images: Int32[np.ndarray, "n k"]
    audio: Int32[np.ndarray, "n k"]
    data_fingerprint: str
    encoder: str = ""
    weights_digest: str = ""
    recall: dict[str, float] = field(default_factory=dict)

    def draw(
        self,
        modality: Modality,
        key: tuple[int | str, ...],
        indices: Int64[np.ndarray, " b"],
        k: int,
        sampling: Sampling,
    ) -> Int64[np.ndarray, " b"]:
        """Draw a neighbor for each sample; the draw of a sample depends on the key and its position alone.

        Args:
            modality: `images` or `audio`, by which neighbors are similar.
            key: key of the random numbers, such as (seed, epoch).
            indices: (b,) positions of the samples.
            k: number of nearest neighbors to draw from.
            sampling: `random`, any of the k nearest with equal chances; `fixed`, the nearest; `anchor`, the sample
                itself.

        Returns:
            (b,) positions of the drawn samples.

        Raises:
            DataError: the table holds fewer than k neighbors (unless `sampling` is `anchor`).
        """
        table = self.images if modality == "images" else self.audio
        if sampling == "anchor":
            return np.asarray(indices, np.int64)
        if k > table.shape[1]:
            raise DataError(f"k: found {k}, but the table holds {table.shape[1]} neighbors of each sample; lower `k`")
        column = np.zeros(len(indices), np.int64)
        if sampling == "random":
            column = (uniform((*key, Key.NEIGHBOR, _RANDOM_KEYS[modality]), indices)[:, 0] * k).astype(np.int64)
        return table[indices, column].astype(np.int64)

    def false_negative_mask(self, indices: Int64[np.ndarray, " b"], k: int) -> Bool[np.ndarray, "b b"]:
        """Mark pairs of samples that are likely alike, and so no negatives of each other.

        Args:
            indices: (b,) positions of the samples.
            k: number of nearest neighbors that count, at most the table's.

        Returns:
            (b, b) symmetric mask: True where j is among the k nearest neighbors of i, or i among those of j, in either
            modality; False on the diagonal, since no sample is its own neighbor.
        """
        hits = np.zeros((len(indices), len(indices)), bool)
        for table in (self.images, self.audio):
            hits |= (np.asarray(table[indices, :k])[:, :, None] == indices).any(axis=1)
        return hits | hits.T

    @classmethod
    def load(cls, folder: Path, data_fingerprint: str | None = None) -> "NeighborTable":
        """Open a table as memory maps.

        Args:
            folder: folder that `soundspot neighbors mine` wrote.
            data_fingerprint: `fingerprint_ids` of the data set that it is used with; None: not checked.

        Returns:
            The table.

        Raises:
            DataError: there is none, it is damaged, or it belongs to another data set.
        """
        try:
            meta = read_json_object(folder / META_FILE, "expected the table's")
            shape, known = (meta["n"], meta["k"]), (meta["data_fingerprint"], meta["encoder"], meta["weights_digest"])
            images, audio = (load_npy(folder / f"{modality}.npy", mmap_mode="r") for modality in MODALITIES)
            recall = meta.get("recall", {})
            if not has_type((*known, recall), tuple[str, str, str, dict[str, float]]) or {
                images.dtype,
                audio.dtype,
            } != {np.dtype(np.int32)}:
                raise DataError("meta.json has values of other types")
        except (OSError, ValueError, KeyError, DataError) as error:
            raise DataError(
                f"{folder}: no neighbor table can be read ({type(error).__name__}: {error}), expected one by soundspot "
                "(those by whence are of another form); make it with `soundspot neighbors mine`"
            ) from error
        if images.shape != shape or audio.shape != shape:
            raise DataError(
                f"{folder}: found tables of {images.shape} and {audio.shape}, expected {shape} as meta.json says; mine "
                "again"
            )
        if data_fingerprint not in (None, known[0]):
            raise DataError(
                f"{folder}: this neighbor table was made for another data set ({known[0]}, {meta['n']} samples), "
                f"expected {data_fingerprint}. Mine the neighbors of the training set: `soundspot neighbors mine`"
            )
        return cls(images, audio, *known, recall)
