"""Data sets of listed samples: the common part of every adapter that reads its authors' files."""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from PIL import Image

from soundspot.data.datasets.annotation_files import read_consensus_boxes, read_fraction_boxes
from soundspot.data.media.audio import read_audio
from soundspot.data.media.image import read_image
from soundspot.data.media.mask import read_mask
from soundspot.errors import DataError, RecipeError, did_you_mean
from soundspot.types import Audio, AudioVisualDataset, GroundTruth

MISSING_POLICIES = ("error", "skip", "ignore")
PathLike = str | os.PathLike[str]
FLICKR_SIZE = 256  # Flickr-SoundNet's boxes are pixels of an image of 256 x 256
BOX_SIZE = 224  # those of the alignment paper, of one of 224 x 224


@dataclass(frozen=True)
class GroundTruthFile:
    """A ground truth that is read from its file on access.

    Attributes:
        path: path of the file.
        format: `mask`, an image; `consensus`, Flickr-SoundNet's XML; or `fractions`, VGG-SS's boxes in SSL-TIE's XML.
    """

    path: str
    format: Literal["mask", "consensus", "fractions"]

    def read(self) -> GroundTruth:
        """Read the file.

        Returns:
            A mask at its own size with rule `mask`; boxes in pixels of 256 x 256 with rule `consensus`; or boxes as
            fractions (1 x 1) with rule `union`, for the formats `mask`, `consensus` and `fractions`.

        Raises:
            InputError: a mask is missing or cannot be decoded.
            DataError: an XML file is missing or not of its format.
        """
        if self.format == "mask":
            mask = read_mask(self.path)
            return GroundTruth(mask.shape[0], mask.shape[1], mask=mask, rule="mask")
        if self.format == "consensus":
            boxes, num_annotators = read_consensus_boxes(self.path)
            return GroundTruth(FLICKR_SIZE, FLICKR_SIZE, boxes, rule="consensus", num_annotators=num_annotators)
        return GroundTruth(1, 1, read_fraction_boxes(self.path))


@dataclass(frozen=True)
class SampleEntry:
    """The files and annotations of one sample, an image with an audio signal.

    Attributes:
        id: id of the sample.
        group: id of the image; samples that pair one image with several sounds share it.
        category: category of the sound; empty where it is not known.
        image, audio: paths of the image file and the audio file.
        ground_truth: a ground truth, the file that holds it, or None for samples to train on.
        missing_files: names, for messages, of the sample's files that were looked for and do not exist.
        attributes: name -> value of what else is known of the sample.
    """

    id: str
    group: str
    category: str
    image: str
    audio: str
    ground_truth: GroundTruth | GroundTruthFile | None = None
    missing_files: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


class ClipDataset(AudioVisualDataset):
    """A data set of sample entries, each modality read by itself on access.

    Args:
        name: name that reports print.
        samples: the samples, in the order of the list.
        split: `train`, `val` or `test`; nothing is fitted on a test split.
        incomplete: samples that were listed and left out because a file is missing.
        excluded: ids that were listed and left out because they are in a list that must not be trained on.

    Attributes:
        skipped: ids of the incomplete samples.

    Raises:
        DataError: two samples share an id, or there are none.
    """

    def __init__(
        self,
        name: str,
        samples: Sequence[SampleEntry],
        split: str = "test",
        incomplete: Sequence[SampleEntry] = (),
        excluded: Sequence[str] = (),
    ) -> None:
        self.name, self.split = name, split
        self.samples, self.excluded = tuple(samples), tuple(excluded)
        self.skipped = tuple(sample.id for sample in incomplete)
        ids: set[str] = set()
        self._first_of_audio: dict[str, str] = {}
        for sample in self.samples:
            self._first_of_audio.setdefault(sample.audio, sample.id)
            if sample.id in ids:
                raise DataError(f"{name}: found two samples of id {sample.id}, expected one. Take one out of the list")
            ids.add(sample.id)
        if not self.samples:
            counts = f"{len(self.skipped)} lack a file, {len(self.excluded)} are excluded"
            raise DataError(
                f"{name}: no sample is left ({counts}), expected at least one. Fetch files, or loosen the options"
            )

    def __len__(self) -> int:
        return len(self.samples)

    def id(self, index: int) -> str:
        """Return the id of a sample.

        Args:
            index: position of the sample, from 0.

        Returns:
            The id, unique in the data set.
        """
        return self.samples[index].id

    def group(self, index: int) -> str:
        """Return the id of the sample's image.

        Args:
            index: position of the sample, from 0.

        Returns:
            Id that samples of one image share.
        """
        return self.samples[index].group

    def audio_id(self, index: int) -> str:
        """Return the id of the sample's audio.

        Args:
            index: position of the sample, from 0.

        Returns:
            Id of the first sample with the same audio file.
        """
        return self._first_of_audio[self.samples[index].audio]

    def image_file(self, index: int) -> str:
        """Return the path of the file that a sample's image is read from.

        Args:
            index: position of the sample, from 0.

        Returns:
            The path.
        """
        return self.samples[index].image

    def audio_file(self, index: int) -> str:
        """Return the path of the file that a sample's audio is read from.

        Args:
            index: position of the sample, from 0.

        Returns:
            The path.
        """
        return self.samples[index].audio

    def category(self, index: int) -> str:
        """Return the category of the sample's sound.

        Args:
            index: position of the sample, from 0.

        Returns:
            Name of the category; empty where it is not known.
        """
        return self.samples[index].category

    def attributes(self, index: int) -> Mapping[str, str]:
        """Return what else is known of a sample.

        Args:
            index: position of the sample, from 0.

        Returns:
            Name -> value.
        """
        return self.samples[index].attributes

    def read_image(self, index: int) -> Image.Image:
        """Read the image of a sample.

        Args:
            index: position of the sample, from 0.

        Returns:
            Upright RGB image of any size.

        Raises:
            InputError: the file is missing, broken, no image, or of more than 80 megapixels.
        """
        return read_image(self.samples[index].image)

    def read_audio(self, index: int) -> Audio:
        """Read the audio of a sample, decoded in full.

        Args:
            index: position of the sample, from 0.

        Returns:
            Mono audio (mean of the channels) at the sample rate of its file.

        Raises:
            InputError: the file is missing, broken, without sound, or holds invalid samples.
        """
        return read_audio(self.samples[index].audio)

    def ground_truth(self, index: int) -> GroundTruth:
        """Return the location of the sound source.

        Args:
            index: position of the sample, from 0.

        Returns:
            Boxes or mask of the source; `present=False` where it is not in the image.

        Raises:
            DataError: the sample is for training and has no annotation, or the XML file of its boxes is wrong.
            InputError: a mask cannot be read.
        """
        ground_truth = self.samples[index].ground_truth
        if ground_truth is None:
            return super().ground_truth(index)
        return ground_truth if isinstance(ground_truth, GroundTruth) else ground_truth.read()


