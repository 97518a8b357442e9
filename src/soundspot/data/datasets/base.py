"""Clips that somebody listed: what every adapter of a public data set makes of its authors' files."""

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from soundspot.data.datasets.annotation_files import read_consensus_boxes, read_fraction_boxes
from soundspot.data.media.audio import read_audio
from soundspot.data.media.image import read_image, read_mask
from soundspot.errors import DataError, RecipeError, did_you_mean
from soundspot.types import Audio, GroundTruth

MISSING_POLICIES = ("refuse", "skip", "unchecked")
PathLike = str | os.PathLike[str]
FLICKR_SIZE = 256  # Flickr-SoundNet's boxes are in a picture of 256 x 256
BOX_SIZE = 224  # the alignment paper's in one of 224 x 224


@dataclass(frozen=True)
class GroundTruthFile:
    """A truth that is read when it is asked for.

    Attributes:
        form: a `mask` as a picture, the `consensus` of Flickr-SoundNet's XML, or VGG-SS's `fractions` in SSL-TIE's XML.
    """

    path: str
    format: Literal["mask", "consensus", "fractions"]

    def read(self) -> GroundTruth:
        if self.format == "mask":
            mask = read_mask(self.path)
            return GroundTruth(mask.shape[0], mask.shape[1], mask=mask, rule="mask")
        if self.format == "consensus":
            boxes, annotators = read_consensus_boxes(self.path)
            return GroundTruth(FLICKR_SIZE, FLICKR_SIZE, boxes, rule="consensus", num_annotators=annotators)
        return GroundTruth(1, 1, read_fraction_boxes(self.path))


@dataclass(frozen=True)
class SampleEntry:
    """A picture asked with a sound.

    Attributes:
        group: the picture; clips that share it ask one picture with several sounds.
        category: what sounds; empty where nobody said.
        image, sound: paths.
        truth: a truth, the file it is in, or None for clips to train on.
        lacks: those of its files that were looked for and are not there, as messages name them.
    """

    id: str
    group: str
    category: str
    image: str
    audio: str
    ground_truth: GroundTruth | GroundTruthFile | None = None
    missing_files: tuple[str, ...] = ()


class ClipDataset:
    """A data set of clips, each modality read by itself and when it is asked for.

    Attributes:
        clips: the items, in the order of the list.
        split: `train`, `val` or `test`; nothing is selected on a test set.
        skipped: ids that were listed and left out because a file is missing.
        excluded: ids that were listed and left out because they are in a list that must not be trained on.

    Raises:
        DataError: two clips share an id, or there are none.
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
        self.skipped = tuple(clip.id for clip in incomplete)
        seen: set[str] = set()
        for clip in self.samples:
            if clip.id in seen:
                raise DataError(f"{name}: found two items of id {clip.id}, expected one. Take one out of the list")
            seen.add(clip.id)
        if not self.samples:
            left = f" ({len(self.skipped)} lack a file, {len(self.excluded)} are excluded)"
            raise DataError(f"{name}: no clip is left{left}, expected at least one. Fetch files, or loosen the options")

    def __len__(self) -> int:
        return len(self.samples)

    def id(self, index: int) -> str:
        return self.samples[index].id

    def group(self, index: int) -> str:
        return self.samples[index].group

    def category(self, index: int) -> str:
        return self.samples[index].category

    def read_image(self, index: int) -> Image.Image:
        return read_image(self.samples[index].image)

    def read_audio(self, index: int) -> Audio:
        return read_audio(self.samples[index].audio)

    def ground_truth(self, index: int) -> GroundTruth:
        """Where the source is.

        Raises:
            DataError: clips to train on have none, and an empty one would say that the source is not in the picture; or
                the file of the truth is wrong. InputError: a mask cannot be read.
        """
        truth = self.samples[index].ground_truth
        if truth is None:
            raise DataError(f"{self.name}: these clips have no boxes or masks, so maps of them cannot be scored")
        return truth if isinstance(truth, GroundTruth) else truth.read()

    def at_epoch(self, epoch: int) -> "ClipDataset":
        return self


def drop_missing(
    root: Path, samples: Iterable[SampleEntry], missing: str, option: str = "media"
) -> tuple[list[SampleEntry], list[SampleEntry]]:
    """The clips that are kept and those that are left out because a file is missing.

    Args:
        root: what messages begin with.
        media: `refuse` raises where any file is missing, `skip` leaves such clips out and warns, `unchecked` keeps all.
        option: what the adapter calls this choice.

    Raises:
        DataError: files are missing and `refuse` was chosen: their number and the first ones.
    """
    samples = list(samples)
    lacking = [clip for clip in samples if clip.missing_files]
    if missing == "unchecked" or not lacking:
        return samples, []
    files = [file for clip in lacking for file in clip.missing_files]
    found = f"{root}: of {len(samples)} clips {len(lacking)} lack {len(files)} files (first: {', '.join(files[:3])})"
    if missing == "refuse":
        unread = ", or score maps that are there already with `media: unchecked`" if option == "media" else ""
        raise DataError(f"{found}. Fetch them, or go without these clips by `{option}: skip`{unread}")
    warnings.warn(f"{found}; these clips are left out", stacklevel=3)
    return [clip for clip in samples if not clip.missing_files], lacking


def check_choice(option: str, value: str, known: Sequence[str]) -> None:
    """Raise RecipeError where an option has none of the values that it can have."""
    if value not in known:
        hint = did_you_mean(value, known)
        raise RecipeError(f"{option}: found {value!r}, expected {' or '.join(map(repr, known))}{hint}")


def find_annotation_file(root: Path, annotations: PathLike | None, names: Sequence[str]) -> Path | None:
    """The first of `names` in the folder `annotations`, or where none is given in root or root/metadata; or None."""
    folders = (root, root / "metadata") if annotations is None else (Path(annotations),)
    return next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)


def require_annotation_file(root: Path, annotations: PathLike | None, names: Sequence[str]) -> Path:
    """The same.

    Raises:
        DataError: there is none; says what was looked for and where.
    """
    found = find_annotation_file(root, annotations, names)
    if found is None:
        where = f"{root} and {root / 'metadata'}" if annotations is None else annotations
        raise DataError(
            f"{where}: found no {' or '.join(names)}, expected the authors' annotation file. Fetch it (the repository "
            "kaistmm/SSLalignment has it in metadata/), or name its folder by `annotations`"
        )
    return found
