"""The samples of a data set without their content, and the negative audio that is assigned to each."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from soundspot.evaluation.engine.distributed import SINGLE_PROCESS, RankShard
from soundspot.types import AudioVisualDataset
from soundspot.utils.hash_rng import uniform

NUM_NOISES = 8  # noise clips, shared by the samples
BLOCK_SIZE = 1024  # samples whose off-screen audio is drawn at a time


@dataclass(frozen=True)
class SampleIndex:
    """The samples of a data set without their content.

    Attributes:
        ids: id of each sample.
        groups: name of the image of each sample.
        categories: category of each sample; "" where unknown.
        present: for each sample, whether the source of the audio is in the image.
        has_masks: whether any ground truth is a mask of an object.
        group_index: (n,) index of the image of each sample; images are numbered as they first appear.
        audio_index: (n,) index of the audio of each sample, numbered as they first appear; samples share it where they
            have the same audio.
        group_first: for each image, the index of the first sample with it.
        offscreen_index: for each sample, the index of another whose audio has no source in its image; -1: there is
            none.
        noise_index: for each sample, the index of its noise clip, from 0 to `NUM_NOISES` - 1.
    """

    ids: list[str]
    groups: list[str]
    categories: list[str]
    present: list[bool]
    has_masks: bool
    group_index: Int[Tensor, " n"]
    audio_index: Int[Tensor, " n"]
    group_first: list[int]
    offscreen_index: list[int]
    noise_index: list[int]

    @cached_property
    def samples_by_group(self) -> list[list[int]]:
        """For each image, the indices of its samples in ascending order."""
        members: list[list[int]] = [[] for _ in self.group_first]
        for i, group in enumerate(self.group_index.tolist()):
            members[group].append(i)
        return members

    @cached_property
    def sources_by_group(self) -> dict[int, list[int]]:
        """Image index -> indices of its samples with a source, by id, for each image with at least two."""
        by_id = [sorted(members, key=self.ids.__getitem__) for members in self.samples_by_group]
        sources = ([i for i in members if self.present[i]] for members in by_id)
        return {group: members for group, members in enumerate(sources) if len(members) > 1}


def index_samples(data: AudioVisualDataset, seed: int, shard: RankShard = SINGLE_PROCESS) -> SampleIndex:
    """Index the samples of a data set; each process reads the ground truths of its shard.

    Args:
        data: the data set. Where a category is unknown (""), every audio that none of an image's samples has counts as
            off-screen for it.
        seed: random seed of the off-screen audio and of the choice of noise.
        shard: shard of this process; its group exchanges what the processes read.

    Returns:
        Index of all samples, the same in all processes.
    """
    n = len(data)
    flags = [(truth.present, truth.rule == "mask") for truth in map(data.ground_truth, shard.select(range(n)))]
    flags = [pair for of_rank in shard.all_gather(flags) for pair in of_rank]
    present = [is_present for is_present, _ in flags]
    ids, groups, audio, categories = (
        [read(i) for i in range(n)] for read in (data.id, data.group, data.audio_id, data.category)
    )
    group_index, audio_index = _number(groups), _number(audio)
    known_categories = [category or f"of {name}" for category, name in zip(categories, audio, strict=True)]
    order = np.array(sorted(range(n), key=ids.__getitem__), np.int64)  # draws depend on ids, not on their order
    offscreen, noise = np.empty(n, np.int64), np.empty(n, np.int64)
    drawn = draw_offscreen(group_index[order], [known_categories[i] for i in order], [present[i] for i in order], seed)
    offscreen[order] = np.append(order, -1)[drawn]
    noise[order] = uniform((seed, "noise"), np.arange(n))[:, 0] * NUM_NOISES
    return SampleIndex(
        ids=ids,
        groups=groups,
        categories=categories,
        present=present,
        has_masks=any(is_mask for _, is_mask in flags),
        group_index=group_index,
        audio_index=audio_index,
        group_first=np.unique(group_index.numpy(), return_index=True)[1].tolist(),
        offscreen_index=offscreen.tolist(),
        noise_index=noise.tolist(),
    )


def _number(names: list[str]) -> Int[Tensor, " n"]:
    """Number names in the order in which they first appear."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([numbers[name] for name in names], dtype=torch.int64)


def draw_offscreen(
    group_index: Int[Tensor, " n"], categories: list[str], present: list[bool], seed: int = 0
) -> list[int]:
    """Draw for each sample another whose source is not in its image.

    Args:
        group_index: (n,) index of the image of each sample.
        categories: category of each sample.
        present: for each sample, whether it may be drawn.
        seed: random seed of the draw.

    Returns:
        For each sample, the index of a sample of another image, of a category that no sample of its own image has; -1
        where there is none.
    """
    candidates = np.flatnonzero(present)
    if not len(candidates):
        return [-1] * len(categories)
    names, category = np.unique(categories, return_inverse=True)
    offset = group_index.numpy() * len(names)
    own = np.unique(offset + category)  # what can be heard of each image, as image * names + category

    def is_offscreen(offset: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
        return ~np.isin(offset + category[other], own)

    tries = 32  # of a draw that fails nine times in ten, all fail in one of 30
    chosen = np.full(len(category), -1, np.int64)
    for start in range(0, len(category), BLOCK_SIZE):
        block = np.arange(start, min(start + BLOCK_SIZE, len(category)))
        draws = candidates[(uniform((seed, "foreign"), block, tries) * len(candidates)).astype(np.int64)]
        fits = is_offscreen(offset[block, None], draws)
        chosen[block] = draws[np.arange(len(block)), fits.argmax(axis=1)]
        for row in np.flatnonzero(~fits.any(axis=1)):
            i = block[row : row + 1]
            left = candidates[is_offscreen(offset[i], candidates)]
            chosen[i] = left[draws[row, 0] % len(left)] if len(left) else -1
    return [int(i) for i in chosen]


def hash_id(id: str) -> str:
    """Hash the id of a sample, to detect that two sets share samples.

    Args:
        id: id of the sample.

    Returns:
        First eight hexadecimal digits of its SHA-256.
    """
    return hashlib.sha256(id.encode()).hexdigest()[:8]


def hash_samples(samples: SampleIndex) -> str:
    """Hash the ids, images and categories of all samples, in order.

    Args:
        samples: index of a data set.

    Returns:
        First 16 hexadecimal digits of a SHA-256.
    """
    lines = map("\t".join, zip(samples.ids, samples.groups, samples.categories, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
