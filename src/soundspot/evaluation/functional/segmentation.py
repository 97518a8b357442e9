"""Segmentation scores: IoU and F-measures against masks.

F-measures weigh precision by beta^2 = 0.3. `mask_iou`, `f_curve` and `max_f` follow the released evaluator of
OpenNLPLab/AVSBench 4d4c9010; the F-score at a single threshold is what the segmentation tables of sound localization
print.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soundspot.evaluation.functional.localization import IOU_THRESHOLD

BETA_SQUARED = 0.3
NUM_THRESHOLDS = 255
CHUNK_SIZE = 16  # maps at a time


class PixelCounts(NamedTuple):
    """Numbers of pixels of each sample, (b,) float64.

    Attributes:
        intersection: sum of prediction times target.
        pred_area: sum of the prediction.
        target_area: sum of the target.
    """

    intersection: Tensor
    pred_area: Tensor
    target_area: Tensor


def pixel_counts(
    preds: Bool[Tensor, "b h w"] | Float[Tensor, "b h w"], target: Bool[Tensor, "b h w"] | Float[Tensor, "b h w"]
) -> PixelCounts:
    """Count the pixels that `f_score` needs.

    Args:
        preds: (b, h, w) predicted pixels: True or False, or a weight in [0, 1] for each pixel.
        target: (b, h, w) ground truth in [0, 1].

    Returns:
        Sums over pixels of the intersection, the prediction and the target, each (b,) float64.
    """
    preds, target = preds.double().flatten(1), target.double().flatten(1)
    return PixelCounts((preds * target).sum(dim=1), preds.sum(dim=1), target.sum(dim=1))


def f_score(
    intersection: Float[Tensor, "*b"],
    pred_area: Float[Tensor, "*b"],
    target_area: Float[Tensor, "*b"],
    beta_squared: float = BETA_SQUARED,
) -> Float[Tensor, "*b"]:
    """Compute (1 + beta^2) P R / (beta^2 P + R) of precision P and recall R.

    Args:
        intersection: number of pixels in both prediction and target, of any shape.
        pred_area: number of predicted pixels, of the same shape.
        target_area: number of target pixels, of the same shape.
        beta_squared: weight of recall relative to precision; below 1, precision counts more.

    Returns:
        Scores of the same shape and dtype; 0 where the intersection is empty, nan where the target is.

    Examples:
        >>> intersection, pred_area, target_area = torch.tensor([8.0]), torch.tensor([10.0]), torch.tensor([16.0])
        >>> f_score(intersection, pred_area, target_area)  # precision 0.8 weighs more than recall 0.5
        tensor([0.7027])
        >>> f_score(intersection, pred_area, target_area, beta_squared=1.0)
        tensor([0.6154])
    """
    return torch.where(
        target_area > 0,
        (intersection + beta_squared * intersection) / (pred_area + beta_squared * target_area),
        torch.nan,
    )


def mask_iou(logits: Float[Tensor, "b h w"], masks: Bool[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """Compute AVSBench's IoU of [sigmoid > 0.5] with the mask.

    The denominator is 1e-7 larger, as released. Float32 logits next to 0 have a sigmoid of exactly 0.5, and are not
    predicted.

    Args:
        logits: (b, h, w) maps of logits.
        masks: (b, h, w) masks of objects.

    Returns:
        (b,) float64; for an empty mask, the share of pixels that are not predicted.
    """
    preds = logits.sigmoid() > IOU_THRESHOLD
    intersection, union = (mask.sum(dim=(1, 2)).double() for mask in (preds & masks, preds | masks))
    pixels = float(masks[0].numel()) if len(masks) else 1.0
    empty = ~masks.flatten(1).any(dim=1)
    return torch.where(empty, pixels - union, intersection) / (torch.where(empty, pixels, union) + 1e-7)


def f_curve(
    probabilities: Float[Tensor, "b h w"], masks: Bool[Tensor, "b h w"], beta_squared: float = BETA_SQUARED
) -> Float[Tensor, "b t"]:
    """Compute AVSBench's F-score at 255 evenly spaced thresholds from 0 to 1.

    Args:
        probabilities: (b, h, w) maps in [0, 1], compared (`>=`) in their own precision.
        masks: (b, h, w) masks of objects.
        beta_squared: weight of recall relative to precision; below 1, precision counts more.

    Returns:
        (b, 255) float64: 0 where no pixel is selected or none of the selected is in the mask; rows of nan for masks
        without a pixel.
    """
    thresholds = torch.linspace(0, 1 - 1e-10, NUM_THRESHOLDS, dtype=probabilities.dtype, device=probabilities.device)
    curves = [probabilities.new_zeros(0, NUM_THRESHOLDS, dtype=torch.float64)]
    for values, target in zip(
        probabilities.flatten(1).split(CHUNK_SIZE), masks.flatten(1).split(CHUNK_SIZE), strict=True
    ):
        selected, hits, area = _count_reaching(values, target, thresholds)
        precision, recall = hits / (selected + 1e-20), hits / (area + 1e-20)
        curve = ((1 + beta_squared) * precision * recall / (beta_squared * precision + recall)).nan_to_num(0)
        curves.append(torch.where(area > 0, curve, torch.nan))
    return torch.cat(curves)


def max_f(curves: Float[Tensor, "n t"], batch_index: Int[Tensor, " n"] | None = None) -> Float[Tensor, ""]:
    """Compute the maximum over thresholds of the mean F-score curve of the samples whose mask has pixels.

    Args:
        curves: (n, t) F-scores of each sample at t thresholds (`f_curve`); rows of nan for empty masks.
        batch_index: (n,) number of the batch that the released evaluation has each sample in (by its default, the
            frames of a video): each batch has its own threshold, and the result is the mean of the batches' maxima, 0
            for a batch whose masks are all empty. None: one threshold for all samples.

    Returns:
        Scalar of the dtype of `curves`; nan where no mask has pixels and `batch_index` is None.
    """
    has_mask = ~curves[:, 0].isnan()
    if batch_index is None:
        return curves[has_mask].mean(dim=0).amax()
    names, index = batch_index.unique(return_inverse=True)
    sums = curves.new_zeros(len(names), curves.shape[1]).index_add_(0, index[has_mask], curves[has_mask])
    sizes = torch.bincount(index[has_mask], minlength=len(names)).clamp(min=1)
    return (sums / sizes[:, None]).amax(dim=1).mean()


def _count_reaching(
    values: Float[Tensor, "b n"], masks: Bool[Tensor, "b n"], thresholds: Float[Tensor, " t"]
) -> tuple[Float[Tensor, "b t"], Float[Tensor, "b t"], Float[Tensor, "b 1"]]:
    """Count values of each row that reach each of t evenly spaced thresholds, those of them in the mask, and the mask.

    The number of thresholds that a value reaches follows from their spacing, and from a search where the value is so
    near to one of them that rounding matters: one histogram in place of a pass for each threshold.
    """
    t = len(thresholds)
    scaled = (values * (t - 1)).clamp_(-1, t).add_(1)
    level = scaled.to(torch.int16)
    fraction = scaled.sub_(level)
    near = ((fraction < 1e-3) | (fraction > 1 - 1e-3)).flatten().nonzero()[:, 0]
    level.view(-1)[near] = torch.searchsorted(thresholds, values.flatten()[near], right=True).short()
    bins = level.mul_(2).add_(masks)
    histogram = torch.stack([torch.bincount(row, minlength=2 * t + 4) for row in bins]).view(-1, t + 2, 2)
    reaching = histogram.flip(1).cumsum(dim=1).flip(1)[:, : t + 1].double()
    return reaching[:, 1:].sum(dim=2), reaching[:, 1:, 1], reaching[:, :1, 1]
