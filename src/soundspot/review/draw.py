"""The draw of clips to check: spread evenly over the range of peaks and over files, in an order that a seed decides."""

from collections.abc import Collection

import numpy as np
from jaxtyping import Float, Int64

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


def draw_moments(
    peaks: Float[np.ndarray, " n"],
    files: Int64[np.ndarray, " n"],
    count: int,
    seed: int = 0,
    drawn: Collection[int] = (),
) -> list[int]:
    """Draw moments so that each stratum of peaks has as many as the others, as far as it has any; then so with files.

    Args:
        peaks: (n,) peak of each moment.
        files: (n,) number of the file of each moment, from 0.
        count: number of moments in all, with those that were drawn before.
        seed: random seed.
        drawn: indices that were drawn before.

    Returns:
        Indices of further moments: each is, of the strata with the fewest so far, one of the file with the fewest;
        the order is random among these.
    """
    if not len(peaks):
        return []
    order = np.random.default_rng(seed).permutation(len(peaks))
    strata, files = assign_strata(peaks)[order], files[order]
    is_left = ~np.isin(order, [*drawn])
    in_strata = np.bincount(strata[~is_left], minlength=NUM_STRATA)
    in_files = np.bincount(files[~is_left], minlength=files.max() + 1)
    positions: list[int] = []
    for _ in range(min(count - len(drawn), int(is_left.sum()))):
        rank = in_strata[strata] * (len(peaks) + 1) + in_files[files]
        position = int(np.where(is_left, rank, np.iinfo(np.int64).max).argmin())
        is_left[position] = False
        in_strata[strata[position]] += 1
        in_files[files[position]] += 1
        positions.append(position)
    return order[positions].tolist()
