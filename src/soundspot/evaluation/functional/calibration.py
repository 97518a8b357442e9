"""Presence as a calibrated probability: logistic and isotonic fits, and the expected calibration error.

Platt, "Probabilistic Outputs for Support Vector Machines", 1999, with the Newton steps of Lin, Lin and Weng, Machine
Learning 2007; Zadrozny and Elkan, KDD 2002 (isotonic regression); Naeini et al., AAAI 2015, and Guo et al., "On
Calibration of Modern Neural Networks", ICML 2017, for the error, in 15 bins of equal width as in the latter.

Both fits weigh maps of present and of absent sources alike, each with one half in sum, however many there are.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from soundspot.config.presence_calibration import MAX_POINTS, CalibrationKind, PresenceCalibration

NUM_BINS = 15
NEWTON_STEPS = 100


class ReliabilityBins(NamedTuple):
    """Bins of a reliability diagram, over d draws.

    Attributes:
        weight: (d, m) share of the samples in each bin; sums to 1.
        probability: (d, m) mean predicted probability; nan in an empty bin.
        frequency: (d, m) share of positive samples; nan in an empty bin.
    """

    weight: Float[Tensor, "d m"]
    probability: Float[Tensor, "d m"]
    frequency: Float[Tensor, "d m"]


def fit_presence(
    present: Float[Tensor, " p"], absent: Float[Tensor, " a"], kind: CalibrationKind = "logistic"
) -> PresenceCalibration:
    """Fit the probability that a source is present from the peaks of maps on held-out data.

    Args:
        present: (p,) peaks with a sound whose source is in the image, at least one.
        absent: (a,) peaks with other sounds, at least one.
        kind: `logistic` (Platt scaling) or `isotonic` (isotonic regression).

    Returns:
        The calibration; both groups count one half in sum.

    Examples:
        >>> fitted = fit_presence(torch.tensor([0.7, 0.8, 0.9]), torch.tensor([0.1, 0.2, 0.3]))
        >>> [round(fitted.probability_of(peak), 2) for peak in (0.2, 0.5, 0.8)]
        [0.21, 0.5, 0.79]
    """
    return (fit_logistic if kind == "logistic" else fit_isotonic)(present.double(), absent.double())


def fit_logistic(present: Float[Tensor, " p"], absent: Float[Tensor, " a"]) -> PresenceCalibration:
    """Fit a logistic function by Newton's method, with Platt's targets: (n + 1) / (n + 2) and 1 / (n + 2).

    Args:
        present: (p,) values of positive samples.
        absent: (a,) values of negative samples.

    Returns:
        The logistic calibration; of slope 0, one half throughout, where positive samples do not have the higher values.
    """
    values = torch.cat([present, absent])
    center, scale = values.mean(), values.std(correction=0)
    scale = scale if scale > 0 else scale + 1
    rows = torch.stack([(values - center) / scale, torch.ones_like(values)])
    targets, weights = torch.empty_like(values), torch.empty_like(values)
    p, a = len(present), len(absent)
    targets[:p], targets[p:] = (p + 1) / (p + 2), 1 / (a + 2)
    weights[:p], weights[p:] = 0.5 / p, 0.5 / a

    def compute_loss(parameters: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(parameters @ rows, targets, weights, reduction="sum")

    parameters = torch.zeros(2, dtype=torch.float64)
    loss = compute_loss(parameters)
    for _ in range(NEWTON_STEPS):
        probabilities = torch.sigmoid(parameters @ rows)
        gradient = rows @ (weights * (probabilities - targets))
        hessian = (rows * weights * probabilities * (1 - probabilities)) @ rows.T
        step = torch.linalg.solve(hessian + 1e-12 * torch.eye(2, dtype=torch.float64), gradient)
        rate = 1.0
        while rate > 1e-10 and compute_loss(parameters - rate * step) > loss:
            rate /= 2
        parameters = parameters - rate * step
        previous, loss = loss, compute_loss(parameters)
        if previous - loss < 1e-14:
            break
    if parameters[0] <= 0:
        return PresenceCalibration("logistic", 0.0, 0.0)
    slope = parameters[0] / scale
    return PresenceCalibration("logistic", float(slope), float(parameters[1] - slope * center))


def fit_isotonic(present: Float[Tensor, " p"], absent: Float[Tensor, " a"]) -> PresenceCalibration:
    """Fit the non-decreasing function of least weighted squared error by pooling adjacent violators.

    Args:
        present: (p,) values of positive samples.
        absent: (a,) values of negative samples.

    Returns:
        The isotonic calibration, whose points are the ends of the pooled blocks: at most 1,000, evenly chosen.
    """
    peaks, level = torch.cat([present, absent]).unique(return_inverse=True)
    sums = torch.zeros(2, len(peaks), dtype=torch.float64)
    for row, levels in enumerate((level[: len(present)], level[len(present) :])):
        sums[row].index_add_(0, levels, torch.full(levels.shape, 0.5 / len(levels), dtype=torch.float64))
    blocks: list[list[float]] = []  # positive weight, weight, first level, last level
    for n, (positive, negative) in enumerate(sums.T.tolist()):
        blocks.append([positive, positive + negative, n, n])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            last = blocks.pop()
            blocks[-1] = [blocks[-1][0] + last[0], blocks[-1][1] + last[1], blocks[-1][2], last[3]]
    points = {end: positive / weight for positive, weight, *ends in blocks for end in map(int, ends)}
    chosen = np.unique(np.linspace(0, len(points) - 1, min(len(points), MAX_POINTS)).round().astype(int))
    levels, probabilities = np.array([*points]), np.minimum([*points.values()], 1.0)
    return PresenceCalibration(
        "isotonic",
        peaks=tuple(peaks[torch.from_numpy(levels[chosen])].tolist()),
        probabilities=tuple(probabilities[chosen].tolist()),
    )


def balanced_weights(target: Bool[Tensor, " n"], counts: Num[Tensor, "d n"]) -> Float[Tensor, "d n"]:
    """Compute weights by which positive and negative samples count one half each.

    Args:
        target: (n,) True for positive samples.
        counts: (d, n) number of times each sample counts in each of d draws.

    Returns:
        (d, n) float64, each row of sum 1; nan where a draw lacks positive or negative samples.
    """
    sides = [counts.double() * side for side in (target, ~target)]
    return sum((0.5 * side / side.sum(dim=1, keepdim=True) for side in sides), torch.zeros(()).double())


def reliability_bins(
    probabilities: Float[Tensor, " n"],
    target: Bool[Tensor, " n"],
    weights: Float[Tensor, "d n"] | None = None,
    num_bins: int = NUM_BINS,
) -> ReliabilityBins:
    """Compute the bins of a reliability diagram: predicted probability against observed frequency.

    Args:
        probabilities: (n,) predicted probabilities of the positive class, in [0, 1].
        target: (n,) True for positive samples.
        weights: (d, n) weight of each sample in each of d draws; None: one draw in which all count alike.
        num_bins: number m of bins of equal width: [0, 1/m), [1/m, 2/m), ... [1 - 1/m, 1].

    Returns:
        Weight, mean probability and frequency of each bin.
    """
    probabilities = probabilities.double()
    weights = torch.full((1, len(target)), 1 / len(target), dtype=torch.float64) if weights is None else weights
    bins = (probabilities * num_bins).long().clamp(max=num_bins - 1)
    weight, probability, frequency = (
        torch.zeros(len(weights), num_bins, dtype=torch.float64).index_add_(1, bins, weights * values)
        for values in (torch.ones_like(probabilities), probabilities, target.double())
    )
    return ReliabilityBins(weight, probability / weight, frequency / weight)


def expected_calibration_error(
    probabilities: Float[Tensor, " n"],
    target: Bool[Tensor, " n"],
    weights: Float[Tensor, "d n"] | None = None,
    num_bins: int = NUM_BINS,
) -> Float[Tensor, " d"]:
    """Compute the expected calibration error (ECE): the mean over bins of |observed frequency - mean probability|.

    Bins are of equal width and count by their share of the samples (Guo et al. 2017, equation 3).

    Args:
        probabilities: (n,) predicted probabilities of the positive class, in [0, 1].
        target: (n,) True for positive samples.
        weights: (d, n) weight of each sample in each of d draws; None: one draw in which all count alike.
        num_bins: number of bins.

    Returns:
        (d,) float64 in [0, 1]; 0 where each probability is the frequency of its bin; nan where weights are.

    Examples:
        >>> expected_calibration_error(torch.tensor([0.9, 0.9, 0.1]), torch.tensor([True, False, False]))
        tensor([0.3000], dtype=torch.float64)
    """
    bins = reliability_bins(probabilities, target, weights, num_bins)
    gaps = torch.where(bins.weight > 0, (bins.frequency - bins.probability).abs(), 0)
    return (bins.weight * gaps).sum(dim=1)
