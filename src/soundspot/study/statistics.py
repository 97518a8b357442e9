"""Statistics over arms, seeds and images, as pure functions of arrays; nothing here knows a study.

Values are (a, s): arms by seeds, nan where a training or score failed. Draws are (a, s, d): the same scores in d
bootstrap draws of the images, draw i of the same images for all arms and seeds. Seeds are drawn too, the same for all
arms, so that differences between arms are paired by image and by seed.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Estimate(NamedTuple):
    """A value with its 95 % interval.

    Attributes:
        value: value over all seeds and images.
        low: 2.5 % quantile over draws.
        high: 97.5 % quantile over draws.
    """

    value: float
    low: float
    high: float


def draw_seeds(num_seeds: int, num_draws: int, seed: int = 0) -> Int[np.ndarray, "d s"]:
    """Draw the seeds of each bootstrap draw, with replacement.

    Args:
        num_seeds: number s of seeds.
        num_draws: number d of draws.
        seed: seed of the draws.

    Returns:
        (d, s) positions of seeds.
    """
    return np.random.default_rng(seed).integers(num_seeds, size=(num_draws, num_seeds))


def seed_means(draws: Float[np.ndarray, "a s d"], chosen: Int[np.ndarray, "d s"]) -> Float[np.ndarray, "a d"]:
    """Average the scores of each draw over the seeds that are drawn with it: the hierarchical bootstrap.

    Args:
        draws: (a, s, d) scores in draws of the images; nan where there is none.
        chosen: (d, s) positions of the seeds of each draw.

    Returns:
        (a, d) means over the drawn seeds that have a score; nan where none has.
    """
    counts = np.stack([(chosen == k).sum(1) for k in range(draws.shape[1])])  # (s, d)
    is_known = ~np.isnan(draws)
    weights = (counts * is_known).sum(1)
    totals = (np.nan_to_num(draws) * counts).sum(1)
    return np.divide(totals, weights, out=np.full(totals.shape, np.nan), where=weights > 0)


def mean_and_spread(values: Float[np.ndarray, "a s"]) -> tuple[Float[np.ndarray, " a"], Float[np.ndarray, " a"]]:
    """Compute the mean over seeds and the standard deviation between them.

    Args:
        values: (a, s) scores; nan where there is none.

    Returns:
        (a,) means, and (a,) deviations with n - 1 in the denominator; nan where fewer than one or two seeds have one.
    """
    counts = (~np.isnan(values)).sum(1)
    means = np.full(len(values), np.nan)
    np.divide(np.nansum(values, 1), counts, out=means, where=counts > 0)
    squares = np.nansum((values - means[:, None]) ** 2, 1)
    spread = np.full(len(values), np.nan)
    np.divide(squares, counts - 1, out=spread, where=counts > 1)
    return means, np.sqrt(spread)


def estimate(value: float, draws: Float[np.ndarray, " d"]) -> Estimate:
    """Build an interval of draws.

    Args:
        value: value over all seeds and images.
        draws: (d,) values of draws; those that are not finite are left out.

    Returns:
        The value with the 2.5 and 97.5 % quantiles; nan where no draw is finite.
    """
    finite = draws[np.isfinite(draws)]
    low, high = np.quantile(finite, [0.025, 0.975]) if len(finite) else (np.nan, np.nan)
    return Estimate(float(value), float(low), float(high))


def holm(p_values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Correct p-values for their number by Holm's method.

    Args:
        p_values: (n,) p-values; nan is passed on and not counted.

    Returns:
        (n,) corrected p-values, at most 1.
    """
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    corrected = np.full(len(p_values), np.nan)
    scaled = p_values[order] * (len(order) - np.arange(len(order)))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled)) if len(order) else scaled
    return corrected


def midranks(x: Float[np.ndarray, "... n"]) -> Float[np.ndarray, "... n"]:
    """Rank numbers along the last axis.

    Args:
        x: (..., n) numbers without nan.

    Returns:
        (..., n) ranks from 1; equal numbers share the mean of theirs.
    """
    below = (x[..., None, :] < x[..., :, None]).sum(-1)
    equal = (x[..., None, :] == x[..., :, None]).sum(-1)
    return below + (equal + 1) / 2


