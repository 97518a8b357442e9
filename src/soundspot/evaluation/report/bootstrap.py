"""95 % intervals by drawing groups with replacement: samples of one picture are not independent, they stay together."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from soundspot.evaluation.engine.aggregate import GroupedMean, Score, Scores, make_resampler
from soundspot.evaluation.engine.disk_tensor import DiskTensor
from soundspot.evaluation.report.interval import Interval
from soundspot.utils.hash_rng import make_generator

MAX_CELLS = 2**20  # draws x groups at a time


class GroupWeights:
    """How often each group is in each draw: made once, and read some draws at a time, whatever the number of groups.

    A draw is `groups` bytes, in a file where there are many.
    """

    def __init__(self, num_groups: int, num_draws: int, seed: int = 0) -> None:
        self.num_groups, self._rows, self._step = num_groups, DiskTensor(), max(1, MAX_CELLS // max(1, num_groups))
        random = make_generator("bootstrap", seed)
        for start in range(0, num_draws, self._step):
            n = min(self._step, num_draws - start)
            picked = random.integers(num_groups, size=(n, num_groups), dtype=np.int32)
            rows = np.arange(n, dtype=np.int64)[:, None] * num_groups
            counts = np.bincount((rows + picked).ravel(), minlength=n * num_groups)
            assert counts.max(initial=0) < 256, "a group is drawn once on average"
            self._rows.append(torch.from_numpy(counts.astype(np.uint8).reshape(n, num_groups)))

    def __len__(self) -> int:
        """The number of draws."""
        return len(self._rows)

    def __iter__(self) -> Iterator[Float[Tensor, "d g"]]:
        """(some draws, groups) float32, whose rows sum to `groups`."""
        return (self._rows[start : start + self._step].float() for start in range(0, len(self), self._step))


def compute_intervals(scores: Scores, weights: GroupWeights) -> dict[str, Interval]:
    """Each score with the 2.5 and 97.5 % quantiles of its draws; no draws: values alone.

    A draw in which no group counts (all of an interactive score's groups were left out) is passed over.
    """
    if not len(weights):
        return {key: Interval(score.value) for key, score in scores.items()}
    found = resample_scores(scores, weights)
    return {key: quantile_interval(score.value, found[key]) for key, score in scores.items()}


def resample_scores(scores: Scores, weights: GroupWeights) -> dict[str, Float[Tensor, " d"]]:
    """What each score is in each draw."""
    tallies: dict[str, GroupedMean] = {key: score for key, score in scores.items() if isinstance(score, GroupedMean)}
    others = {key: score for key, score in scores.items() if key not in tallies}
    found: dict[str, list[Tensor]] = {key: [torch.zeros(0)] for key in scores}
    together = make_resampler([*tallies.values()], weights.num_groups)
    for some in weights:
        for key, drawn in zip(tallies, together(some), strict=True):
            found[key].append(drawn)
        for key, score in others.items():
            found[key].append(score.resample(some))
    return {key: torch.cat(parts) for key, parts in found.items()}


def compute_difference(a: Score, b: Score, weights: GroupWeights) -> Interval:
    """a - b of the same groups, each draw being the same for both."""
    drawn = resample_scores({"a": a, "b": b}, weights)
    return quantile_interval(a.value - b.value, drawn["a"] - drawn["b"])


def quantile_interval(value: float, draws: Float[Tensor, " d"]) -> Interval:
    """The value between the quantiles of its draws."""
    draws = draws[draws.isfinite()]
    if not len(draws) or value != value:
        return Interval(value)
    low, high = np.quantile(draws.double().numpy(), [0.025, 0.975]).tolist()
    return Interval(value, low, high)
