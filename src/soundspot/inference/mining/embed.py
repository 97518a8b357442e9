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
from soundspot.utils.safe_read import load_npy


@runtime_checkable
class Embedder(Protocol):
    """Encoder from elsewhere: one embedding per image and per audio.

    Attributes:
        name: name of the encoder, for people.
        weights_digest: hexadecimal digits that identify the weights; may be empty.
        device: device on which neighbors are searched, such as `cpu` or `cuda`.
    """

    name: str
    device: str

    @property
    def weights_digest(self) -> str:
        """Hexadecimal digits that identify the weights; may be empty."""
        ...

    def embed_images(self, images: list[Any]) -> Float[Tensor, "b d"]:
        """Embed images.

        Args:
            images: b images as the data set reads them.

        Returns:
            (b, d) embeddings on any device, which need not be normalized.
        """
        ...

    def embed_audio(self, audio: list[Any]) -> Float[Tensor, "b e"]:
        """Embed audio.

        Args:
            audio: b `Audio` as the data set reads them, of any rates and lengths.

        Returns:
            (b, e) embeddings on any device, which need not be normalized.
        """
        ...


def compute_weights_digest(localizer: Localizer) -> str:
    """Compute a hash of all that the embeddings of a localizer depend on: weights, front end and precision.

    Args:
        localizer: localizer of the method.

    Returns:
        16 hexadecimal digits.
    """
    return weights_digest(localizer.method, f"{localizer.method.front_end} {localizer.precision}")


def embed_batch(
    read: Callable[[int], Any], embed: Callable[[list[Any]], Tensor], batch_size: int, indices: NDArray[np.int64]
) -> Float32[Tensor, "b d"]:
    """Embed up to `batch_size` samples.

    A smaller batch is padded with its last sample: the last bit of a network's output may depend on the size of the
    batch, and the embedding of a sample must not depend on the others.

    Args:
        read: function that returns the input of a sample by its index.
        embed: network, called once with a list of `batch_size` inputs; returns (batch_size, d).
        batch_size: number of inputs in each call of the network.
        indices: (b,) indices of the samples, 1 <= b <= batch_size.

    Returns:
        (b, d) float32 on the CPU, not normalized here.
    """
    inputs = [read(int(i)) for i in indices]
    return embed(inputs + inputs[-1:] * (batch_size - len(inputs)))[: len(inputs)].float().cpu()


def embed_objects(localizer: Any, data: AudioVisualDataset, batch_size: int = 64) -> Float[Tensor, "n d"]:
    """Embed the sounding object of each sample of a data set (`Localizer.embed_objects`).

    Args:
        localizer: localizer of the method, or what has `embed_objects` for that which it reads of the data set.
        data: data set of n samples.
        batch_size: number of samples embedded at once.

    Returns:
        (n, d) float32 on the CPU, in the order of the data set.
    """
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
    """Compute the hash of a data set's ids, in their order, by which a neighbor table recognizes its data set.

    Args:
        data: data set of n samples.

    Returns:
        Hexadecimal digits; contents of the samples do not enter.
    """
    return fingerprint_ids([data.id(i) for i in range(len(data))])


def read_embeddings(path: str | Path) -> Float[Tensor, "n d"]:
    """Read embeddings that another program computed.

    Args:
        path: path of an .npy file of (n, d) floats of any precision.

    Returns:
        (n, d) float32; a memory map of the file if it holds float32.

    Raises:
        DataError: the file cannot be read, or holds another shape or type.
    """
    try:
        array: Any = load_npy(path, mmap_mode="c")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as .npy ({error}); expected an array (samples, channels)") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise DataError(f"{path}: holds {array.dtype} of shape {array.shape}, expected floats (samples, channels)")
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
