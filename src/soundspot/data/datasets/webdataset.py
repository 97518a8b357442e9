"""Training samples in shards that `soundspot data extract` wrote, or any in WebDataset's layout."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from soundspot.data.datasets.annotation_files import read_unique_ids
from soundspot.data.datasets.base import SampleEntry, drop_missing
from soundspot.data.datasets.lists import find_excluded_ids
from soundspot.data.datasets.vggsound_flickr import select_split
from soundspot.data.media.audio import AudioFile, open_audio, read_audio
from soundspot.data.media.image import read_image
from soundspot.data.media.mask import read_mask
from soundspot.data.shards.format import ShardReader, list_shards
from soundspot.data.shards.from_dataset import MASK_MEMBER, ground_truth_from_dict
from soundspot.errors import DataError
from soundspot.types import Audio, AudioVisualDataset, GroundTruth
from soundspot.utils.hash_rng import Key, uniform
from soundspot.utils.safe_read import convert_read_errors, parse_json

IMAGE_TYPES, AUDIO_TYPES = ("jpg", "jpeg", "png", "webp"), ("flac", "wav", "ogg", "mp3")


class ShardDataset(AudioVisualDataset):
    """Samples in shards, each member read by its offset on access.

    A sample with several frames shows one of them in each epoch, drawn by the sample and the epoch.

    Args:
        name: name that reports print.
        samples: (shard, key) of each sample.
        split: `train` or `val`.
        excluded: ids left out because they are in a list that must not be trained on.
        epoch: number of the epoch whose frames are shown, from 0.
    """

    def __init__(
        self,
        name: str,
        samples: Sequence[tuple[ShardReader, str]],
        split: str = "train",
        excluded: Sequence[str] = (),
        epoch: int = 0,
    ) -> None:
        self.name, self.samples, self.split = name, tuple(samples), split
        self.excluded, self.epoch = tuple(excluded), epoch

    def __len__(self) -> int:
        return len(self.samples)

    def id(self, index: int) -> str:
        """Return the id of a sample, which is its key in the shard.

        Args:
            index: position of the sample, from 0.

        Returns:
            The key, unique in the data set.
        """
        return self.samples[index][1]

    def group(self, index: int) -> str:
        """Return the id of the sample's image, by the sample's JSON.

        Args:
            index: position of the sample, from 0.

        Returns:
            Id that samples of one image share; the sample's own id where the JSON has no `group`.

        Raises:
            DataError: the sample's JSON cannot be read.
        """
        return str(self._metadata(index).get("group", self.id(index)))

    def audio_id(self, index: int) -> str:
        """Return the id of the sample's audio, by the sample's JSON.

        Args:
            index: position of the sample, from 0.

        Returns:
            Id that samples of one audio share; the sample's own id where the JSON has no `audio_id`.

        Raises:
            DataError: the sample's JSON cannot be read.
        """
        return str(self._metadata(index).get("audio_id", self.id(index)))

    def image_file(self, index: int) -> str:
        """Return the path of the file that a sample's image is read from.

        Args:
            index: position of the sample, from 0.

        Returns:
            The path.
        """
        return str(self.samples[index][0].path)

    def audio_file(self, index: int) -> str:
        """Return the path of the file that a sample's audio is read from.

        Args:
            index: position of the sample, from 0.

        Returns:
            The path.
        """
        return str(self.samples[index][0].path)

    def category(self, index: int) -> str:
        """Return the category of the sample's sound, by the sample's JSON.

        Args:
            index: position of the sample, from 0.

        Returns:
            Name of the category; empty where the JSON has none.

        Raises:
            DataError: the sample's JSON cannot be read.
        """
        return str(self._metadata(index).get("category", ""))

    def shard_ids(self) -> NDArray[np.int64]:
        """Return the number of the shard that holds each sample.

        Returns:
            (n,) int64 for n samples; shards are numbered from 0 in the order of their first sample.
        """
        numbers: dict[Path, int] = {}
        return np.array([numbers.setdefault(shard.path, len(numbers)) for shard, _ in self.samples])

    def count_frames(self) -> int:
        """Return the largest number of frames that any sample has.

        Returns:
            Number of frames.
        """
        return max((len(_members(shard.index[key], IMAGE_TYPES)) for shard, key in self.samples), default=0)

    def read_image(self, index: int) -> Image.Image:
        """Read the image of a sample; of several frames, the frame drawn for this epoch.

        Args:
            index: position of the sample, from 0.

        Returns:
            Upright RGB image.

        Raises:
            DataError: the sample has no image, or the bytes of the shard have changed.
            InputError: the image cannot be decoded.
        """
        shard, key = self.samples[index]
        frames = self._required(index, IMAGE_TYPES)
        chance = uniform((self.epoch, Key.FRAME), [index])[0, 0] if len(frames) > 1 else 0
        member = frames[int(chance * len(frames))]
        return read_image(f"{shard.path}/{key}.{member}", content=shard.read(key, member))

    def read_audio(self, index: int) -> Audio:
        """Read the audio of a sample, decoded in full.

        Args:
            index: position of the sample, from 0.

        Returns:
            Mono audio (mean of the channels) at the sample rate of its file.

        Raises:
            DataError: the sample has no audio, or the bytes of the shard have changed.
            InputError: the audio cannot be decoded.
        """
        path, content = self._audio(index)
        return read_audio(path, content=content)

    def open_audio(self, index: int) -> Audio | AudioFile:
        """Open the audio of a sample; all of its bytes are read and compared with their checksum.

        Args:
            index: position of the sample, from 0.

        Returns:
            Open file whose segments are decoded on demand (`AudioFile`) for wav and flac; otherwise the audio decoded
            in full.

        Raises:
            DataError: the sample has no audio, or the bytes of the shard have changed.
            InputError: the audio cannot be decoded.
        """
        return open_audio(*self._audio(index))

    def ground_truth(self, index: int) -> GroundTruth:
        """Return the location of the source, of a data set that was written to shards with its ground truth.

        Args:
            index: position of the sample, from 0.

        Returns:
            Boxes or mask of the source, in the units of the original data set; `present=False` where it is not in the
            image.

        Raises:
            DataError: the sample has no ground truth, or its JSON cannot be read.
        """
        shard, key = self.samples[index]
        values = self._metadata(index).get("ground_truth")
        if values is None:
            return super().ground_truth(index)
        has_mask = MASK_MEMBER in shard.index[key]
        mask = read_mask(f"{shard.path}/{key}.{MASK_MEMBER}", shard.read(key, MASK_MEMBER)) if has_mask else None
        expected = "expected the ground truth that `soundspot data to-shards` wrote. Write the shards again"
        with convert_read_errors(f"{shard.path}: {key}.json", expected):
            return ground_truth_from_dict(values, mask)

    def at_epoch(self, epoch: int) -> "ShardDataset":
        """Return the data set with the frames of an epoch.

        Args:
            epoch: number of the epoch, from 0.

        Returns:
            Data set with the same samples; this data set is not changed.
        """
        return ShardDataset(self.name, self.samples, self.split, self.excluded, epoch)

    def _audio(self, index: int) -> tuple[str, bytes]:
        shard, key = self.samples[index]
        member = self._required(index, AUDIO_TYPES)[0]
        return f"{shard.path}/{key}.{member}", shard.read(key, member)

    def _metadata(self, index: int) -> dict[str, Any]:
        """Return the sample's JSON; empty where it has none."""
        shard, key = self.samples[index]
        try:
            values = parse_json(shard.read(key, "json")) if "json" in shard.index[key] else {}
        except ValueError as error:
            raise DataError(f"{shard.path}: found no JSON in {key}.json ({error}). Extract it again") from error
        return values if isinstance(values, dict) else {}

    def _required(self, index: int, types: Sequence[str]) -> list[str]:
        shard, key = self.samples[index]
        members = _members(shard.index[key], types)
        if not members:
            raise DataError(f"{shard.path}: found no {' or '.join(types)} of {key}, expected one. Extract it again")
        return members


