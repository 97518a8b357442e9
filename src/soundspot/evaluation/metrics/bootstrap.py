"""Scores as means or rank statistics of numbers per sample, and 95 % intervals of them.

The bootstrap draws groups with replacement: samples of one image are not independent, so they stay together. Means are
resampled by one matrix product.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from soundspot.evaluation.engine.disk_tensor import DiskTensor
from soundspot.utils.hash_rng import make_generator

MAX_CELLS = 2**20  # draws x samples, or draws x groups, held at a time


@dataclass(frozen=True)
class Interval:
    """A score with its 95 % bootstrap interval.

    Attributes:
        value: score over all samples.
        low: 2.5 % quantile of the scores of the draws; nan where unknown.
        high: 97.5 % quantile of the scores of the draws; nan where unknown.
    """

    value: float
    low: float = math.nan
    high: float = math.nan


class GroupWeights:
    """Bootstrap draws of groups: the number of times each group is in each draw, made once and read in blocks of draws.

    A draw takes `num_groups` bytes, in a temporary file where there are many.

    Args:
        num_groups: number of groups (images) of the data set, drawn with replacement.
        num_draws: number of bootstrap draws; 0: no intervals.
        seed: random seed of the draws.
    """

    def __init__(self, num_groups: int, num_draws: int, seed: int = 0) -> None:
        self.num_groups, self._rows, self._step = num_groups, DiskTensor(), max(1, MAX_CELLS // max(1, num_groups))
        rng = make_generator("bootstrap", seed)
        for start in range(0, num_draws, self._step):
            n = min(self._step, num_draws - start)
            drawn = rng.integers(num_groups, size=(n, num_groups), dtype=np.int32)
            offsets = np.arange(n, dtype=np.int64)[:, None] * num_groups
            counts = np.bincount((offsets + drawn).ravel(), minlength=n * num_groups)
            assert counts.max(initial=0) < 256, "a group is drawn once on average"
            self._rows.append(torch.from_numpy(counts.astype(np.uint8).reshape(n, num_groups)))

    def __len__(self) -> int:
        """Return the number of draws."""
        return len(self._rows)

    def __iter__(self) -> Iterator[Float[Tensor, "d g"]]:
        """Iterate over the draws in blocks.

        Yields:
            (d, num_groups) float32 counts of each group in d draws; each row sums to `num_groups`.
        """
        return (self._rows[start : start + self._step].float() for start in range(0, len(self), self._step))


@dataclass(frozen=True)
class GroupedMean:
    """The mean of numbers per sample, or a function of several such means.

    Attributes:
        values: (n,) numbers of the samples, or (n, k) where `combine` is given.
        groups: (n,) index of each sample's group, the unit of the bootstrap; in a draw, a sample of group j counts
            weights[:, j] times.
        combine: function from (d, k) means of the columns to (d,) scores; None: the score is the mean of the one
            column.
    """

    values: Float[Tensor, " n"] | Float[Tensor, "n k"]
    groups: Int[Tensor, " n"]
    combine: Callable[[Float[Tensor, "d k"]], Float[Tensor, " d"]] | None = None

    @property
    def columns(self) -> Float[Tensor, "n k"]:
        """Numbers of the samples as (n, k) float64 columns; k is 1 for (n,) values."""
        return self.values.double().reshape(len(self.values), -1)

    @property
    def value(self) -> float:
        """The score over all samples."""
        return float(self.apply_combine(self.columns.mean(dim=0)[None]))

    def apply_combine(self, means: Float[Tensor, "d k"]) -> Float[Tensor, " d"]:
        """Compute the score of each row of column means.

        Args:
            means: (d, k) means of the k columns in each of d draws.

        Returns:
            (d,) scores: of `combine`, or the first column where that is None.
        """
        return self.combine(means) if self.combine else means[:, 0]


@dataclass(frozen=True)
class RankStatistic:
    """A score that is a function of how often each sample counts, such as an average precision.

    Attributes:
        statistic: function from (d, n) int64 counts of the samples in d draws to (d,) scores.
        groups: (n,) index of each sample's group, the unit of the bootstrap.
    """

    statistic: Callable[[Int[Tensor, "d n"]], Float[Tensor, " d"]]
    groups: Int[Tensor, " n"]

    @property
    def value(self) -> float:
        """The score where each sample counts once."""
        return float(self.statistic(torch.ones(1, len(self.groups), dtype=torch.int64)))

    def resample(self, weights: Float[Tensor, "d g"]) -> Float[Tensor, " d"]:
        """Compute the score of each bootstrap draw.

        Args:
            weights: (d, g) number of times each group is in each draw.

        Returns:
            (d,) scores.
        """
        blocks = weights.split(max(1, MAX_CELLS // max(1, len(self.groups))))
        return torch.cat([self.statistic(block[:, self.groups].long()) for block in blocks])


@dataclass(frozen=True)
class PointEstimate:
    """A score over all samples that is not resampled, so that its interval is unknown.

    Attributes:
        value: the score.
    """

    value: float


Score: TypeAlias = GroupedMean | RankStatistic | PointEstimate
Scores: TypeAlias = dict[str, Score]


def _make_resampler(
    means: list[GroupedMean], num_groups: int
) -> Callable[[Float[Tensor, "d g"]], list[Float[Tensor, " d"]]]:
    """Return a function of bootstrap weights that resamples all means by one matrix product; nan for empty draws."""
    widths = [mean.columns.shape[1] for mean in means]
    sums, counts = torch.zeros(num_groups, sum(widths)), torch.zeros(num_groups, len(means))
    for i, (mean, columns) in enumerate(zip(means, sums.split(widths, dim=1), strict=True)):
        columns.index_add_(0, mean.groups, mean.columns.float())
        counts[:, i].index_add_(0, mean.groups, torch.ones(len(mean.groups)))

    def resample(weights: Float[Tensor, "d g"]) -> list[Float[Tensor, " d"]]:
        totals, sizes = (weights @ sums).split(widths, dim=1), weights @ counts
        return [mean.apply_combine(total / n[:, None]) for mean, total, n in zip(means, totals, sizes.T, strict=True)]

    return resample


def compute_intervals(scores: Scores, weights: GroupWeights) -> dict[str, Interval]:
    """Compute the bootstrap interval of each score.

    A draw in which a score is not finite (no group of it was drawn) is left out of its quantiles.

    Args:
        scores: metric key -> score.
        weights: bootstrap draws; where there are none, the ends of intervals are nan.

    Returns:
        Metric key -> value over all samples, with the 2.5 and 97.5 % quantiles of the draws.
    """
    draws = resample_scores(scores, weights)
    return {key: quantile_interval(score.value, draws[key]) for key, score in scores.items()}


def resample_scores(scores: Scores, weights: GroupWeights) -> dict[str, Float[Tensor, " d"]]:
    """Compute each score in each bootstrap draw.

    Args:
        scores: metric key -> score.
        weights: bootstrap draws, the same for all scores.

    Returns:
        Metric key -> (d,) scores, d being the number of draws; nan where no group of a score was drawn; (0,) for a
        `PointEstimate`.
    """
    means = {key: score for key, score in scores.items() if isinstance(score, GroupedMean)}
    ranks = {key: score for key, score in scores.items() if isinstance(score, RankStatistic)}
    draws: dict[str, list[Tensor]] = {key: [torch.zeros(0)] for key in scores}
    resample_means = _make_resampler([*means.values()], weights.num_groups)
    for block in weights:
        for key, drawn in zip(means, resample_means(block), strict=True):
            draws[key].append(drawn)
        for key, score in ranks.items():
            draws[key].append(score.resample(block))
    return {key: torch.cat(blocks) for key, blocks in draws.items()}


def compute_difference(a: Score, b: Score, weights: GroupWeights) -> Interval:
    """Compute the paired difference a - b of two scores, each draw being the same for both.

    Args:
        a, b: scores whose groups are numbered alike.
        weights: bootstrap draws.

    Returns:
        Difference a - b over all samples, with its 95 % interval.
    """
    draws = resample_scores({"a": a, "b": b}, weights)
    return quantile_interval(a.value - b.value, draws["a"] - draws["b"])


def quantile_interval(value: float, draws: Float[Tensor, " d"]) -> Interval:
    """Build an interval from the scores of bootstrap draws.

    Args:
        value: score over all samples.
        draws: (d,) score in each bootstrap draw; those that are not finite are left out.

    Returns:
        `value` with the 2.5 and 97.5 % quantiles of the draws (linear interpolation); the ends are nan where no draw is
        finite or `value` is nan.
    """
    draws = draws[draws.isfinite()]
    if not len(draws) or value != value:
        return Interval(value)
    low, high = np.quantile(draws.double().numpy(), [0.025, 0.975]).tolist()
    return Interval(value, low, high)


def bootstrap_p_value(draws: Float[np.ndarray, " d"]) -> float:
    """Compute the two-sided bootstrap p-value of a difference being 0.

    Args:
        draws: (d,) differences; those that are not finite are left out.

    Returns:
        Twice the smaller share of draws on one side of 0, at least 2 / (d + 1) and at most 1; nan without draws.
    """
    finite = draws[np.isfinite(draws)]
    if not len(finite):
        return float("nan")
    fewer = min(int((finite <= 0).sum()), int((finite >= 0).sum()))
    return min(1.0, 2 * (1 + fewer) / (1 + len(finite)))
