"""What a cache of features holds: images and sounds, each once, their views, and the key of all they depend on."""

import hashlib
import json
import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import nn

from soundspot.config.schema import Recipe, ViewsConfig
from soundspot.data.datasets.wrapper import DatasetWrapper
from soundspot.errors import RecipeError
from soundspot.models.staged import NECK_OPTIONS, StagedEncoder, packed_length
from soundspot.models.weights import weights_digest
from soundspot.training.clip_reader import ClipReader
from soundspot.types import AudioVisualDataset
from soundspot.utils.hash_rng import Key

Modality = Literal["image", "audio"]
FORMAT = 1
"""Part of every key; raised whenever features of one recipe change."""

GROUND_TRUTH_REDUCTION = 4
"""Stored ground truth has this fraction of the image's side."""


class RepeatedEpochs(DatasetWrapper):
    """A data set whose epoch e is that of e modulo a number; everything else is the wrapped data set's.

    Args:
        dataset: data set of the first epoch.
        num_epochs: number of epochs that differ.
    """

    def __init__(self, dataset: AudioVisualDataset, num_epochs: int) -> None:
        super().__init__(dataset)
        self._num_epochs = num_epochs

    def at_epoch(self, epoch: int) -> AudioVisualDataset:
        """Return the data set with the samples of an epoch.

        Args:
            epoch: number of the epoch, from 0.

        Returns:
            Data set of epoch `epoch` modulo the number of epochs, which knows other epochs in the same way; or this
            one where the samples are the same.
        """
        dataset = self.dataset.at_epoch(epoch % self._num_epochs)
        return self if dataset is self.dataset else RepeatedEpochs(dataset, self._num_epochs)


def count_epochs(data: AudioVisualDataset, num_epochs: int) -> int:
    """Return the number of epochs whose samples differ.

    Args:
        data: data set of the first epoch.
        num_epochs: largest number of epochs.

    Returns:
        1 where samples are the same in all epochs, else `num_epochs`.
    """
    return 1 if data.at_epoch(1) is data else num_epochs


@dataclass(frozen=True, eq=False)
class StoredItems:
    """The images, or the sounds, of a data set, each once.

    Attributes:
        ids: id of each.
        sources: (epoch, position) of the sample that each is read from.
        positions: (epochs, n) number of the image or sound of each of n samples.
    """

    ids: tuple[str, ...]
    sources: tuple[tuple[int, int], ...]
    positions: Int[np.ndarray, "epochs n"]

    def __len__(self) -> int:
        return len(self.ids)


def list_items(data: AudioVisualDataset, modality: Modality, num_epochs: int, with_ground_truth: bool) -> StoredItems:
    """List the images, or the sounds, of the epochs of a data set.

    Args:
        data: data set of n samples.
        modality: `image` or `audio`.
        num_epochs: number of epochs.
        with_ground_truth: whether images are told apart by samples, which have ground truth of their own.

    Returns:
        Images by `group`, or sounds by `audio_id`, in the order of the samples and epochs.
    """
    numbers: dict[str, int] = {}
    sources: list[tuple[int, int]] = []
    positions = np.empty((num_epochs, len(data)), np.int64)
    for epoch in range(num_epochs):
        samples = data.at_epoch(epoch)
        read_id: Callable[[int], str] = samples.audio_id if modality == "audio" else samples.group
        suffix = ""
        if modality == "image" and (with_ground_truth or samples.count_frames() > 1):
            read_id = samples.id
            # Of several frames of a clip each epoch draws one, and ids do not say which.
            suffix = f" of epoch {epoch}" if samples.count_frames() > 1 else ""
        for index in range(len(samples)):
            number = numbers.setdefault(read_id(index) + suffix, len(numbers))
            if number == len(sources):
                sources.append((epoch, index))
            positions[epoch, index] = number
    return StoredItems(tuple(numbers), tuple(sources), positions)


def variant_ranges(views: ViewsConfig, modality: Modality, num_drawn: int) -> dict[str, range]:
    """List the stored variants of one image or sound that each view chooses from.

    Args:
        views: views of the recipe.
        modality: `image` or `audio`.
        num_drawn: number of variants of a view that is drawn; views without draws have one.

    Returns:
        View -> numbers of its variants, consecutive from 0. The neighbor's view shares those of the base view, but for
        sounds whose base view is the middle: a neighbor's window is always drawn.

    Raises:
        RecipeError: a view is drawn, and `num_drawn` is 0.
    """
    if modality == "image":
        is_drawn = views.base_view != "unaugmented"
        is_shared = True
    else:
        is_drawn = views.base_audio_window == "random" or views.spec_augment != "none"
        is_shared = views.base_audio_window == "random"
    ranges: dict[str, range] = {}
    end = 0
    for view in views.view_names(modality):
        if view == Key.NEIGHBOR_VIEW and is_shared:
            ranges[view] = ranges[Key.BASE_VIEW]
            continue
        count = num_drawn if is_drawn or view != Key.BASE_VIEW else 1
        if not count:
            raise RecipeError(
                f"feature_cache.augmentations: found 0, and the {view} view of {modality}s is drawn; expected 1 or "
                "more, or views without draws (`views: {multi_view: false, semantic: false, base_view: unaugmented, "
                "base_audio_window: center}`)"
            )
        ranges[view] = range(end, end + count)
        end += count
    return ranges


