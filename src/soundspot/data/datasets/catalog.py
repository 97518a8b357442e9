"""Any folder in the catalogue format (`soundspot.data.datasets.catalog_format`) as a data set: pictures paired with recordings."""

import copy
import hashlib
import os
import zlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from soundspot.data.datasets.catalog_format import SPLITS, Annotations, AudioEntry, ImageEntry, read_annotations
from soundspot.data.media.audio import read_audio
from soundspot.data.media.image import read_image, read_mask
from soundspot.errors import DataError, did_you_mean
from soundspot.types import Audio, GroundTruth
from soundspot.utils.hash_rng import uniform

Entry = TypeVar("Entry", ImageEntry, AudioEntry)


class Catalog:
    """One item for each picture whose category also has recordings in the split; its sound is one of those.

    Sounds are dealt like cards, by a rule that depends on the seed and the epoch alone: within a category every
    recording is used equally often. In training each epoch deals anew; val and test keep their pairs.

    Args:
        root: the folder that holds annotations.json.
        split: train, val or test.
        categories: only these (None: all there are).
        min_images: leave out categories with fewer pictures in this split.
        validation: share of the training groups held out of `train` as `val`, the same ones whatever the seed.
        annotation: only pictures whose boxes were made so, such as `human` (None: all).
        free_only: leave out entries whose licence is unstated or not for commercial use.
        seed: of the pairing.
        repair: pair anew at each epoch; False keeps the pairs of epoch 0 in training too.

    Attributes:
        pictures: the items, in the order of the file.
        sounds: all recordings of the split and the categories, those without pictures included.

    Raises:
        DataError: an entry is wrong (the first one is named), or nothing is left after the filters.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        *,
        categories: Iterable[str] | None = None,
        min_images: int = 1,
        val_fraction: float = 0.0,
        annotation: str | None = None,
        free_only: bool = False,
        seed: int = 0,
        shuffle_pairs: bool = True,
    ) -> None:
        annotations = read_annotations(root)
        annotations.raise_errors()
        self.root = annotations.root
        self.split = split
        self.name = f"{self.root.resolve().name}/{split}"
        self.seed = seed
        self.epoch = 0
        self._deals_anew = shuffle_pairs and split == "train"
        pictures, sounds = _of_split(annotations, split, val_fraction)
        if categories is not None:
            wanted = _known(set(categories), annotations)
            pictures = [picture for picture in pictures if picture.category in wanted]
            sounds = [sound for sound in sounds if sound.category in wanted]
        if free_only:
            pictures = [picture for picture in pictures if not (picture.unstated or picture.non_commercial)]
            sounds = [sound for sound in sounds if not (sound.unstated or sound.non_commercial)]
        if annotation is not None:
            pictures = [picture for picture in pictures if picture.annotation == annotation]
        self.audio = tuple(sounds)
        self._by_category = _grouped(sounds)
        self._by_file = {recording.file: recording for recording in sounds}
        askable = [p for p in pictures if (p.audio in self._by_file if p.audio else p.category in self._by_category)]
        counts = {category: len(group) for category, group in _grouped(askable).items()}
        self.images = tuple(picture for picture in askable if counts[picture.category] >= min_images)
        if not self.images:
            raise DataError(
                f"{self.root}: found no picture with a recording of its category in split {split!r} ({len(pictures)} "
                f"pictures and {len(sounds)} recordings are left), expected at least one. "
                + ("Hold out some of train: validation=0.1." if split == "val" else "Loosen the filters, or add files.")
            )
        self._pairs = self._deal()

    def __len__(self) -> int:
        return len(self.images)

    def id(self, index: int) -> str:
        return self.images[index].id

    def group(self, index: int) -> str:
        """The picture's file: shared by the items that ask one picture with several sounds."""
        return self.images[index].file

    def category(self, index: int) -> str:
        return self.images[index].category

    def audio_entry(self, index: int) -> AudioEntry:
        """The recording that the item is paired with at this epoch."""
        return self._pairs[index]

    def read_image(self, index: int, at_least: int | None = None) -> Image.Image:
        return read_image(self.root / self.images[index].file, at_least)

    def read_audio(self, index: int, rate: int | None = None) -> Audio:
        return read_audio(self.root / self._pairs[index].file, rate)

    def ground_truth(self, index: int) -> GroundTruth:
        """The mask where there is one, else the union of the boxes."""
        picture = self.images[index]
        mask = self.read_mask(picture)
        rule: Literal["union", "mask"] = "union" if mask is None else "mask"
        present = bool(picture.boxes) if mask is None else bool(mask.any())
        return GroundTruth(picture.height, picture.width, picture.boxes, mask, rule, present)

    def at_epoch(self, epoch: int) -> "Catalog":
        if not self._deals_anew or epoch == self.epoch:
            return self
        other = copy.copy(self)
        other.epoch = epoch
        other._pairs = other._deal()
        return other

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories of the items, sorted."""
        return tuple(sorted({picture.category for picture in self.images}))

    def audio_of(self, category: str) -> tuple[AudioEntry, ...]:
        """All recordings of a category in this split; none where it has none."""
        return self._by_category.get(category, ())

    def read_mask(self, image: ImageEntry) -> Bool[Tensor, "h w"] | None:
        """True where the object is; None where only boxes are known."""
        if image.mask is None:
            return None
        mask = read_mask(self.root / image.mask)
        if mask.shape != (image.height, image.width):
            raise DataError(
                f"{self.root / image.mask}: found a mask of {mask.shape[1]} x {mask.shape[0]} pixels, expected "
                f"{image.width} x {image.height} as its picture has. Resize the mask."
            )
        return mask

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits that change with the items or the recordings, to know tables built for another set."""
        names = "\n".join([*(picture.id for picture in self.images), "", *(sound.id for sound in self.audio)])
        return hashlib.blake2s(names.encode(), digest_size=6).hexdigest()

    def _deal(self) -> tuple[AudioEntry, ...]:
        pairs = [self._by_file.get(picture.audio or "") for picture in self.images]
        order = uniform((self.seed, "pair", self.epoch), list(range(len(self.images))))[:, 0]
        free: dict[str, list[int]] = defaultdict(list)
        for index in np.argsort(order, kind="stable").tolist():
            if pairs[index] is None:
                free[self.images[index].category].append(index)
        for category, indices in free.items():
            deck = self._by_category[category]
            shuffled = np.argsort(uniform((self.seed, "deck", self.epoch, category), list(range(len(deck))))[:, 0])
            for place, index in enumerate(indices):
                pairs[index] = deck[shuffled[place % len(deck)]]
        return tuple(pair for pair in pairs if pair is not None)