def spearman(x: Float[np.ndarray, "... n"], y: Float[np.ndarray, "... n"]) -> Float[np.ndarray, "..."]:
    """Compute Spearman's rank correlation along the last axis.

    Args:
        x: (..., n) numbers without nan.
        y: (..., n) numbers without nan.

    Returns:
        (...) correlations; nan where one of both is constant.
    """
    a, b = (ranks - ranks.mean(-1, keepdims=True) for ranks in (midranks(x), midranks(y)))
    scale = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    products = (a * b).sum(-1)
    return np.divide(products, scale, out=np.full(np.shape(scale), np.nan), where=scale > 0)


class Ranks(NamedTuple):
    """Ranks of arms, 1 for the highest score.

    Attributes:
        value: (a,) ranks of the means over seeds.
        low: (a,) 2.5 % quantiles over draws.
        high: (a,) 97.5 % quantiles over draws.
        first: (a,) shares of the draws in which an arm is first; those of ties are divided among them.
    """

    value: Array
    low: Array
    high: Array
    first: Array


def rank_arms(means: Float[np.ndarray, " a"], draws: Float[np.ndarray, "a d"]) -> Ranks:
    """Rank arms, with the confidence of the ranks.

    Args:
        means: (a,) means over seeds, without nan.
        draws: (a, d) means over the drawn seeds; draws in which an arm has none are left out.

    Returns:
        Ranks of the arms.
    """
    known = draws[:, ~np.isnan(draws).any(0)].T  # (d, a)
    if not len(known):
        unknown = np.full(len(means), np.nan)
        return Ranks(midranks(-means), unknown, unknown, unknown)
    low, high = np.quantile(midranks(-known), [0.025, 0.975], axis=0)
    is_best = known == known.max(1, keepdims=True)
    first = (is_best / is_best.sum(1, keepdims=True)).mean(0)
    return Ranks(midranks(-means), low, high, first)


class Correlation(NamedTuple):
    """Rank correlation between two scores.

    Attributes:
        across: over the means of arms; its interval draws arms, seeds and images.
        within: over seeds within arms, pooled after the mean of each arm is taken away; its interval draws the same.
    """

    across: Estimate
    within: Estimate


def correlate(
    x: Float[np.ndarray, "a s"],
    y: Float[np.ndarray, "a s"],
    x_draws: Float[np.ndarray, "a s d"],
    y_draws: Float[np.ndarray, "a s d"],
    seed: int = 0,
) -> Correlation:
    """Correlate two scores across arms and within arms.

    Args:
        x: (a, s) first score; nan where there is none.
        y: (a, s) second score.
        x_draws: (a, s, d) first score in draws of its test set's images.
        y_draws: (a, s, d) second score in draws of its test set's images; paired with the first of one test set.
        seed: seed of the draws of arms and seeds.

    Returns:
        The correlations; only arms that have both scores with every seed count.
    """
    complete = ~(np.isnan(x) | np.isnan(y)).any(1)
    x, y, x_draws, y_draws = (array[complete] for array in (x, y, x_draws, y_draws))
    (num_arms, num_seeds), num_draws = x.shape, min(x_draws.shape[-1], y_draws.shape[-1])
    if num_arms < 2:
        nothing = Estimate(float("nan"), float("nan"), float("nan"))
        return Correlation(nothing, nothing)
    rng = np.random.default_rng(seed)
    arms = rng.integers(num_arms, size=(num_draws, num_arms))
    seeds = rng.integers(num_seeds, size=(num_draws, num_arms, num_seeds))
    each = np.arange(num_draws)[:, None, None]
    drawn = [scores[arms[:, :, None], seeds, each] for scores in (x_draws, y_draws)]  # (d, a, s)
    across = spearman(*(scores.mean(-1) for scores in drawn))
    # A seed that is drawn twice is one pair, so deviations are those from the mean of all seeds.
    centers = [scores.mean(1).T[np.arange(num_draws)[:, None], arms] for scores in (x_draws, y_draws)]
    within = spearman(*((a - c[..., None]).reshape(num_draws, -1) for a, c in zip(drawn, centers, strict=True)))
    return Correlation(
        estimate(float(spearman(x.mean(1), y.mean(1))), across),
        estimate(float(spearman(*((z - z.mean(1, keepdims=True)).ravel() for z in (x, y)))), within),
    )
