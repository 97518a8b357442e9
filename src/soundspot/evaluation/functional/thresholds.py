"""A threshold from a few labeled peaks, and how far it can be trusted.

Some peaks are labeled present or absent; of many more only the peak is known. A logistic function is fitted to the
labels, and the threshold is the one that is best for the aim over all peaks, in expectation: the best threshold of the
labels alone jumps from gap to gap. Its interval is a percentile bootstrap over the labeled peaks.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.config.presence_calibration import PresenceCalibration

NEWTON_STEPS = 25
MAX_STEP = 2.0  # of a parameter in a Newton step, in standard deviations of the peaks
SLOPE_PRECISION, OFFSET_PRECISION = 0.05, 0.001  # of weak normal priors, which bound fits to labels that are separable
NUM_DRAWS = 1000
MAX_PEAKS = 1000  # of all peaks, evenly chosen by rank
Z = 1.959964  # of a 95 % interval


@dataclass(frozen=True)
class ThresholdFit:
    """A threshold that was fitted to labeled peaks.

    Attributes:
        threshold: least peak that counts as present.
        low, high: its 95 % interval.
        presence: probability that the source is present by the peak.
        scores: `f1`, `precision` and `recall` that are expected at the threshold, over all peaks.
        lowest_slope: slope of the logistic function in the lowest 2.5 % of the bootstrap draws; 0 or less: the peaks
            may say nothing of presence.
    """

    threshold: float
    low: float
    high: float
    presence: PresenceCalibration
    scores: dict[str, float]
    lowest_slope: float


def fit_logistic_map(
    peaks: Float[Tensor, " n"], present: Bool[Tensor, " n"], weights: Float[Tensor, "d n"]
) -> Float[Tensor, "d 2"]:
    """Fit logistic functions by Newton's method, for d weightings of the same labels at once.

    The fit is maximum a posteriori, with weak normal priors on slope and offset of standardized peaks, so that it is
    finite where a threshold separates the labels.

    Args:
        peaks: (n,) peaks.
        present: (n,) labels.
        weights: (d, n) weight of each label.

    Returns:
        (d, 2) float64 slopes and intercepts: the probability is sigmoid(slope * peak + intercept).
    """
    values, target = peaks.double(), present.double()
    center, scale = values.mean(), values.std(correction=0).clamp(min=1e-9)
    rows = torch.stack([(values - center) / scale, torch.ones_like(values)])  # (2, n)
    precision = torch.tensor([SLOPE_PRECISION, OFFSET_PRECISION], dtype=torch.float64)
    parameters = torch.zeros(len(weights), 2, dtype=torch.float64)
    for _ in range(NEWTON_STEPS):
        probabilities = torch.sigmoid(parameters @ rows)
        gradient = (weights * (probabilities - target)) @ rows.T + precision * parameters
        curvature = weights * probabilities * (1 - probabilities)
        hessian = torch.einsum("dn,in,jn->dij", curvature, rows, rows) + torch.diag(precision)
        step = torch.linalg.solve(hessian, gradient[..., None])[..., 0]
        parameters = parameters - step * (MAX_STEP / step.norm(dim=1, keepdim=True).clamp(min=MAX_STEP))
    slopes = parameters[:, 0] / scale
    return torch.stack([slopes, parameters[:, 1] - slopes * center], dim=1)


def expected_scores(
    population: Float[Tensor, " p"], logistic: Float[Tensor, "d 2"]
) -> tuple[Float[Tensor, "d p"], Float[Tensor, "d p"], Float[Tensor, "d p"]]:
    """Compute the scores that are expected at each peak as the threshold.

    Args:
        population: (p,) all peaks, falling.
        logistic: (d, 2) slopes and intercepts.

    Returns:
        F1, precision and recall, each (d, p); of equal peaks, the last is that of a threshold there.
    """
    probabilities = torch.sigmoid(logistic[:, :1] * population.double() + logistic[:, 1:])
    hits = probabilities.cumsum(dim=1)
    count = torch.arange(1, len(population) + 1, dtype=torch.float64)
    total = hits[:, -1:]
    return 2 * hits / (count + total), hits / count, hits / total


def best_thresholds(
    population: Float[Tensor, " p"], logistic: Float[Tensor, "d 2"], min_precision: float | None = None
) -> Float[Tensor, " d"]:
    """Find the threshold that is best over all peaks, in expectation.

    Args:
        population: (p,) all peaks, falling.
        logistic: (d, 2) slopes and intercepts.
        min_precision: least precision, for which the lowest threshold is found; None: that of the highest F1.

    Returns:
        (d,) thresholds; the highest peak where no threshold is precise enough.
    """
    f1, precisions, _ = expected_scores(population, logistic)
    is_last = torch.cat([population[1:] != population[:-1], torch.ones(1, dtype=torch.bool)])  # a threshold takes ties
    if min_precision is None:
        return population.double()[f1.masked_fill(~is_last, -1).argmax(dim=1)]
    reached = ((precisions >= min_precision) & is_last) * torch.arange(1, len(population) + 1)
    return population.double()[(reached.amax(dim=1) - 1).clamp(min=0)]


def thin_population(peaks: Float[Tensor, " p"]) -> Float[Tensor, " q"]:
    """Choose up to 1,000 peaks, evenly by rank.

    Args:
        peaks: (p,) peaks in any order.

    Returns:
        (q,) float64 peaks, falling.
    """
    ordered = peaks.double().sort(descending=True).values
    chosen = torch.linspace(0, len(ordered) - 1, min(len(ordered), MAX_PEAKS), dtype=torch.float64).round().long()
    return ordered[chosen]


def fit_threshold(
    peaks: Float[Tensor, " n"],
    present: Bool[Tensor, " n"],
    weights: Float[Tensor, " n"],
    population: Float[Tensor, " p"],
    min_precision: float | None = None,
    seed: int = 0,
) -> ThresholdFit:
    """Fit a threshold and the probability of presence to labeled peaks.

    Args:
        peaks: (n,) peaks that were labeled.
        present: (n,) labels, of both kinds.
        weights: (n,) number of all peaks that each labeled peak stands for.
        population: (p,) all peaks, the labeled ones included.
        min_precision: least precision wanted; None: the highest F1.
        seed: random seed of the bootstrap.

    Returns:
        The threshold with its interval, the probability, and the scores expected at the threshold.

    Examples:
        >>> peaks = torch.linspace(0, 1, 60, dtype=torch.float64)
        >>> fit = fit_threshold(peaks, peaks > 0.5, torch.ones(60), peaks)
        >>> fit.low <= fit.threshold <= fit.high, 0.4 < fit.threshold < 0.6
        (True, True)
    """
    falling = thin_population(population)
    normalized = weights.double() * len(peaks) / weights.double().sum()
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(peaks), (NUM_DRAWS, len(peaks)), generator=generator)
    counts = torch.zeros(NUM_DRAWS, len(peaks), dtype=torch.float64)
    counts.scatter_add_(1, rows, torch.ones_like(counts))
    counts = torch.cat([torch.ones(1, len(peaks), dtype=torch.float64), counts])
    logistic = fit_logistic_map(peaks, present, counts * normalized)
    thresholds = best_thresholds(falling, logistic, min_precision)
    threshold = float(thresholds[0])
    low, high = thresholds[1:].quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    presence = PresenceCalibration("logistic", *logistic[0].tolist())
    scores = scores_at(threshold, falling, logistic[0])
    lowest_slope = float(logistic[1:, 0].quantile(0.025))
    return ThresholdFit(threshold, min(low, threshold), max(high, threshold), presence, scores, lowest_slope)


def scores_at(threshold: float, population: Float[Tensor, " p"], logistic: Float[Tensor, " 2"]) -> dict[str, float]:
    """Compute the scores that are expected at a threshold.

    Args:
        threshold: the threshold.
        population: (p,) all peaks, falling.
        logistic: (2,) slope and intercept.

    Returns:
        `f1`, `precision` and `recall`; 0 where no peak reaches the threshold.
    """
    index = int((population >= threshold).sum()) - 1
    columns = expected_scores(population, logistic[None])
    names = ("f1", "precision", "recall")
    return {name: float(column[0, index]) if index >= 0 else 0.0 for name, column in zip(names, columns, strict=True)}


def leave_one_out(
    peaks: Float[Tensor, " n"], present: Bool[Tensor, " n"], weights: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Predict the probability of each labeled peak by a fit to the others.

    Args:
        peaks: (n,) peaks.
        present: (n,) labels.
        weights: (n,) weight of each label.

    Returns:
        (n,) probabilities, float64.
    """
    others = 1 - torch.eye(len(peaks), dtype=torch.float64)
    normalized = weights.double() * len(peaks) / weights.double().sum()
    logistic = fit_logistic_map(peaks, present, others * normalized)
    return torch.sigmoid(logistic[:, 0] * peaks.double() + logistic[:, 1])


def wilson_interval(successes: int, count: int) -> tuple[float, float]:
    """Compute the 95 % interval of a share (Wilson, 1927).

    Args:
        successes: number of successes.
        count: number of trials; 0: nothing is known.

    Returns:
        Lowest and highest share, in [0, 1].

    Examples:
        >>> [round(bound, 3) for bound in wilson_interval(8, 10)]
        [0.49, 0.943]
    """
    if not count:
        return 0.0, 1.0
    share, spread = successes / count, Z * Z / count
    center = share + spread / 2
    margin = Z * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    return max(0.0, (center - margin) / (1 + spread)), min(1.0, (center + margin) / (1 + spread))
