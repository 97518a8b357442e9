"""Pictures and sounds to train on from shards that `soundspot data prepare` wrote, or any of WebDataset's layout."""

import json
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from soundspot.data.datasets.annotation_files import read_unique_ids
from soundspot.data.datasets.base import MISSING_POLICIES, check_choice
from soundspot.data.datasets.vggsound_flickr import excluded_ids, split_ids
from soundspot.data.media.audio import AudioFile, open_audio, read_audio
from soundspot.data.media.image import read_image, read_mask
from soundspot.data.shards.format import ShardReader, list_shards
from soundspot.data.shards.from_dataset import MASK_MEMBER, ground_truth_from_dict
from soundspot.errors import DataError
from soundspot.types import Audio, GroundTruth
from soundspot.utils.hash_rng import uniform

IMAGE_TYPES, AUDIO_TYPES = ("jpg", "jpeg", "png", "webp"), ("flac", "wav", "ogg", "mp3")


class ShardDataset:
    """Samples of shards, each part read by its offset when it is asked for.

    A sample with several frames shows one of them in each epoch, drawn for that sample and epoch.

    Attributes:
        samples: (shard, key) of each.
        split: `train` or `val`.
        excluded: ids left out because they are in a list that must not be trained on.
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
        return self.samples[index][1]

    def group(self, index: int) -> str:
        return str(self._words(index).get("group", self.id(index)))

    def category(self, index: int) -> str:
        return str(self._words(index).get("category", ""))

    @property
    def shard_ids(self) -> NDArray[np.int64]:
        """(n,) which shard each sample lies in, as a number."""
        numbers: dict[Path, int] = {}
        return np.array([numbers.setdefault(shard.path, len(numbers)) for shard, _ in self.samples])

    @property
    def max_frames(self) -> int:
        """How many pictures the sample with most of them has."""
        return max((sum(_is(part, IMAGE_TYPES) for part in shard.index[key]) for shard, key in self.samples), default=0)

    def read_image(self, index: int) -> Image.Image:
        shard, key = self.samples[index]
        frames = _parts(shard, key, IMAGE_TYPES)
        chance = uniform((self.epoch, "frame"), [index])[0, 0] if len(frames) > 1 else 0
        part = frames[int(chance * len(frames))]
        return read_image(f"{shard.path}/{key}.{part}", content=shard.read(key, part))

    def read_audio(self, index: int) -> Audio:
        name, content = self._sound(index)
        return read_audio(name, content=content)

    def open_audio(self, index: int) -> Audio | AudioFile:
        """The sound, decoded where it is cut if that can be; all of its bytes are compared with their checksum."""
        return open_audio(*self._sound(index))

    def ground_truth(self, index: int) -> GroundTruth:
        """Where the source is, of a data set that was packed with its truths.

        Raises:
            DataError: clips to train on have none.
        """
        shard, key = self.samples[index]
        told = self._words(index).get("truth")
        if told is None:
            raise DataError(f"{self.name}: these clips have no boxes or masks, so maps of them cannot be scored")
        masked = MASK_MEMBER in shard.index[key]
        mask = read_mask(f"{shard.path}/{key}.{MASK_MEMBER}", shard.read(key, MASK_MEMBER)) if masked else None
        return ground_truth_from_dict(told, mask)

    def _sound(self, index: int) -> tuple[str, bytes]:
        shard, key = self.samples[index]
        part = _parts(shard, key, AUDIO_TYPES)[0]
        return f"{shard.path}/{key}.{part}", shard.read(key, part)

    def _words(self, index: int) -> dict[str, Any]:
        """What is written of a sample; empty where nothing is."""
        shard, key = self.samples[index]
        try:
            told = json.loads(shard.read(key, "json")) if "json" in shard.index[key] else {}
        except ValueError as error:
            raise DataError(f"{shard.path}: found no JSON in {key}.json ({error}). Prepare it again") from error
        return told if isinstance(told, dict) else {}

    def at_epoch(self, epoch: int) -> "ShardDataset":
        return ShardDataset(self.name, self.samples, self.split, self.excluded, epoch)


def open_shards(
    root: str | os.PathLike[str],
    list: str | os.PathLike[str] | None = None,
    *,
    exclude: Iterable[str | os.PathLike[str]] = (),
    missing: str = "refuse",
    split: str = "train",
    val_fraction: float = 0.0,
) -> ShardDataset:
    """The samples of a folder of shards, in their order there.

    Args:
        root: the folder. list: a file of ids to take; None: all.
        exclude, split, validation: as `soundspot.data.datasets.vggsound_flickr.training_set` has them.
        missing: what becomes of ids of the list that no shard holds, and of samples without a picture or a sound:
            `refuse`, or `skip` with a warning.

    Raises:
        DataError: there are no shards, an index is missing, a key stands twice, ids are missing, or nothing is left.
    """
    check_choice("missing", missing, MISSING_POLICIES[:2])
    root = Path(root)
    there: dict[str, ShardReader] = {}
    for shard in map(ShardReader, list_shards(root)):
        for key in shard.index:
            if key in there:
                raise DataError(
                    f"{shard.path}: found the sample {key}, which {there[key].path.name} holds too. Take one out"
                )
            there[key] = shard
    wanted = [*there] if list is None else read_unique_ids(list, True)
    excluded = excluded_ids(wanted, exclude)
    out = {*excluded}
    unknown = [id for id in wanted if id not in there]
    half = [id for id in wanted if id in there and id not in out and not _is_whole(there[id].index[id])]
    for lacking, told in ((unknown, "ids are in no shard"), (half, "samples lack a picture or a sound")):
        out.update(lacking)
        if lacking:
            told = f"{root}: {len(lacking)} of {len(wanted)} {told} (first: {', '.join(lacking[:3])})"
            if missing == "refuse":
                raise DataError(f"{told}. Prepare them, or go without by `missing: skip`")
            warnings.warn(f"{told}; they are left out", stacklevel=3)
    left = [id for id in wanted if id not in out]
    ids = split_ids(left, split, val_fraction, root if list is None else list)
    if left and not ids:
        raise DataError(
            f"{root}: `split: {split}` of `validation: {val_fraction}` holds none of {len(left)} samples. "
            f"{'Raise' if split == 'val' else 'Lower'} `validation`"
        )
    if not ids:
        raise DataError(f"{root}: no sample is left ({len(excluded)} are excluded). Loosen the options")
    return ShardDataset(f"{root.resolve().name}/{split}", [(there[id], id) for id in ids], split, excluded)


def _parts(shard: ShardReader, key: str, kinds: Sequence[str]) -> Sequence[str]:
    """The names of a sample's parts of some kinds, `jpg` or `0.jpg`, `1.jpg`..."""
    found = sorted((part for part in shard.index[key] if _is(part, kinds)), key=_number)
    if not found:
        raise DataError(f"{shard.path}: found no {' or '.join(kinds)} of {key}, expected one. Prepare it again")
    return found


def _is_whole(parts: Iterable[str]) -> bool:
    return all(any(_is(part, kinds) for part in parts) for kinds in (IMAGE_TYPES, AUDIO_TYPES))


def _is(part: str, kinds: Sequence[str]) -> bool:
    return part.rpartition(".")[2] in kinds and part != MASK_MEMBER


def _number(part: str) -> tuple[int, str]:
    first = part.partition(".")[0]
    return (int(first) if first.isdigit() else -1, part)