def _of_split(annotations: Annotations, split: str, validation: float) -> tuple[list[ImageEntry], list[AudioEntry]]:
    """The entries of a split, once the held-out groups of train are counted as val."""
    if split not in SPLITS:
        raise DataError(f"found split {split!r}, expected train, val or test{did_you_mean(split, SPLITS)}")
    if not 0 <= validation < 1:
        raise DataError(f"found validation={validation}, expected a share from 0 to below 1. Pass 0.1 for a tenth.")
    groups = sorted({entry.group for entry in annotations.entries})
    chances = uniform(("validation",), [zlib.crc32(group.encode()) for group in groups])[:, 0]
    held = {group for group, chance in zip(groups, chances, strict=True) if chance < validation}

    def belongs(entry: ImageEntry | AudioEntry) -> bool:
        return split == ("val" if entry.split == "train" and entry.group in held else entry.split)

    return [p for p in annotations.images if belongs(p)], [r for r in annotations.audio if belongs(r)]


def _known(wanted: set[str], annotations: Annotations) -> set[str]:
    there = {entry.category for entry in annotations.entries}
    for category in sorted(wanted - there):
        raise DataError(f"{annotations.root}: unknown category {category!r}{did_you_mean(category, there)}")
    return wanted


def _grouped(entries: Iterable[Entry]) -> dict[str, tuple[Entry, ...]]:
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry.category].append(entry)
    return {category: tuple(group) for category, group in groups.items()}
