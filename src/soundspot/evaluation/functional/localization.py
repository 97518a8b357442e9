"""Localization scores: IoU, and rates over samples and over groups of samples.

Papers call several things cIoU. Here `iou` is one sample's value, `mean_iou` the mean, and a success rate the share of
samples (or groups) that reach 0.5.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

AUCGrid = Literal["float", "integer"]
IOU_THRESHOLD = 0.5
AUC_STEPS = 20  # of the AUC's thresholds, 0, 0.05, ... 1


def iou(
    preds: Bool[Tensor, "b h w"] | Float[Tensor, "b h w"], target: Bool[Tensor, "b h w"] | Float[Tensor, "b h w"]
) -> Float[Tensor, " b"]:
    """Compute sum(preds * target) / (sum(target) + sum(preds where target == 0)).

    With targets between 0 and 1, a pixel is a false positive only where the target is exactly 0, as in all released
    codes.

    Args:
        preds: (b, h, w) predicted pixels: True or False, or a weight in [0, 1] for each pixel.
        target: (b, h, w) ground truth in [0, 1].

    Returns:
        (b,) float64; nan where both are empty.

    Examples:
        >>> preds = torch.tensor([[[True, True], [False, False]]])
        >>> target = torch.tensor([[[True, False], [True, False]]])
        >>> iou(preds, target)  # one pixel in both, three in either
        tensor([0.3333], dtype=torch.float64)
    """
    preds, target = preds.double().flatten(1), target.double().flatten(1)
    false_positives = (preds * (target == 0)).sum(dim=1)
    return (preds * target).sum(dim=1) / (target.sum(dim=1) + false_positives)


def success_rate(values: Float[Tensor, " n"], threshold: float = IOU_THRESHOLD) -> Float[Tensor, ""]:
    """Compute the share of samples whose value reaches a threshold.

    Args:
        values: (n,) value of each sample, such as its IoU; nan counts as a failure.
        threshold: least value of a success.

    Returns:
        Scalar, float64; nan where n is 0.

    Examples:
        >>> success_rate(torch.tensor([0.2, 0.5, 0.9, torch.nan]))  # cIoU: half of the samples
        tensor(0.5000, dtype=torch.float64)
    """
    return (values >= threshold).double().mean()


def auc_terms(values: Float[Tensor, " n"], grid: AUCGrid = "integer") -> Float[Tensor, " n"]:
    """Compute the term of each value in the AUC: the area under [value >= threshold] over thresholds 0, 0.05, ... 1.

    The area is computed by the trapezoidal rule.

    Args:
        values: (n,) IoU of each sample, in [0, 1]; nan gives 0.
        grid: `float`: thresholds are the products 0.05 * k in floating point, so that exactly 0.15 misses the threshold
            0.15000000000000002, as in the released codes; `integer`: thresholds are k / 20, minus a tolerance of 1e-9.

    Returns:
        (n,) float64, from 0.025 (only threshold 0 is reached) to 1; their mean is the AUC.

    Examples:
        >>> fifteen = torch.tensor([0.15], dtype=torch.float64)
        >>> auc_terms(fifteen, "integer") - auc_terms(fifteen, "float")  # the released grid misses its own threshold
        tensor([0.0500], dtype=torch.float64)
    """
    thresholds, tolerance = auc_thresholds(grid, values.device)
    return torch.trapezoid((values.double()[:, None] >= thresholds - tolerance).double(), thresholds, dim=1)


def auc_thresholds(grid: AUCGrid, device: torch.device) -> tuple[Float[Tensor, " t"], float]:
    """Return the thresholds 0, 0.05, ... 1 of an AUC, and the tolerance of the comparison with them.

    Args:
        grid: `float`: products 0.05 * k in floating point, tolerance 0; `integer`: k / 20, tolerance 1e-9.
        device: device of the thresholds.

    Returns:
        (21,) float64 thresholds, and the tolerance: a threshold is lowered by it where values must reach it, and raised
        by it where values must not exceed it.
    """
    steps = torch.arange(AUC_STEPS + 1, dtype=torch.float64, device=device)
    return (steps * 0.05, 0.0) if grid == "float" else (steps / AUC_STEPS, 1e-9)


def auc(values: Float[Tensor, " n"], grid: AUCGrid = "integer") -> Float[Tensor, ""]:
    """Compute the area under the success rate over IoU thresholds 0, 0.05, ... 1, by the trapezoidal rule.

    Args:
        values: (n,) IoU of each sample, in [0, 1]; nan counts as a failure at every threshold.
        grid: `float`: thresholds 0.05 * k in floating point, as in the released codes; `integer`: k / 20, minus 1e-9.

    Returns:
        Scalar, float64; 0.025 where every value is 0.
    """
    return auc_terms(values, grid).mean()


def mean_iou(values: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Compute the mean IoU.

    Args:
        values: (n,) IoU of each sample.

    Returns:
        Scalar of the dtype of `values`; nan where any value is nan or n is 0.
    """
    return values.mean()


def worst_of_groups(values: Float[Tensor, " n"], groups: Int[Tensor, " n"]) -> Float[Tensor, " g"]:
    """Compute the smallest value of each group.

    Args:
        values: (n,) value of each sample, such as its IoU.
        groups: (n,) number of each sample's group: its image in an interactive evaluation.

    Returns:
        (g,) minimum of each of the g distinct groups, in ascending order of their numbers; nan where any value of the
        group is nan.

    Examples:
        >>> ious = torch.tensor([0.9, 0.2, 0.7])  # the first image has two sounds
        >>> worst_of_groups(ious, torch.tensor([0, 0, 1]))
        tensor([0.2000, 0.7000])
    """
    names, group_index = groups.unique(return_inverse=True)
    return values.new_full((len(names),), torch.inf).scatter_reduce(0, group_index, values, "amin")


def group_sizes(groups: Int[Tensor, " n"]) -> Int[Tensor, " g"]:
    """Count the samples of each group.

    Args:
        groups: (n,) number of each sample's group.

    Returns:
        (g,) int64 counts of the g distinct groups, in ascending order of their numbers.
    """
    return groups.unique(return_counts=True)[1]


def group_success(worst: Float[Tensor, " g"], threshold: float = IOU_THRESHOLD) -> Float[Tensor, " g"]:
    """Compute the success of each group: 1 where its worst value reaches a threshold, else 0.

    Args:
        worst: (g,) smallest value of each group (`worst_of_groups`).
        threshold: least value of a success.

    Returns:
        (g,) values 0 and 1 of the dtype of `worst`; nan stays nan, as in the released group scores.
    """
    return torch.where(worst.isnan(), worst, (worst >= threshold).to(worst.dtype))


def group_auc_terms(worst: Float[Tensor, " g"], grid: AUCGrid = "integer") -> Float[Tensor, " g"]:
    """Compute the term of each group in the AUC: `auc_terms` of its worst value.

    Args:
        worst: (g,) smallest IoU of each group (`worst_of_groups`).
        grid: `float`: thresholds 0.05 * k in floating point, as in the released codes; `integer`: k / 20, minus 1e-9.

    Returns:
        (g,) float64, whose mean is the AUC over groups; nan stays nan.
    """
    return torch.where(worst.isnan(), worst, auc_terms(worst, grid))
