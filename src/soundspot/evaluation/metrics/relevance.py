"""Ground truth of retrieval: which audio answers which image, without a matrix of all pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soundspot.evaluation import functional as F
from soundspot.evaluation.functional.retrieval import EmbeddingRows, embedding_ranks_multi
from soundspot.evaluation.metrics.bootstrap import GroupedMean, Scores

RECALL_KS = (1, 5, 10)
PAIR_BLOCK = 1024  # pairs of embeddings read at a time
MAX_PAIRS = 4096  # pairs whose combinations are all compared


@dataclass(frozen=True)
class Relevance:
    """Relevance of audio to images: an audio clip is relevant to each image that has its label.

    Attributes:
        num_images: number of images.
        image_labels: (k, 2) distinct pairs (image, label) in ascending order.
        audio_labels: (n,) label of each audio clip.
    """

    num_images: int
    image_labels: Int[Tensor, "k 2"]
    audio_labels: Int[Tensor, " n"]

    @cached_property
    def _num_labels(self) -> int:
        return 1 + max([int(x.max()) for x in (self.audio_labels, self.image_labels[:, 1]) if len(x)], default=0)

    @cached_property
    def _starts(self) -> Int[Tensor, " p1"]:
        """First row of `image_labels` of each image, and the number of rows."""
        return torch.searchsorted(self.image_labels[:, 0].contiguous(), torch.arange(self.num_images + 1))

    def get_block(self, images: slice, audio: slice) -> Bool[Tensor, "p n"]:
        """Compute a block of the relevance matrix.

        Args:
            images: slice of p images.
            audio: slice of n audio clips.

        Returns:
            (p, n) bool: True where the audio clip is relevant to the image.
        """
        start, stop, _ = images.indices(self.num_images)
        image, label = self.image_labels[self._starts[start] : self._starts[stop]].T
        labels, column = self.audio_labels[audio].unique(return_inverse=True)
        index = torch.searchsorted(labels, label.contiguous()).clamp(max=max(0, len(labels) - 1))
        is_known = labels[index] == label if len(labels) else torch.zeros_like(label, dtype=torch.bool)
        has_label = torch.zeros(stop - start, len(labels), dtype=torch.bool)
        has_label[image[is_known] - start, index[is_known]] = True
        return has_label[:, column]

    def get_transposed_block(self, audio: slice, images: slice) -> Bool[Tensor, "n p"]:
        """Compute a block of the transposed relevance matrix.

        Args:
            audio: slice of n audio clips.
            images: slice of p images.

        Returns:
            (n, p) bool: True where the image is relevant to the audio clip.
        """
        return self.get_block(images, audio).T

    def count_relevant(self) -> tuple[Int[Tensor, " p"], Int[Tensor, " n"]]:
        """Count relevant items.

        Returns:
            (p,) number of relevant audio clips of each image, and (n,) number of relevant images of each audio clip.
        """
        image, label = self.image_labels.T
        audio_per_label = torch.bincount(self.audio_labels, minlength=self._num_labels)
        per_image = torch.zeros(self.num_images, dtype=torch.int64).index_add_(0, image, audio_per_label[label])
        return per_image, torch.bincount(label, minlength=self._num_labels)[self.audio_labels]


def compute_relevance(
    groups: Int[Tensor, " n"], recordings: Int[Tensor, " n"], categories: Int[Tensor, " n"]
) -> dict[str, Relevance]:
    """Compute the relevance of audio to images by instance, by recording and by category.

    Args:
        groups: (n,) number of the image of each audio clip; images are indexed by ascending number.
        recordings: (n,) number of the recording of each audio clip; clips that are the same audio share it.
        categories: (n,) number of the category of each audio clip.

    Returns:
        Suffix of the metric key -> relevance: "" by instance (an audio clip belongs to its own image), "_recording" by
        recording (an image has the recordings of its audio clips), which is left out where no two clips share one, and
        "_category" by category, which is left out where there is only one.
    """
    (images, image_of), (recordings, recording_of), (categories, category_of) = (
        names.unique(return_inverse=True) for names in (groups, recordings, categories)
    )
    labels = {"": image_of}
    labels |= {"_recording": recording_of} if len(recordings) < len(groups) else {}
    labels |= {"_category": category_of} if len(categories) > 1 else {}
    return {
        suffix: Relevance(len(images), torch.stack([image_of, label], dim=1).unique(dim=0), label)
        for suffix, label in labels.items()
    }


@dataclass(frozen=True)
class RetrievalInputs:
    """Unit-norm embeddings of a test set, and which of them belong together.

    Attributes:
        images: (p, d) embedding of each image.
        audio: (n, d) embedding of each audio clip.
        paired_images: (n, d) embedding of the image of each audio clip; None where images and audio share no space.
        relevance: suffix of the metric key -> relevance of audio to images.
        image_groups: (p,) index of each image's group, the unit of the bootstrap.
        audio_groups: (n,) index of each audio clip's group.
    """

    images: EmbeddingRows
    audio: EmbeddingRows
    paired_images: EmbeddingRows | None
    relevance: dict[str, Relevance]
    image_groups: Int[Tensor, " p"]
    audio_groups: Int[Tensor, " n"]

    @cached_property
    def image_ranks(self) -> Sequence[F.TiedRanks]:
        """Ranks of the best relevant image of each of the n audio clips, for each relevance in order."""
        blocks = [relevance.get_transposed_block for relevance in self.relevance.values()]
        return embedding_ranks_multi(self.audio, self.images, blocks)

    @cached_property
    def audio_ranks(self) -> Sequence[F.TiedRanks]:
        """Ranks of the best relevant audio clip of each of the p images, for each relevance in order."""
        blocks = [relevance.get_block for relevance in self.relevance.values()]
        return embedding_ranks_multi(self.images, self.audio, blocks)

    @cached_property
    def pair_statistics(self) -> Float[Tensor, "2 n"]:
        """(2, n) float64 inner product (cosine) and Euclidean distance of each audio clip and its image."""
        assert self.paired_images is not None
        statistics = torch.empty(2, len(self.audio_groups), dtype=torch.float64)
        for start in range(0, len(self.audio_groups), PAIR_BLOCK):
            rows = slice(start, start + PAIR_BLOCK)
            images, audio = self.paired_images[rows].double(), self.audio[rows].double()
            statistics[0, rows], statistics[1, rows] = (images * audio).sum(dim=1), (images - audio).norm(dim=1)
        return statistics

    @cached_property
    def pair_sample(self) -> tuple[Float[Tensor, "m d"], Float[Tensor, "m d"]]:
        """Image and audio embeddings of up to 4,096 pairs, evenly chosen, so that m^2 combinations fit in memory."""
        assert self.paired_images is not None
        n = len(self.audio_groups)
        step = -(-n // MAX_PAIRS)
        block = step * max(1, PAIR_BLOCK // step)
        slices = [slice(start, start + block) for start in range(0, n, block)]
        images, audio = (torch.cat([rows[s][::step] for s in slices]) for rows in (self.paired_images, self.audio))
        return images, audio

    @cached_property
    def random_pair_statistics(self) -> Float[Tensor, "2 n"]:
        """(2, n) float64 mean inner product and Euclidean distance of each audio clip and the images of all of them."""
        assert self.paired_images is not None
        n = len(self.audio_groups)
        statistics = torch.zeros(2, n, dtype=torch.float64)
        for start in range(0, n, PAIR_BLOCK):
            audio = self.audio[start : start + PAIR_BLOCK].double()
            for first in range(0, n, PAIR_BLOCK):
                images = self.paired_images[first : first + PAIR_BLOCK].double()
                sums = torch.stack([(audio @ images.T).sum(dim=1), torch.cdist(audio, images).sum(dim=1)])
                statistics[:, start : start + PAIR_BLOCK] += sums / n
        return statistics

    def chance_scores(self) -> Scores:
        """Compute what a random order retrieves and what random pairs have, against which the scores are read.

        Returns:
            Report key, such as `recall_a2i@1` -> score, for each relevance, direction and k; `alignment` and
            `magnitude` where images and audio share a space.
        """
        scores: Scores = {}
        for suffix, relevance in self.relevance.items():
            audio_per_image, images_per_audio = relevance.count_relevant()
            for name, counts, num_items, groups in (
                ("a2i", images_per_audio, len(audio_per_image), self.audio_groups),
                ("i2a", audio_per_image, len(images_per_audio), self.image_groups),
            ):
                for k in recall_ks(num_items):
                    scores[f"recall_{name}{suffix}@{k}"] = GroupedMean(F.chance_recall(counts, num_items, k), groups)
        if self.paired_images is not None:
            for name, values in zip(("alignment", "magnitude"), self.random_pair_statistics, strict=True):
                scores[name] = GroupedMean(values, self.audio_groups)
        return scores


def recall_ks(num_items: int) -> list[int]:
    """Return the numbers of retrieved items at which recall is computed.

    Args:
        num_items: number of items to retrieve from.

    Returns:
        Those of `RECALL_KS` (1, 5, 10) below `num_items`: with more, recall is always 1.
    """
    return [k for k in RECALL_KS if k < num_items]
