"""How exactly: scores against masks.

F-measures weigh precision by beta^2 = 0.3. `mask_iou`, `f_curve` and `max_f` follow OpenNLPLab/AVSBench 4d4c9010; the
F-score at a single cut is what the segmentation tables of sound localisation print.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soundspot.evaluation.functional.localization import IOU_THRESHOLD
from soundspot.evaluation.functional.pixels import sort_rows

BETA_SQUARED = 0.3
NUM_THRESHOLDS = 255
CHUNK_SIZE = 64  # maps at a time


class PixelCounts(NamedTuple):
    """Pixels, float64 per sample: in both, in the prediction, in the truth."""

    intersection: Tensor
    pred_area: Tensor
    target_area: Tensor


def pixel_counts(
    preds: Bool[Tensor, "b h w"] | Float[Tensor, "b h w"], target: Bool[Tensor, "b h w"] | Float[Tensor, "b h w"]
) -> PixelCounts:
    """What `f_score` asks for; predictions and truths may count pixels by fractions."""
    preds, target = preds.double().flatten(1), target.double().flatten(1)
    return PixelCounts((preds * target).sum(dim=1), preds.sum(dim=1), target.sum(dim=1))


def f_score(
    intersection: Float[Tensor, "*b"],
    pred_area: Float[Tensor, "*b"],
    target_area: Float[Tensor, "*b"],
    beta_squared: float = BETA_SQUARED,
) -> Float[Tensor, "*b"]:
    """(1 + beta^2) P R / (beta^2 P + R) at a single cut, 0 where nothing is hit; nan where the truth has no pixel.

    Examples:
        >>> hit, kept, area = torch.tensor([8.0]), torch.tensor([10.0]), torch.tensor([16.0])
        >>> f_score(hit, kept, area)  # precision 0.8 weighs more than recall 0.5
        tensor([0.7027])
        >>> f_score(hit, kept, area, beta2=1.0)
        tensor([0.6154])
    """
    return torch.where(
        target_area > 0,
        (intersection + beta_squared * intersection) / (pred_area + beta_squared * target_area),
        torch.nan,
    )


def mask_iou(logits: Float[Tensor, "b h w"], masks: Bool[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """AVSBench's IoU of [sigmoid > 0.5] with the mask; an empty mask is scored by its background.

    That is the share of its pixels that are not predicted. The denominator is 1e-7 larger, as released. Float32
    logits next to 0 have a sigmoid of exactly 0.5, and are not predicted.
    """
    pred = logits.sigmoid() > IOU_THRESHOLD
    inter, union = (some.sum(dim=(1, 2)).double() for some in (pred & masks, pred | masks))
    pixels = float(masks[0].numel()) if len(masks) else 1.0
    empty = ~masks.flatten(1).any(dim=1)
    return torch.where(empty, pixels - union, inter) / (torch.where(empty, pixels, union) + 1e-7)


def f_curve(
    probabilities: Float[Tensor, "b h w"], masks: Bool[Tensor, "b h w"], beta_squared: float = BETA_SQUARED
) -> Float[Tensor, "b t"]:
    """AVSBench's F at 255 thresholds from 0 to 1 (`>=`); a row is nan where the mask has no pixel.

    Where nothing is kept, or nothing hit, F is 0. The comparisons are those of 255 passes, in the maps' own precision.
    """
    thresholds = torch.linspace(0, 1 - 1e-10, NUM_THRESHOLDS, dtype=probabilities.dtype, device=probabilities.device)
    curves = [probabilities.new_zeros(0, NUM_THRESHOLDS, dtype=torch.float64)]
    for maps, truths in zip(
        probabilities.flatten(1).split(CHUNK_SIZE), masks.flatten(1).split(CHUNK_SIZE), strict=True
    ):
        kept = _reaching(maps, thresholds).double()
        hit = _reaching(maps.masked_fill(~truths, -torch.inf), thresholds).double()
        area = truths.sum(dim=1, keepdim=True).double()
        precision, recall = hit / (kept + 1e-20), hit / (area + 1e-20)
        curve = ((1 + beta_squared) * precision * recall / (beta_squared * precision + recall)).nan_to_num(0)
        curves.append(torch.where(area > 0, curve, torch.nan))
    return torch.cat(curves)


def max_f(curves: Float[Tensor, "n t"], batch_index: Int[Tensor, " n"] | None = None) -> Float[Tensor, ""]:
    """The highest value of the mean curve, over the samples whose mask has pixels; nan without any.

    Args:
        batches: which batch of the released evaluation a sample is in (its default: the frames of one video). Each
            then chooses a threshold of its own, counts once, and as 0 where all of its masks are empty.
    """
    some = ~curves[:, 0].isnan()
    if batch_index is None:
        return curves[some].mean(dim=0).amax()
    names, which = batch_index.unique(return_inverse=True)
    sums = curves.new_zeros(len(names), curves.shape[1]).index_add_(0, which[some], curves[some])
    sizes = torch.bincount(which[some], minlength=len(names)).clamp(min=1)
    return (sums / sizes[:, None]).amax(dim=1).mean()


def _reaching(rows: Float[Tensor, "b n"], thresholds: Float[Tensor, " t"]) -> Int[Tensor, "b t"]:
    """How many values of each row are a threshold at least: one sort instead of a pass for each threshold."""
    ordered = sort_rows(rows)
    return rows.shape[1] - torch.searchsorted(ordered, thresholds.expand(len(rows), -1).contiguous())