def drop_missing(
    root: Path, samples: Iterable[SampleEntry], missing: str, can_ignore: bool = True
) -> tuple[list[SampleEntry], list[SampleEntry]]:
    """Divide samples into those to use and those that lack a file.

    Args:
        root: folder that messages begin with.
        samples: entries with their `missing_files`.
        missing: `error` raises where any file is missing, `skip` leaves such samples out with a warning, `ignore` uses
            all samples.
        can_ignore: whether `ignore` is allowed, and named in the message.

    Returns:
        Samples to use, and samples left out, each in their order.

    Raises:
        RecipeError: an unknown policy.
        DataError: files are missing and `error` was chosen; the message gives their number and the first three.
    """
    check_choice("missing", missing, MISSING_POLICIES if can_ignore else MISSING_POLICIES[:2])
    samples = list(samples)
    incomplete = [sample for sample in samples if sample.missing_files]
    if missing == "ignore" or not incomplete:
        return samples, []
    files = [file for sample in incomplete for file in sample.missing_files]
    message = (
        f"{root}: of {len(samples)} samples {len(incomplete)} lack {len(files)} files (first: {', '.join(files[:3])})"
    )
    if missing == "error":
        ignore = ", or score maps that exist already with `missing: ignore`" if can_ignore else ""
        raise DataError(f"{message}. Fetch them, or go without these samples by `missing: skip`{ignore}")
    warnings.warn(f"{message}; these samples are left out", stacklevel=3)
    return [sample for sample in samples if not sample.missing_files], incomplete


def select_samples(samples: Sequence[SampleEntry], where: Mapping[str, str]) -> list[SampleEntry]:
    """Select the samples that have certain attributes.

    Args:
        samples: the samples.
        where: name -> value of the attributes that a sample must have; empty: all samples.

    Returns:
        The samples that have all of them, in their order.

    Raises:
        RecipeError: no sample has an attribute of a name, or of a value.
    """
    for name, value in where.items():
        check_choice("where", name, sorted({key for sample in samples for key in sample.attributes}))
        check_choice(f"where: {name}", value, sorted({sample.attributes.get(name, "") for sample in samples}))
    return [sample for sample in samples if all(sample.attributes.get(k) == v for k, v in where.items())]


def check_choice(option: str, value: str, known: Sequence[str]) -> None:
    """Raise RecipeError where the value of an option is not among the known values.

    Args:
        option: name of the option, for the message.
        value: value that was given.
        known: allowed values.

    Raises:
        RecipeError: the value is not among `known`; the message suggests the nearest value.
    """
    if value not in known:
        hint = did_you_mean(value, known)
        raise RecipeError(f"{option}: found {value!r}, expected {' or '.join(map(repr, known))}{hint}")


def find_annotation_file(root: Path, annotations: PathLike | None, names: Sequence[str]) -> Path:
    """Find an annotation file by its possible names.

    Args:
        root: folder of the data set.
        annotations: folder of the annotation files; None: `root`, then `root/metadata`.
        names: file names in order of preference.

    Returns:
        Path of the first file that exists; folders are searched in turn, each for all names.

    Raises:
        DataError: no such file exists; the message names the files and folders.
    """
    folders = (root, root / "metadata") if annotations is None else (Path(annotations),)
    for path in (folder / name for folder in folders for name in names):
        if path.is_file():
            return path
    raise DataError(
        f"{' and '.join(map(str, folders))}: found no {' or '.join(names)}, expected the authors' annotation file. Get "
        "it (the repository kaistmm/SSLalignment has it in metadata/), or name its folder by `annotations`"
    )