def identify_variants(ranges: dict[str, range]) -> dict[str, list[int]]:
    """Return what of the variants decides on the stored features.

    Args:
        ranges: view -> numbers of its variants.

    Returns:
        View -> first number and that after the last, without a neighbor's view that shares those of the base view.
    """
    shared = ranges[Key.BASE_VIEW]
    return {
        view: [numbers.start, numbers.stop]
        for view, numbers in ranges.items()
        if view != Key.NEIGHBOR_VIEW or numbers != shared
    }


@dataclass(frozen=True, eq=False)
class FeaturePlan:
    """Features of one modality that a recipe needs.

    Attributes:
        modality: `image` or `audio`.
        encoder: encoder with frozen stages.
        reader: reader of the training set's samples.
        recipe: recipe of the run.
        items: images or sounds.
        precision: precision of the frozen stages, in Lightning's words.
    """

    modality: Modality
    encoder: StagedEncoder
    reader: ClipReader
    recipe: Recipe
    items: StoredItems
    precision: str

    @cached_property
    def ranges(self) -> dict[str, range]:
        """Variants that each view chooses from."""
        return variant_ranges(self.recipe.views, self.modality, self.recipe.feature_cache.augmentations)

    @property
    def num_variants(self) -> int:
        """Number of stored variants of each image or sound."""
        return max(variants.stop for variants in self.ranges.values())

    @property
    def channels(self) -> int:
        """Number of channels of the encoder's inputs."""
        return 3 if self.modality == "image" else 1

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the tensors of one variant, without computing them."""
        front_end = self.reader.front_end
        size = (front_end.image.size,) * 2 if self.modality == "image" else front_end.audio.shape
        features = deepcopy(self.encoder).to("meta").forward_frozen(torch.empty(1, self.channels, *size, device="meta"))
        return tuple(tuple(x.shape[1:]) for x in features)

    @property
    def row_length(self) -> int:
        """Number of half-precision values of one variant."""
        return self.channels * packed_length(self.shapes, self.channels)

    @property
    def ground_truth_side(self) -> int:
        """Side of the stored ground truth in pixels; 0 without ground truth."""
        has_ground_truth = self.modality == "image" and self.reader.with_ground_truth
        return math.ceil(self.reader.front_end.image.size / GROUND_TRUTH_REDUCTION) if has_ground_truth else 0

    @property
    def num_bytes(self) -> int:
        """Number of bytes of all variants of all images or sounds."""
        return len(self.items) * self.num_variants * (2 * self.row_length + self.ground_truth_side**2)

    @cached_property
    def dependencies(self) -> dict[str, Any]:
        """All that the features depend on, as JSON can hold it, but for the contents of files."""
        views, front_end, encoder = self.recipe.views, self.reader.front_end, self.encoder
        if self.modality == "image":
            augmented = Key.AUGMENTED_VIEW in self.ranges
            drawing: dict[str, Any] = {
                "base": views.base_augmentation and asdict(views.base_augmentation),
                "augmented": asdict(views.augmentation) if augmented else None,
                "side": self.reader.image_side,
            }
        else:
            drawing = {name: getattr(views, name) for name in ("base_audio_window", "max_time_shift", "spec_augment")}
        return {
            "format": FORMAT,
            "modality": self.modality,
            "encoder": {key: value for key, value in encoder.build_options.items() if key not in NECK_OPTIONS},
            "weights": weights_digest(nn.ModuleList(encoder.frozen_stages())),
            "front_end": asdict(front_end.image if self.modality == "image" else front_end.audio),
            "precision": self.precision,
            "data": {"name": self.reader.data.name, "options": self.recipe.data.options, "kind": self.recipe.data.name},
            "ids": hashlib.sha256("\n".join(self.items.ids).encode()).hexdigest(),
            "ground_truth": bool(self.ground_truth_side),
            "views": drawing,
            "variants": identify_variants(self.ranges),
            "seed": self.recipe.stored_views_seed,
        }

    @property
    def folder(self) -> Path:
        """Folder of these features, by the hash of what they depend on."""
        text = json.dumps(self.dependencies, sort_keys=True, default=str)
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        return Path(self.recipe.feature_cache.folder or "") / f"{self.modality}-{key}"
