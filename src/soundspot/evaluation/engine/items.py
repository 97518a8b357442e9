"""The samples of a data set without their content, and the negatives that each is asked with."""

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
        ids: of the samples.
        groups: name of the image of each sample.
        categories: of each sample; "" where unknown.
        present: whether the source of the audio is in the image.
        has_masks: whether ground truths are masks of objects.
        group_index: (n,) number of the image of each sample.
        group_first: for each image, the first sample that shows it.
        offscreen_index: for each sample, another whose audio belongs to no source in its image; -1: there is none.
        noise_index: for each sample, the noise clip that it is asked with.
    """

    ids: list[str]
    groups: list[str]
    categories: list[str]
    present: list[bool]
    has_masks: bool
    group_index: Int[Tensor, " n"]
    group_first: list[int]
    offscreen_index: list[int]
    noise_index: list[int]

    @cached_property
    def samples_by_group(self) -> list[list[int]]:
        """The samples that show each image."""
        members: list[list[int]] = [[] for _ in self.group_first]
        for i, group in enumerate(self.group_index.tolist()):
            members[group].append(i)
        return members

    @cached_property
    def sources_by_group(self) -> dict[int, list[int]]:
        """Group -> its samples with a source, of each image with two sources or more."""
        sources = ([i for i in members if self.present[i]] for members in self.samples_by_group)
        return {group: members for group, members in enumerate(sources) if len(members) > 1}


def index_samples(data: AudioVisualDataset, seed: int, shard: RankShard = SINGLE_PROCESS) -> SampleIndex:
    """Index the samples of a data set; each process reads the ground truths of its shard.

    Args:
        data: the data set. Where categories are unknown (""), the audio of every other image counts as off-screen.
        seed: of the off-screen audio and the noise that each sample is asked with.
        shard: of this process.
    """
    n = len(data)
    flags = [(truth.present, truth.rule == "mask") for truth in map(data.ground_truth, shard.select(range(n)))]
    flags = [pair for of_rank in shard.all_gather(flags) for pair in of_rank]
    present = [is_present for is_present, _ in flags]
    groups, categories = [data.group(i) for i in range(n)], [data.category(i) for i in range(n)]
    known_categories = [category or f"of {group}" for category, group in zip(categories, groups, strict=True)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    group_index = torch.tensor([numbers[name] for name in groups], dtype=torch.int64)
    return SampleIndex(
        ids=[data.id(i) for i in range(n)],
        groups=groups,
        categories=categories,
        present=present,
        has_masks=any(is_mask for _, is_mask in flags),
        group_index=group_index,
        group_first=np.unique(group_index.numpy(), return_index=True)[1].tolist(),
        offscreen_index=draw_offscreen(group_index, known_categories, present, seed),
        noise_index=(uniform((seed, "noise"), np.arange(n))[:, 0] * NUM_NOISES).astype(np.int64).tolist(),
    )


def draw_offscreen(
    group_index: Int[Tensor, " n"], categories: list[str], present: list[bool], seed: int = 0
) -> list[int]:
    """Draw for each sample another whose source is in no way in its image: of another image and category.

    Args:
        group_index: (n,) number of the image of each sample.
        categories: of each sample.
        present: samples that may be drawn.
        seed: of the draw.

    Returns:
        For each sample, the index of another; -1 where there is none.
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
    """Return eight hexadecimal digits of a sample's id, by which two sets are seen to share samples."""
    return hashlib.sha256(id.encode()).hexdigest()[:8]


def hash_samples(samples: SampleIndex) -> str:
    """Return 16 hexadecimal digits of the ids, images and categories of all samples, in order."""
    lines = map("\t".join, zip(samples.ids, samples.groups, samples.categories, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
