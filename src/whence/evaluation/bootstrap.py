"""95 % intervals by drawing groups with replacement: samples of one picture are not independent, they stay together."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from whence.evaluation.interval import Interval
from whence.evaluation.rows import Rows
from whence.evaluation.scores import Score, Scores, Tally, means
from whence.randomness import generator

CELLS = 2**20  # draws x groups at a time


class GroupWeights:
    """How often each group is in each draw: made once, and read some draws at a time, whatever the number of groups.

    A draw is `groups` bytes, in a file where there are many.
    """

    def __init__(self, groups: int, draws: int, seed: int = 0) -> None:
        self.groups, self._rows, self._step = groups, Rows(), max(1, CELLS // max(1, groups))
        random = generator("bootstrap", seed)
        for start in range(0, draws, self._step):
            n = min(self._step, draws - start)
            picked = random.integers(groups, size=(n, groups), dtype=np.int32)
            rows = np.arange(n, dtype=np.int64)[:, None] * groups
            counts = np.bincount((rows + picked).ravel(), minlength=n * groups)
            assert counts.max(initial=0) < 256, "a group is drawn once on average"
            self._rows.append(torch.from_numpy(counts.astype(np.uint8).reshape(n, groups)))

    def __len__(self) -> int:
        """The number of draws."""
        return len(self._rows)

    def __iter__(self) -> Iterator[Float[Tensor, "d g"]]:
        """(some draws, groups) float32, whose rows sum to `groups`."""
        return (self._rows[start : start + self._step].float() for start in range(0, len(self), self._step))


def intervals(scores: Scores, weights: GroupWeights) -> dict[str, Interval]:
    """Each score with the 2.5 and 97.5 % quantiles of its draws; no draws: values alone.

    A draw in which no group counts (all of an interactive score's groups were left out) is passed over.
    """
    if not len(weights):
        return {key: Interval(score.value) for key, score in scores.items()}
    found = all_draws(scores, weights)
    return {key: interval(score.value, found[key]) for key, score in scores.items()}


def all_draws(scores: Scores, weights: GroupWeights) -> dict[str, Float[Tensor, " d"]]:
    """What each score is in each draw."""
    tallies: dict[str, Tally] = {key: score for key, score in scores.items() if isinstance(score, Tally)}
    others = {key: score for key, score in scores.items() if key not in tallies}
    found: dict[str, list[Tensor]] = {key: [torch.zeros(0)] for key in scores}
    together = means([*tallies.values()], weights.groups)
    for some in weights:
        for key, drawn in zip(tallies, together(some), strict=True):
            found[key].append(drawn)
        for key, score in others.items():
            found[key].append(score.draws(some))
    return {key: torch.cat(parts) for key, parts in found.items()}


def difference(a: Score, b: Score, weights: GroupWeights) -> Interval:
    """a - b of the same groups, each draw being the same for both."""
    drawn = all_draws({"a": a, "b": b}, weights)
    return interval(a.value - b.value, drawn["a"] - drawn["b"])


def interval(value: float, draws: Float[Tensor, " d"]) -> Interval:
    """The value between the quantiles of its draws."""
    draws = draws[draws.isfinite()]
    if not len(draws) or value != value:
        return Interval(value)
    low, high = np.quantile(draws.double().numpy(), [0.025, 0.975]).tolist()
    return Interval(value, low, high)
