"""Embeddings of a data set, from which neighbors are mined and clusters made."""

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
    """Encoder from elsewhere: one embedding per image and per audio.

    Attributes:
        name: for people.
        weights_digest: hexadecimal digits that identify the weights; may be empty.
        device: where neighbors are searched.
    """

    name: str
    device: str

    @property
    def weights_digest(self) -> str: ...
    def embed_images(self, images: list[Any]) -> Float[Tensor, "b d"]: ...
    def embed_audio(self, audio: list[Any]) -> Float[Tensor, "b e"]: ...


def compute_weights_digest(localizer: Localizer) -> str:
    """Compute the 16 hexadecimal digits of all that the embeddings of a localizer depend on."""
    return weights_digest(localizer.method, f"{localizer.method.front_end} {localizer.precision}")


def embed_batch(
    read: Callable[[int], Any], embed: Callable[[list[Any]], Tensor], batch_size: int, indices: NDArray[np.int64]
) -> Float32[Tensor, "b d"]:
    """Embed up to `batch_size` samples.

    A smaller batch is padded with its last sample: the last bit of a network's output may depend on the size of the
    batch, and the embedding of a sample must not depend on the others.

    Args:
        read: returns the input of a sample by its index.
        embed: a network: list of inputs -> (b, d).
        batch_size: of each call of the network.
        indices: (b,) of the samples.

    Returns:
        (b, d) on the CPU.
    """
    inputs = [read(int(i)) for i in indices]
    return embed(inputs + inputs[-1:] * (batch_size - len(inputs)))[: len(inputs)].float().cpu()


def embed_objects(localizer: Localizer, data: AudioVisualDataset, batch_size: int = 64) -> Float[Tensor, "n d"]:
    """Compute the (n, d) embeddings of the sounding object of each sample, in the order of the data set."""
    batches = torch.arange(len(data)).split(batch_size)
    return torch.cat(
        [
            localizer.embed_objects(
                [read_model_image(localizer, data, i) for i in batch.tolist()],
                [read_model_audio(localizer, data, i) for i in batch.tolist()],
            )
            for batch in batches
        ]
    )


def fingerprint_dataset(data: AudioVisualDataset) -> str:
    """Compute the hash of a data set's ids by which a neighbor table knows its data set."""
    return fingerprint_ids([data.id(i) for i in range(len(data))])


def read_embeddings(path: str | Path) -> Float[Tensor, "n d"]:
    """Read embeddings that another program made.

    Args:
        path: an .npy of (n, d) floats; float32 stays a memory map.

    Raises:
        DataError: it cannot be read, or has another shape or type.
    """
    try:
        array: Any = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as .npy ({error}); expected an array (samples, channels)") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise DataError(f"{path}: holds {array.dtype} of shape {array.shape}, expected floats (samples, channels)")
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
