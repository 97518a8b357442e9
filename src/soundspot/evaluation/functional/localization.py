"""Where the source is: IoU and what is made of it over samples and over groups of them.

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
    """sum(pred * truth) / (sum(truth) + sum(pred where truth == 0)), float64 per sample; nan if both are empty.

    With truths between 0 and 1 a pixel counts as spill only where the truth is exactly 0, as all released codes do.

    Examples:
        >>> pred = torch.tensor([[[True, True], [False, False]]])
        >>> truth = torch.tensor([[[True, False], [True, False]]])
        >>> iou(pred, truth)  # one pixel in both, three in either
        tensor([0.3333], dtype=torch.float64)
    """
    preds, soft = preds.double().flatten(1), target.double().flatten(1)
    hit = (preds * soft).sum(dim=1)
    spill = (preds * (soft == 0)).sum(dim=1)
    return hit / (soft.sum(dim=1) + spill)


def success_rate(values: Float[Tensor, " n"], threshold: float = IOU_THRESHOLD) -> Float[Tensor, ""]:
    """Share of the values that are `at` least; nan is a failure.

    Examples:
        >>> success_rate(torch.tensor([0.2, 0.5, 0.9, torch.nan]))  # cIoU: half of the samples
        tensor(0.5000, dtype=torch.float64)
    """
    return (values >= threshold).double().mean()


def auc_terms(values: Float[Tensor, " n"], grid: AUCGrid = "integer") -> Float[Tensor, " n"]:
    """What each value adds to the AUC: the area under [value >= threshold] over thresholds 0, 0.05, ... 1.

    Args:
        grid: `float` takes the products 0.05 * k as they come out in floating point, so that exactly 0.15 misses the
            threshold 0.15000000000000002, as the released codes do; `integer` compares with k / 20 and forgives 1e-9.

    Examples:
        >>> fifteen = torch.tensor([0.15], dtype=torch.float64)
        >>> auc_terms(fifteen, "integer") - auc_terms(fifteen, "float")  # the released grid misses its own threshold
        tensor([0.0500], dtype=torch.float64)
    """
    steps = torch.arange(AUC_STEPS + 1, dtype=torch.float64, device=values.device)
    thresholds = steps * 0.05 if grid == "float" else steps / AUC_STEPS
    forgiven = 0.0 if grid == "float" else 1e-9
    reached = (values.double()[:, None] >= thresholds - forgiven).double()
    return torch.trapezoid(reached, thresholds, dim=1)


def auc(values: Float[Tensor, " n"], grid: AUCGrid = "integer") -> Float[Tensor, ""]:
    """Area under the success rate over thresholds 0, 0.05, ... 1; 0.025 where every value is 0."""
    return auc_terms(values, grid).mean()


def mean_iou(values: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """The mean; nan where any value is nan."""
    return values.mean()


def worst_of_groups(values: Float[Tensor, " n"], groups: Int[Tensor, " n"]) -> Float[Tensor, " g"]:
    """The smallest value of each group, groups in ascending order; nan where any of its values is nan.

    Examples:
        >>> ious = torch.tensor([0.9, 0.2, 0.7])  # the first picture is asked with two sounds
        >>> worst_of_groups(ious, torch.tensor([0, 0, 1]))
        tensor([0.2000, 0.7000])
    """
    names, which = groups.unique(return_inverse=True)
    worst = values.new_full((len(names),), torch.inf)
    return worst.scatter_reduce(0, which, values, "amin")


def group_sizes(groups: Int[Tensor, " n"]) -> Int[Tensor, " g"]:
    """How many samples each group has, in the order of `worst_of_groups`."""
    return groups.unique(return_counts=True)[1]


def group_success(worst: Float[Tensor, " g"], threshold: float = IOU_THRESHOLD) -> Float[Tensor, " g"]:
    """1 where the worst of a group is `at` least, else 0; nan stays nan, as in the released group scores."""
    return torch.where(worst.isnan(), worst, (worst >= threshold).to(worst.dtype))


def group_auc_terms(worst: Float[Tensor, " g"], grid: AUCGrid = "integer") -> Float[Tensor, " g"]:
    """`auc_terms` of the worst of each group; nan stays nan."""
    return torch.where(worst.isnan(), worst, auc_terms(worst, grid))
