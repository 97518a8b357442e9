"""Embeddings of a whole data set: what neighbours are mined from and what retrieval compares."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from rich.progress import track
from torch import Tensor

from whence.data.beside import heard_by, shown_to
from whence.data.neighbours import Neighbours, fingerprint, nearest, refuse_too_many
from whence.errors import DataError
from whence.inference.localizer import Localizer
from whence.types import AudioVisualDataset


@runtime_checkable
class Embedder(Protocol):
    """What a Localizer offers, and any encoder from elsewhere: one vector of each picture and of each sound.

    Optional beside it: `read_picture(data, index)` and `read_sound(data, index)`, as `evaluation.asking` has them.
    """

    name: str

    def embed_images(self, images: list[Any]) -> Float[Tensor, "b d"]: ...
    def embed_sounds(self, sounds: list[Any]) -> Float[Tensor, "b e"]: ...


def embed(
    embedder: Embedder, data: AudioVisualDataset, batch_size: int = 64, progress: bool = False
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n e"]]:
    """The vectors of every picture and of every sound of `data`, in its order; each is read once."""

    def all_of(read: Callable[[int], Any], encode: Callable[[list[Any]], Tensor], what: str) -> Tensor:
        starts = track(range(0, len(data), batch_size), what, disable=not progress)
        return torch.cat([encode([read(i) for i in range(s, min(s + batch_size, len(data)))]).cpu() for s in starts])

    return (
        all_of(partial(shown_to, embedder, data), embedder.embed_images, "pictures"),
        all_of(partial(heard_by, embedder, data), embedder.embed_sounds, "sounds"),
    )


def embed_objects(localizer: Localizer, data: AudioVisualDataset, batch_size: int = 64) -> Float[Tensor, "n d"]:
    """One vector of what sounds in each picture of `data` (`Method.objects`), in its order."""
    spans = (range(start, min(start + batch_size, len(data))) for start in range(0, len(data), batch_size))
    asked = (([shown_to(localizer, data, i) for i in s], [heard_by(localizer, data, i) for i in s]) for s in spans)
    return torch.cat([localizer.embed_objects(*both) for both in asked])


def mine(
    embedder: Embedder, data: AudioVisualDataset, k: int, batch_size: int = 64, progress: bool = False
) -> Neighbours:
    """The k nearest neighbours of every sample, in each modality by itself.

    Samples that show the same picture or come from one recording (`group`) are no neighbours of each other.
    """
    refuse_too_many(k, len(data))
    pictures, sounds = embed(embedder, data, batch_size, progress)
    return table_of(pictures, sounds, data, k, embedder.name)


def table_of(
    pictures: Float[Tensor, "n d"], sounds: Float[Tensor, "n e"], data: AudioVisualDataset, k: int, encoder: str
) -> Neighbours:
    """A table of neighbours from embeddings that are there already."""
    if len(pictures) != len(data) or len(sounds) != len(data):
        raise DataError(
            f"there are {len(pictures)} picture and {len(sounds)} sound embeddings for a data set of {len(data)} "
            "samples; expected one row of each for every sample, in the order of the data set"
        )
    groups = [data.group(i) for i in range(len(data))]
    return Neighbours(nearest(pictures, k, groups), nearest(sounds, k, groups), identity(data), encoder)


def identity(data: AudioVisualDataset) -> str:
    """What a table of neighbours knows its data set by."""
    return fingerprint([data.id(i) for i in range(len(data))])


def read_embeddings(path: str | Path) -> Float[Tensor, "n d"]:
    """Vectors that somebody else made: an .npy of (n, d) numbers."""
    try:
        array: Any = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as .npy ({error}); expected an array (samples, channels)") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise DataError(f"{path}: holds {array.dtype} of shape {array.shape}, expected floats (samples, channels)")
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
