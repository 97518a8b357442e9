"""Bases of data sets that wrap others and read samples from them."""

from abc import abstractmethod
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from soundspot.types import AudioVisualDataset

Member = TypeVar("Member", bound=Callable[..., Any])


def forward(member: Member) -> Member:
    """Build the function of a `SampleForwarder` that calls a member of the data set that holds a sample.

    Args:
        member: function of `AudioVisualDataset` whose argument is the position of a sample.

    Returns:
        Function of the same name, signature and docstring.
    """
    name = member.__name__

    @wraps(member)
    def call(self: "SampleForwarder", index: int) -> Any:
        dataset, position = self.locate(index)
        return getattr(dataset, name)(position)

    return cast(Member, call)


class SampleForwarder(AudioVisualDataset):
    """A data set whose samples are those of others; a subclass defines `locate`, and all that is not of samples."""

    @abstractmethod
    def locate(self, index: int) -> tuple[AudioVisualDataset, int]:
        """Return the data set that holds a sample, and the sample's position in it.

        Args:
            index: position of the sample, from 0.

        Returns:
            Data set, and position from 0.
        """

    id = forward(AudioVisualDataset.id)
    group = forward(AudioVisualDataset.group)
    audio_id = forward(AudioVisualDataset.audio_id)
    image_file = forward(AudioVisualDataset.image_file)
    audio_file = forward(AudioVisualDataset.audio_file)
    category = forward(AudioVisualDataset.category)
    attributes = forward(AudioVisualDataset.attributes)
    visible_categories = forward(AudioVisualDataset.visible_categories)
    read_image = forward(AudioVisualDataset.read_image)
    read_audio = forward(AudioVisualDataset.read_audio)
    open_audio = forward(AudioVisualDataset.open_audio)
    read_flow = forward(AudioVisualDataset.read_flow)
    read_audio_embedding = forward(AudioVisualDataset.read_audio_embedding)
    ground_truth = forward(AudioVisualDataset.ground_truth)
    read_train_ground_truth = forward(AudioVisualDataset.read_train_ground_truth)


class DatasetWrapper(SampleForwarder):
    """A data set whose members are all those of the one that it wraps, but for what a subclass overrides.

    Args:
        dataset: data set that is wrapped.
    """

    dataset: AudioVisualDataset

    def __init__(self, dataset: AudioVisualDataset) -> None:
        self.dataset, self.name, self.split = dataset, dataset.name, dataset.split

    def __len__(self) -> int:
        return len(self.dataset)

    def locate(self, index: int) -> tuple[AudioVisualDataset, int]:
        """Return the wrapped data set and the position of a sample, which is the same in it.

        Args:
            index: position of the sample, from 0.

        Returns:
            Data set, and position from 0.
        """
        return self.dataset, index

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories that samples of any epoch can have; empty where they are those of this epoch's samples."""
        return self.dataset.categories

    @property
    def has_train_ground_truth(self) -> bool:
        """True where the wrapped data set has ground truth to train on."""
        return self.dataset.has_train_ground_truth

    def count_frames(self) -> int:
        """Return the largest number of frames that any sample chooses its image from.

        Returns:
            Number of frames, 1 or more.
        """
        return self.dataset.count_frames()

    def shard_ids(self) -> NDArray[np.int64] | None:
        """Return the number of the shard that holds each sample.

        Returns:
            (n,) int64 for n samples; None where samples do not lie in shards.
        """
        return self.dataset.shard_ids()
