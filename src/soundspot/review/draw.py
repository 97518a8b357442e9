"""The draw of clips to check: spread evenly over the range of peaks, in an order that a seed decides."""

from collections.abc import Collection

import numpy as np
from jaxtyping import Float

NUM_STRATA = 10  # of equal width
OUTLIERS = 0.01  # share of the peaks at either end that shares the outermost stratum


def assign_strata(peaks: Float[np.ndarray, " n"]) -> np.ndarray:
    """Assign peaks to strata of equal width between their 1st and 99th percentile.

    Args:
        peaks: (n,) peaks, at least one.

    Returns:
        (n,) number of the stratum of each, from 0.
    """
    low, high = np.quantile(peaks, (OUTLIERS, 1 - OUTLIERS))
    position = (peaks - low) / (high - low) if high > low else np.zeros(len(peaks))
    return np.clip(NUM_STRATA * position, 0, NUM_STRATA - 1).astype(np.int64)


def draw_moments(peaks: Float[np.ndarray, " n"], count: int, seed: int = 0, drawn: Collection[int] = ()) -> list[int]:
    """Draw moments so that each stratum of peaks has as many as the others, as far as it has any.

    Args:
        peaks: (n,) peak of each moment.
        count: number of moments in all, with those that were drawn before.
        seed: random seed.
        drawn: indices that were drawn before.

    Returns:
        Indices of further moments, in random order within each round over the strata.
    """
    if not len(peaks):
        return []
    rng = np.random.default_rng(seed)
    strata = assign_strata(peaks)
    before = set(drawn)
    numbers = np.bincount(strata[sorted(before)], minlength=NUM_STRATA)
    queue = [i for i in rng.permutation(len(peaks)).tolist() if i not in before]
    rounds = []  # (round of its stratum, random order, index)
    for order, index in enumerate(queue):
        rounds.append((int(numbers[strata[index]]), order, index))
        numbers[strata[index]] += 1
    return [index for *_, index in sorted(rounds)[: max(0, count - len(before))]]
