"""A folder in the catalog format (`soundspot.data.datasets.catalog_format`) as a data set."""

import copy
import os
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from soundspot.data.datasets.catalog_format import SPLITS, Annotations, AudioEntry, ImageEntry, read_annotations
from soundspot.data.datasets.catalog_join import read_joined_annotations
from soundspot.data.datasets.vggsound_flickr import check_val_fraction
from soundspot.data.media.audio import read_audio
from soundspot.data.media.image import read_image
from soundspot.data.media.mask import read_mask
from soundspot.errors import DataError, did_you_mean
from soundspot.types import Audio, AudioVisualDataset, GroundTruth
from soundspot.utils.hash_rng import Key, uniform


class Catalog(AudioVisualDataset):
    """A data set with one sample for each image whose category also has recordings in the split.

    Recordings are dealt like cards, by a rule that depends on the seed and the epoch alone: within a category every
    recording is used equally often (counts differ by at most 1). In training they are dealt anew in each epoch; val
    and test keep their pairs. An image that names its own recording is always paired with that recording.

    Args:
        root: folder that holds annotations.json, or the parent of `folders`.
        split: `train`, `val` or `test`.
        categories: names of the categories to use (None: all).
        val_fraction: share of the training groups held out of `train` as `val`, in [0, 1); the same groups whatever the
            seed.
        annotation: use only images whose boxes were made in this way, such as `human` (None: all).
        licenses: use only entries of these licenses, by their names without version: `CC BY` is that of `CC BY 4.0`,
            and neither of `CC BY-SA 4.0` nor of `CC BY-NC 4.0`. Entries that state none, and those marked
            `non_commercial` or `unstated`, are left out. None: all.
        folders: catalog folders below `root` that are used as one catalog; ids begin with the folder. Entries of one
            category are paired across folders, and equal groups are in one split. None: `root` itself is the folder.
        seed: seed of the pairing.

    Attributes:
        images: image entries of the samples, in the order of the file.
        audio: all recordings of the split and the categories, those without images included.

    Raises:
        DataError: an entry is wrong (the first is named), an unknown split or category, `val_fraction` is out of
            range, or nothing is left after the filters.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        *,
        categories: Iterable[str] | None = None,
        val_fraction: float = 0.0,
        annotation: str | None = None,
        licenses: Iterable[str] | None = None,
        folders: Iterable[str] | None = None,
        seed: int = 0,
    ) -> None:
        folders = None if folders is None else tuple(folders)
        annotations = read_annotations(root) if folders is None else read_joined_annotations(root, folders)
        annotations.raise_errors()
        self.root, self.split, self.seed, self.epoch = annotations.root, split, seed, 0
        self.name = f"{'+'.join(folders or (self.root.resolve().name,))}/{split}"
        images, audio = _split_entries(annotations, split, val_fraction)
        if categories is not None:
            chosen, known = set(categories), {entry.category for entry in annotations.entries}
            for category in sorted(chosen - known):
                raise DataError(f"{self.root}: unknown category {category!r}{did_you_mean(category, known)}")
            images = [image for image in images if image.category in chosen]
            audio = [recording for recording in audio if recording.category in chosen]
        if licenses is not None:
            wanted, stated = set(licenses), {entry.license_name for entry in annotations.entries if entry.license_name}
            for name in sorted(wanted - stated):
                raise DataError(f"{self.root}: no entry has the license {name!r}{did_you_mean(name, stated)}")
            images = [image for image in images if image.license_name in wanted]
            audio = [recording for recording in audio if recording.license_name in wanted]
        if annotation is not None:
            images = [image for image in images if image.annotation == annotation]
        self.audio = tuple(audio)
        visible: dict[str, set[str]] = defaultdict(set)
        for image in annotations.images:
            visible[image.group].add(image.category)
        self._visible = {group: tuple(sorted(names)) for group, names in visible.items()}
        self._by_category: dict[str, list[AudioEntry]] = defaultdict(list)
        for recording in audio:
            self._by_category[recording.category].append(recording)
        self._by_file = {recording.file: recording for recording in audio}
        self.images = tuple(
            image
            for image in images
            if (image.audio in self._by_file if image.audio else image.category in self._by_category)
        )
        if not self.images:
            remedy = (
                "Hold out some of train: val_fraction=0.1." if split == "val" else "Loosen the filters, or add files."
            )
            raise DataError(
                f"{self.root}: found no image with a recording of its category in split {split!r} ({len(images)} "
                f"images and {len(audio)} recordings are left), expected at least one. {remedy}"
            )
        self._pairs = self._deal_pairs()

    def __len__(self) -> int:
        return len(self.images)

    def id(self, index: int) -> str:
        """Return the id of the sample's image entry.

        Args:
            index: position of the sample, from 0.

        Returns:
            The image file, followed by `#` and the category where several entries share the file, and by `#` and the
            recording where several share both; unique in the data set.
        """
        return self.images[index].id

    def group(self, index: int) -> str:
        """Return the image file of a sample.

        Args:
            index: position of the sample, from 0.

        Returns:
            Path of the image relative to the folder; samples that pair one image with several sounds share it.
        """
        return self.images[index].file

    def audio_id(self, index: int) -> str:
        """Return the recording that a sample is paired with.

        Args:
            index: position of the sample, from 0.

        Returns:
            Path of the recording relative to the folder; samples that are paired with one recording share it.
        """
        return self._pairs[index].file

    def image_file(self, index: int) -> str:
        """Return the path of the file that a sample's image is read from.

        Args:
            index: position of the sample, from 0.

        Returns:
            The path.
        """
        return str(self.root / self.images[index].file)

    def audio_file(self, index: int) -> str:
        """Return the path of the file that a sample's audio is read from.

        Args:
            index: position of the sample, from 0.

        Returns:
            The path.
        """
        return str(self.root / self._pairs[index].file)

    def category(self, index: int) -> str:
        """Return the category of a sample.

        Args:
            index: position of the sample, from 0.

        Returns:
            Name of the category.
        """
        return self.images[index].category

    def attributes(self, index: int) -> Mapping[str, str]:
        """Return what the image's entry says of it beside its category.

        Args:
            index: position of the sample, from 0.

        Returns:
            Name -> value.
        """
        return {name: str(value) for name, value in (self.images[index].attributes or {}).items()}

    def visible_categories(self, index: int) -> tuple[str, ...]:
        """Return the categories of the things that a sample's image is known to show.

        Args:
            index: position of the sample, from 0.

        Returns:
            Names of the categories that the catalog has images of in the image's group, sorted.
        """
        return self._visible[self.images[index].group]

    def audio_entry(self, index: int) -> AudioEntry:
        """Return the recording that a sample is paired with in the catalog's epoch (`at_epoch`; 0 when opened).

        Args:
            index: position of the sample, from 0.

        Returns:
            Entry of the recording; the audio itself is not read.
        """
        return self._pairs[index]

    def read_image(self, index: int) -> Image.Image:
        """Read the image of a sample.

        Args:
            index: position of the sample, from 0.

        Returns:
            Upright RGB image.

        Raises:
            InputError: the file is broken or no image.
        """
        return read_image(self.root / self.images[index].file)

    def read_audio(self, index: int) -> Audio:
        """Read the recording that a sample is paired with, decoded in full.

        Args:
            index: position of the sample, from 0.

        Returns:
            Mono audio (mean of the channels) at the sample rate of its file.

        Raises:
            InputError: the file is broken or holds no sound.
        """
        return read_audio(self.root / self._pairs[index].file)

    def ground_truth(self, index: int) -> GroundTruth:
        """Return the mask of the sample's image, or the union of the boxes where it has none.

        Args:
            index: position of the sample, from 0.

        Returns:
            Boxes in pixels of the image, and the mask if available; `present=False` where the mask is empty or,
            without a mask, there are no boxes.

        Raises:
            DataError: mask and image differ in size.
            InputError: the mask cannot be read.
        """
        image = self.images[index]
        mask = self.read_mask(image)
        if mask is None:
            return GroundTruth(image.height, image.width, image.boxes, present=bool(image.boxes))
        return GroundTruth(image.height, image.width, image.boxes, mask, "mask", bool(mask.any()))

    def read_train_ground_truth(self, index: int) -> GroundTruth | None:
        """Return the ground truth of a sample that a method may learn from.

        Args:
            index: position of the sample, from 0.

        Returns:
            Mask or boxes; None where the image has neither, be it empty or not annotated.
        """
        image = self.images[index]
        return self.ground_truth(index) if image.boxes or image.mask else None

    def at_epoch(self, epoch: int) -> "Catalog":
        """Return the catalog with the pairs of an epoch; val and test return themselves.

        Args:
            epoch: number of the epoch, from 0.

        Returns:
            Catalog of the same length with the same images; this catalog is not changed.
        """
        if self.split != "train" or epoch == self.epoch:
            return self
        other = copy.copy(self)
        other.epoch = epoch
        other._pairs = other._deal_pairs()
        return other

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories of the samples, sorted."""
        return tuple(sorted({image.category for image in self.images}))

    def audio_of(self, category: str) -> tuple[AudioEntry, ...]:
        """Return all recordings of a category in this split.

        Args:
            category: name of the category.

        Returns:
            Entries of the recordings, in the order of the file; empty where there are none.
        """
        return tuple(self._by_category.get(category, ()))

    def read_mask(self, image: ImageEntry) -> Bool[Tensor, "h w"] | None:
        """Read the mask of an image entry.

        Args:
            image: entry of the image.

        Returns:
            (height, width) bool, True on the object; None where only boxes are known.

        Raises:
            DataError: mask and image differ in size.
            InputError: the mask cannot be decoded.
        """
        if image.mask is None:
            return None
        mask = read_mask(self.root / image.mask)
        if mask.shape != (image.height, image.width):
            raise DataError(
                f"{self.root / image.mask}: found a mask of {mask.shape[1]} x {mask.shape[0]} pixels, expected "
                f"{image.width} x {image.height} as its image has. Resize the mask."
            )
        return mask

    def _deal_pairs(self) -> tuple[AudioEntry, ...]:
        pairs = [self._by_file.get(image.audio or "") for image in self.images]
        order = uniform((self.seed, Key.PAIRING, self.epoch), list(range(len(self.images))))[:, 0]
        unpaired: dict[str, list[int]] = defaultdict(list)
        for index in np.argsort(order, kind="stable").tolist():
            if pairs[index] is None:
                unpaired[self.images[index].category].append(index)
        for category, indices in unpaired.items():
            deck = self._by_category[category]
            shuffled = np.argsort(
                uniform((self.seed, Key.AUDIO_DECK, self.epoch, category), list(range(len(deck))))[:, 0]
            )
            for turn, index in enumerate(indices):
                pairs[index] = deck[shuffled[turn % len(deck)]]
        return tuple(pair for pair in pairs if pair is not None)


def _split_entries(
    annotations: Annotations, split: str, val_fraction: float
) -> tuple[list[ImageEntry], list[AudioEntry]]:
    """Return the entries of a split, where the held-out groups of train count as val."""
    if split not in SPLITS:
        raise DataError(f"found split {split!r}, expected train, val or test{did_you_mean(split, SPLITS)}")
    check_val_fraction(val_fraction)
    groups = sorted({entry.group for entry in annotations.entries})
    chances = uniform((Key.VALIDATION,), [zlib.crc32(group.encode()) for group in groups])[:, 0]
    held_out = {group for group, chance in zip(groups, chances, strict=True) if chance < val_fraction}

    def belongs(entry: ImageEntry | AudioEntry) -> bool:
        return split == ("val" if entry.split == "train" and entry.group in held_out else entry.split)

    return [i for i in annotations.images if belongs(i)], [a for a in annotations.audio if belongs(a)]
