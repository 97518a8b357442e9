"""What the items of a data set are, without their content, and what each is asked with besides its own sound."""

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

NUM_NOISES = 8  # recordings of noise, shared by the items
BLOCK_SIZE = 1024  # items whose foreign sounds are drawn at a time


@dataclass(frozen=True)
class SampleIndex:
    """What the items of a data set are, without their content.

    Attributes:
        present: whether the source is in the picture.
        masks: whether truths are masks of objects.
        group: (n,) number of the picture each item shows.
        first: for each picture, one item that shows it.
        foreign: for each item, another whose sound has nothing to do with its picture; -1 where there is none.
        noise: which of the noises it is asked with.
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
        """The items that show each picture."""
        members: list[list[int]] = [[] for _ in self.group_first]
        for i, group in enumerate(self.group_index.tolist()):
            members[group].append(i)
        return members

    @cached_property
    def sources_by_group(self) -> dict[int, list[int]]:
        """By its number, each picture with two sources or more, and the items that ask for them."""
        sources = {at: [i for i in some if self.present[i]] for at, some in enumerate(self.samples_by_group)}
        return {at: some for at, some in sources.items() if len(some) > 1}


def index_samples(data: AudioVisualDataset, seed: int, shard: RankShard = SINGLE_PROCESS) -> SampleIndex:
    """The items of `data`; `seed` decides which foreign sound and which noise each is asked with.

    Where nobody said what sounds (category ""), every other picture's sound is taken for foreign. Truths are read by
    each process for its share.
    """
    n = len(data)
    truths = [(truth.present, truth.rule == "mask") for truth in map(data.ground_truth, shard.select(range(n)))]
    told = [one for some in shard.all_gather(truths) for one in some]
    present, masks = [present for present, _ in told], any(mask for _, mask in told)
    groups = [data.group(i) for i in range(n)]
    categories = [data.category(i) for i in range(n)]
    kinds = [category or f"of {group}" for category, group in zip(categories, groups, strict=True)]
    number = {name: at for at, name in enumerate(dict.fromkeys(groups))}
    group = torch.tensor([number[name] for name in groups], dtype=torch.int64)
    first = np.unique(group.numpy(), return_index=True)[1].tolist()
    ids = [data.id(i) for i in range(n)]
    noise = (uniform((seed, "noise"), np.arange(n))[:, 0] * NUM_NOISES).astype(np.int64).tolist()
    foreign = draw_offscreen(group, kinds, present, seed)
    return SampleIndex(ids, groups, categories, present, masks, group, first, foreign, noise)


def draw_offscreen(
    group_index: Int[Tensor, " n"], categories: list[str], present: list[bool], seed: int = 0
) -> list[int]:
    """For each item another of the `present` ones, of other category and picture, drawn by chance; -1 where none is."""
    sounding = np.flatnonzero(present)
    if not len(sounding):
        return [-1] * len(categories)
    names, kind = np.unique(categories, return_inverse=True)
    pictures = group_index.numpy() * len(names)
    own = np.unique(pictures + kind)  # what can be heard of each picture, as picture * names + kind

    def foreign(picture: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
        return ~np.isin(picture + kind[other], own)

    tries = 32  # of a draw that fails nine times in ten, all fail in one of 30
    chosen = np.full(len(kind), -1, np.int64)
    for start in range(0, len(kind), BLOCK_SIZE):
        some = np.arange(start, min(start + BLOCK_SIZE, len(kind)))
        draws = sounding[(uniform((seed, "foreign"), some, tries) * len(sounding)).astype(np.int64)]
        fits = foreign(pictures[some, None], draws)
        chosen[some] = draws[np.arange(len(some)), fits.argmax(axis=1)]
        for at in np.flatnonzero(~fits.any(axis=1)):
            i = some[at : at + 1]
            left = sounding[foreign(pictures[i], sounding)]
            chosen[i] = left[draws[at, 0] % len(left)] if len(left) else -1
    found: list[int] = chosen.tolist()
    return found


def hash_id(id: str) -> str:
    """Eight hexadecimal digits that stand for an id, to see whether two sets share items."""
    return hashlib.sha256(id.encode()).hexdigest()[:8]


def hash_samples(samples: SampleIndex) -> str:
    """16 hexadecimal digits that stand for the items: their ids, pictures and categories, in order."""
    lines = map("\t".join, zip(samples.ids, samples.groups, samples.categories, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