def open_shards(
    root: str | os.PathLike[str],
    list: str | os.PathLike[str] | None = None,
    *,
    exclude: Iterable[str | os.PathLike[str]] = (),
    missing: str = "error",
    split: str = "train",
    val_fraction: float = 0.0,
) -> ShardDataset:
    """Open the samples of a folder of shards.

    Args:
        root: folder of the shards.
        list: path of a file of ids to use, as they are written; None: all samples.
        exclude: lists to leave out: paths of files of ids, or names of bundled lists (`vggss`, `extended_vggss`,
            `flickr`, `avsbench_s4`, `avsbench_ms3`).
        missing: treatment of ids of the list that no shard holds, and of samples without an image or audio: `error`, or
            `skip` with a warning.
        split: `train`, or `val` for the held-out samples.
        val_fraction: share of the samples held out, in [0, 1); the same samples whatever the list.

    Returns:
        The samples, in their order in the list or the shards.

    Raises:
        DataError: there are no shards, an index is missing, a key occurs twice, ids are missing, `val_fraction` is out
            of range, or nothing is left.
        RecipeError: an unknown split or policy.
    """
    root = Path(root)
    shards: dict[str, ShardReader] = {}
    for shard in map(ShardReader, list_shards(root)):
        for key in shard.index:
            if key in shards:
                raise DataError(
                    f"{shard.path}: found the sample {key}, which {shards[key].path.name} holds too. Take one out"
                )
            shards[key] = shard
    ids = [*shards] if list is None else read_unique_ids(list, True)
    excluded = find_excluded_ids(ids, exclude)
    left_out = {*excluded}
    samples = (SampleEntry(id, id, "", "", "", None, _missing_members(shards, id)) for id in ids if id not in left_out)
    complete, _ = drop_missing(root, samples, missing, can_ignore=False)
    chosen = select_split([sample.id for sample in complete], split, val_fraction, root if list is None else list)
    if complete and not chosen:
        raise DataError(
            f"{root}: `split: {split}` of `val_fraction: {val_fraction}` holds none of {len(complete)} samples. "
            f"{'Raise' if split == 'val' else 'Lower'} `val_fraction`"
        )
    if not chosen:
        raise DataError(f"{root}: no sample is left ({len(excluded)} are excluded). Loosen the options")
    return ShardDataset(f"{root.resolve().name}/{split}", [(shards[id], id) for id in chosen], split, excluded)


def _members(names: Iterable[str], types: Sequence[str]) -> list[str]:
    """Return a sample's members of some types, `jpg` or `0.jpg`, `1.jpg`..., in the order of their numbers."""
    members = (name for name in names if name.rpartition(".")[2] in types and name != MASK_MEMBER)
    return sorted(members, key=_frame_number)


def _frame_number(name: str) -> tuple[int, str]:
    first = name.partition(".")[0]
    return (int(first) if first.isdecimal() and len(first) < 10 else -1, name)


def _missing_members(shards: dict[str, ShardReader], id: str) -> tuple[str, ...]:
    """Return what a sample lacks: an image, audio, or both where no shard holds it."""
    names = shards[id].index[id] if id in shards else ()
    return tuple(f"{id}.{types[0]}" for types in (IMAGE_TYPES, AUDIO_TYPES) if not _members(names, types))
