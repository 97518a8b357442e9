"""Which sounds answer which pictures, by labels; of the matrix of all pairs only what is asked for is made."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True)
class Relevance:
    """A sound answers each picture that shows its label.

    Attributes:
        pictures: how many there are.
        shows: pairs (picture, label), ascending, each once.
        heard: the label of each sound.
    """

    num_images: int
    image_labels: Int[Tensor, "k 2"]
    audio_labels: Int[Tensor, " n"]

    @cached_property
    def _labels(self) -> int:
        return 1 + max(
            [int(some.max()) for some in (self.audio_labels, self.image_labels[:, 1]) if len(some)], default=0
        )

    @cached_property
    def _starts(self) -> Int[Tensor, " p1"]:
        """Where the pairs of each picture start, and where the last one's end."""
        return torch.searchsorted(self.image_labels[:, 0].contiguous(), torch.arange(self.num_images + 1))

    def get_block(self, images: slice, audio: slice) -> Bool[Tensor, "p n"]:
        """Which of some sounds answer which of some pictures."""
        start, stop, _ = images.indices(self.num_images)
        picture, label = self.image_labels[self._starts[start] : self._starts[stop]].T
        asked, which = self.audio_labels[audio].unique(return_inverse=True)
        at = torch.searchsorted(asked, label.contiguous()).clamp(max=max(0, len(asked) - 1))
        heard = asked[at] == label if len(asked) else torch.zeros_like(label, dtype=torch.bool)
        some = torch.zeros(stop - start, len(asked), dtype=torch.bool)
        some[picture[heard] - start, at[heard]] = True
        return some[:, which]

    def get_transposed_block(self, audio: slice, images: slice) -> Bool[Tensor, "n p"]:
        return self.get_block(images, audio).T

    def count_relevant(self) -> tuple[Int[Tensor, " p"], Int[Tensor, " n"]]:
        """How many sounds answer each picture, and how many pictures each sound answers."""
        picture, label = self.image_labels.T
        sounding = torch.bincount(self.audio_labels, minlength=self._labels)
        sounds_of = torch.zeros(self.num_images, dtype=torch.int64).index_add_(0, picture, sounding[label])
        return sounds_of, torch.bincount(label, minlength=self._labels)[self.audio_labels]


def compute_relevance(groups: Int[Tensor, " n"], categories: Int[Tensor, " n"]) -> dict[str, Relevance]:
    """By the suffix of the score's name: a picture is answered by its own sounds, or by all of its categories.

    Args:
        groups: the picture of each sound; pictures are counted in ascending order.
        kinds: the category of each sound; where there is but one, nothing is said by category.
    """
    pictures, which = groups.unique(return_inverse=True)
    every = torch.arange(len(pictures))
    found = {"": Relevance(len(pictures), torch.stack([every, every], dim=1), which)}
    names, kind = categories.unique(return_inverse=True)
    if len(names) > 1:
        found["_category"] = Relevance(len(pictures), torch.stack([which, kind], dim=1).unique(dim=0), kind)
    return found
