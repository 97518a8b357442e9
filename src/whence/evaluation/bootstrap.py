"""95 % intervals by drawing groups with replacement: samples of one picture are not independent, they stay together."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from whence.evaluation.interval import Interval
from whence.evaluation.scores import Score, Scores, Tally, means
from whence.randomness import generator


def group_weights(groups: int, draws: int, seed: int = 0) -> Float[Tensor, "d g"]:
    """How often each group is in each draw: (draws, groups), rows sum to `groups`."""
    picked = generator("bootstrap", seed).integers(groups, size=(draws, groups), dtype=np.int32)
    rows = np.arange(draws, dtype=np.int64)[:, None] * groups
    counts = np.bincount((rows + picked).ravel(), minlength=draws * groups)
    return torch.from_numpy(counts.reshape(draws, groups)).float()


def intervals(scores: Scores, weights: Float[Tensor, "d g"]) -> dict[str, Interval]:
    """Each score with the 2.5 and 97.5 % quantiles of its draws; no draws (0, g): values alone.

    A draw in which no group counts (all of an interactive score's groups were left out) is passed over.
    """
    if not len(weights):
        return {key: Interval(score.value) for key, score in scores.items()}
    found = all_draws(scores, weights)
    return {key: interval(score.value, found[key]) for key, score in scores.items()}


def all_draws(scores: Scores, weights: Float[Tensor, "d g"]) -> dict[str, Float[Tensor, " d"]]:
    """What each score is in each draw."""
    tallies: dict[str, Tally] = {key: score for key, score in scores.items() if isinstance(score, Tally)}
    together = dict(zip(tallies, means([*tallies.values()], weights), strict=True)) if tallies else {}
    return {key: together[key] if key in together else score.draws(weights) for key, score in scores.items()}


def difference(a: Score, b: Score, weights: Float[Tensor, "d g"]) -> Interval:
    """a - b of the same groups, each draw being the same for both."""
    return interval(a.value - b.value, a.draws(weights) - b.draws(weights))


def interval(value: float, draws: Float[Tensor, " d"]) -> Interval:
    """The value between the quantiles of its draws."""
    draws = draws[draws.isfinite()]
    if not len(draws) or value != value:
        return Interval(value)
    low, high = np.quantile(draws.double().numpy(), [0.025, 0.975]).tolist()
    return Interval(value, low, high)
