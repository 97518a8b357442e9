"""95 % intervals by drawing groups with replacement: samples of one picture are not independent, they stay together."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from whence.evaluation.report import Interval
from whence.evaluation.tallies import Tallies
from whence.randomness import generator


def group_weights(groups: int, draws: int, seed: int = 0) -> Float[Tensor, "d g"]:
    """How often each group is in each draw: (draws, groups), rows sum to `groups`."""
    picked = generator("bootstrap", seed).integers(groups, size=(draws, groups), dtype=np.int32)
    rows = np.arange(draws, dtype=np.int64)[:, None] * groups
    counts = np.bincount((rows + picked).ravel(), minlength=draws * groups)
    return torch.from_numpy(counts.reshape(draws, groups)).float()


def intervals(tallies: Tallies, weights: Float[Tensor, "d g"]) -> dict[str, Interval]:
    """Each score with the 2.5 and 97.5 % quantiles of its draws; no draws (0, g): values alone.

    A draw in which no group counts (all of an interactive score's groups were left out) is passed over.
    """
    if not len(weights) or not tallies:
        return {key: Interval(tally.mean) for key, tally in tallies.items()}
    groups = weights.shape[1]
    sums, counts = torch.zeros(2, groups, len(tallies))
    for column, tally in enumerate(tallies.values()):
        sums[:, column].index_add_(0, tally.groups, tally.values.float())
        counts[:, column].index_add_(0, tally.groups, torch.ones(len(tally.groups)))
    draws = (weights @ sums) / (weights @ counts)
    return {key: _interval(tally.mean, draws[:, i]) for i, (key, tally) in enumerate(tallies.items())}


def auroc_interval(
    present: Float[Tensor, " p"],
    absent: Float[Tensor, " a"],
    present_groups: Int[Tensor, " p"],
    absent_groups: Int[Tensor, " a"],
    weights: Float[Tensor, "d g"],
) -> Interval:
    """How often a value of `present` is higher than one of `absent` (equals count half), with its interval."""
    wins = torch.zeros(len(present), len(absent))
    for some, row in zip(present.split(256), wins.split(256), strict=True):
        row.copy_((some[:, None] > absent).float() + 0.5 * (some[:, None] == absent).float())
    heavy, light = weights[:, present_groups], weights[:, absent_groups]
    draws = ((heavy @ wins) * light).sum(dim=1) / (heavy.sum(dim=1) * light.sum(dim=1))
    return _interval(float(wins.double().mean()), draws)


def _interval(value: float, draws: Float[Tensor, " d"]) -> Interval:
    draws = draws[draws.isfinite()]
    if not len(draws) or value != value:
        return Interval(value)
    low, high = np.quantile(draws.double().numpy(), [0.025, 0.975]).tolist()
    return Interval(value, low, high)
