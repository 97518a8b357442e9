"""Embeddings of a whole data set: what neighbours are mined from and what retrieval compares."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy.typing import NDArray
from torch import Tensor

from soundspot.data.datasets.auxiliary import read_model_audio, read_model_image
from soundspot.data.neighbors.table import fingerprint_ids
from soundspot.errors import DataError
from soundspot.inference.localizer import Localizer
from soundspot.models.weights import weights_digest
from soundspot.types import AudioVisualDataset


@runtime_checkable
class Embedder(Protocol):
    """What a Localizer offers, and any encoder from elsewhere: one vector of each picture and of each sound.

    Optional beside it: `read_picture(data, index)` and `read_sound(data, index)`, as `evaluation.asking` has them;
    `weights`, digits that stand for what it has learned; `device`, where neighbours are searched too.
    """

    name: str

    def embed_images(self, images: list[Any]) -> Float[Tensor, "b d"]: ...
    def embed_audio(self, audio: list[Any]) -> Float[Tensor, "b e"]: ...


def compute_weights_digest(embedder: Embedder) -> str:
    """16 hexadecimal digits that stand for what an embedder's vectors depend on; empty where it does not tell."""
    if isinstance(embedder, Localizer):
        return weights_digest(embedder.method, f"{embedder.method.front_end} {embedder.precision}")
    return str(getattr(embedder, "weights", ""))


def encode_batch(
    read: Callable[[int], Any], encode: Callable[[list[Any]], Tensor], batch_size: int, indices: NDArray[np.int64]
) -> Float32[Tensor, "b d"]:
    """The vectors of up to `size` samples.

    A batch that is not full is filled up with its last item: what a network makes of one item may depend, in the last
    bit, on how many there are, and a sample's vector is to be the same whoever is embedded with it.
    """
    items = [read(int(i)) for i in indices]
    return encode(items + items[-1:] * (batch_size - len(items)))[: len(items)].float().cpu()


def embed_objects(localizer: Localizer, data: AudioVisualDataset, batch_size: int = 64) -> Float[Tensor, "n d"]:
    """One vector of what sounds in each picture of `data` (`Method.objects`), in its order."""
    spans = (range(start, min(start + batch_size, len(data))) for start in range(0, len(data), batch_size))
    asked = (
        ([read_model_image(localizer, data, i) for i in s], [read_model_audio(localizer, data, i) for i in s])
        for s in spans
    )
    return torch.cat([localizer.embed_objects(*both) for both in asked])


def check_num_embeddings(pictures: Tensor, sounds: Tensor, n: int) -> None:
    """Raise DataError where there is not one vector of each kind for each of n samples."""
    if len(pictures) != n or len(sounds) != n:
        raise DataError(
            f"there are {len(pictures)} picture and {len(sounds)} sound embeddings for a data set of {n} samples; "
            "expected one row of each for every sample, in the order of the data set"
        )


def fingerprint_dataset(data: AudioVisualDataset) -> str:
    """What a table of neighbours knows its data set by."""
    return fingerprint_ids([data.id(i) for i in range(len(data))])


def read_embeddings(path: str | Path) -> Float[Tensor, "n d"]:
    """Vectors that somebody else made: an .npy of (n, d) numbers, as a memory map where they are float32."""
    try:
        array: Any = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as .npy ({error}); expected an array (samples, channels)") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise DataError(f"{path}: holds {array.dtype} of shape {array.shape}, expected floats (samples, channels)")
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
