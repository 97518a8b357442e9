"""Which pixels of a map count as predicted: the rules, written for reading. `overlap.py` computes the same faster.

The released codes keep "the top half" or "as many pixels as the object has", and differ in what happens at the
threshold; each dialect is a `Cut`. Here a threshold is the value of the pixel at some rank of the sorted map, so pixels
that tie with it are all kept or all dropped; only `share` keeps exactly as many as asked for.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soundspot.config.upsampling import min_max_normalize

Ties = Literal["drop", "keep", "fill", "share"]
Scaling = Literal["none", "forward", "mirrored", "sigmoid"]
Masks: TypeAlias = Bool[Tensor, "b h w"]
Target: TypeAlias = Bool[Tensor, "b h w"] | Float[Tensor, "b h w"]


@dataclass(frozen=True)
class ThresholdRule:
    """How many of the highest pixels are kept, and what becomes of those that tie with the last one.

    Attributes:
        places: `half` of the picture, `truth` (as many as the truth has pixels; half where it has none), or a number:
            the pixels that score at least this much.
        ties: `drop` is the `>` of the released codes (one pixel fewer than asked for, and all its equals), `keep` is
            `>=`, `fill` is `>` but the highest value of all (1 after min-max) always counts, as LVS has it.
            `share` splits the places that are left evenly among the pixels that tie, each counting for a fraction. It
            keeps exactly as many as asked for, depends on no order of pixels, and a constant map gets what a random
            map gets on average, no more.
    """

    keep: Literal["half", "truth"] | float
    ties: Ties


TARGET_AREA = ThresholdRule("truth", "share")  # exactly as many pixels as the object has


def scale_maps(maps: Float[Tensor, "b h w"], scaling: Scaling) -> Float[Tensor, "b h w"]:
    """Maps brought to [0, 1]: by their own range in one of two published float forms, or as logits.

    `forward`: (x - min) / (max - min), a constant c stays c. `mirrored`: 1 - forward(-x), a constant c becomes 1 + c.
    They differ in rounding and for constant maps.
    """
    if scaling == "none":
        return maps
    if scaling == "sigmoid":
        return maps.sigmoid()
    return min_max_normalize(maps) if scaling == "forward" else 1 - min_max_normalize(-maps)


def count_selected(target: Target, rule: ThresholdRule) -> Float[Tensor, " b"]:
    """How many pixels a cut by rank should keep, float64; half a pixel is possible where their number is odd."""
    assert isinstance(rule.keep, str), "a fixed threshold keeps no fixed number of pixels"
    pixels = target[0].numel()
    half = torch.full((len(target),), pixels / 2, dtype=torch.float64, device=target.device)
    if rule.keep == "half":
        return half
    area = (target != 0).sum(dim=(1, 2)).double()
    return torch.where(area > 0, area, float(pixels // 2))


def threshold_ranks(num_selected: Float[Tensor, " b"], num_pixels: int) -> Int[Tensor, " b"]:
    """Where the threshold stands in the ascending order of a map: floor(pixels / 2), or pixels - area."""
    return num_pixels - num_selected.ceil().long()


def split_ties(
    maps: Float[Tensor, "b h w"], target: Target, rule: ThresholdRule
) -> tuple[Masks, Masks, Float[Tensor, " b"]]:
    """What is kept of (already scaled) maps: pixels that count, pixels that tie, and for how much each of those counts.

    The truths matter for a cut by their area, and give nothing else away.
    """
    none, nothing = torch.zeros_like(maps, dtype=torch.bool), torch.zeros(len(maps), dtype=torch.float64)
    if not isinstance(rule.keep, str):
        assert rule.ties in ("drop", "keep"), "no rank, so nothing to share"
        return (maps >= rule.keep if rule.ties == "keep" else maps > rule.keep), none, nothing
    wanted = count_selected(target, rule)
    ordered = _sorted(maps.flatten(1))
    threshold = ordered.gather(1, threshold_ranks(wanted, ordered.shape[1])[:, None])[:, :, None]
    above = maps > threshold
    if rule.ties == "keep":
        return maps >= threshold, none, nothing
    if rule.ties == "fill":
        return above | (maps >= 1), none, nothing
    if rule.ties == "drop":
        return above, none, nothing
    tied = maps == threshold
    return above, tied, (wanted - above.sum(dim=(1, 2))) / tied.sum(dim=(1, 2))


def select_pixels(maps: Float[Tensor, "b h w"], target: Target, rule: ThresholdRule) -> Float[Tensor, "b h w"]:
    """How much each pixel of (already scaled) maps counts as predicted: 0 or 1, and fractions where ties share.

    Examples:
        >>> maps, truths = torch.ones(1, 2, 2), torch.tensor([[[True, False], [False, False]]])
        >>> selected(maps, truths, Cut("truth", "share"))  # four pixels tie for one place
        tensor([[[0.2500, 0.2500],
                 [0.2500, 0.2500]]], dtype=torch.float64)
        >>> selected(maps, truths, Cut("truth", "keep")).sum()  # as released: all of them
        tensor(4., dtype=torch.float64)
    """
    sure, tied, share = split_ties(maps, target, rule)
    return sure.double() + tied * share[:, None, None]


@dataclass(frozen=True)
class MapOverlap:
    """What predicted pixels and true ones have in common, float64, one number for each map (and cut, (r, b)).

    Attributes:
        hit: sum of the truth over the predicted pixels.
        spill: predicted pixels where the truth is exactly 0.
        area: sum of the truth.
    """

    intersection: Tensor
    false_positives: Tensor
    target_area: Tensor

    @property
    def iou(self) -> Tensor:
        """As `functional.iou`; nan where neither prediction nor truth has a pixel."""
        return self.intersection / (self.target_area + self.false_positives)

    @property
    def pred_area(self) -> Tensor:
        """Predicted pixels, where truths are 0 or 1."""
        return self.intersection + self.false_positives


def compute_overlap(maps: Float[Tensor, "b h w"], target: Target, rule: ThresholdRule) -> MapOverlap:
    """Overlap of `selected` with the truths, summed so that it does not depend on the batch even in the last bit."""
    sure, tied, share = split_ties(maps, target, rule)
    soft, where = target.float(), (1, 2)
    hit, spill = (
        (sure * values).sum(where, dtype=torch.float64) + share * (tied * values).sum(where, dtype=torch.float64)
        for values in (soft, target == 0)
    )
    return MapOverlap(hit, spill, soft.sum(where, dtype=torch.float64))


def _sorted(rows: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Each row in ascending order; on the CPU by NumPy, whose sort is vectorised (20 times torch's speed here)."""
    return torch.from_numpy(np.sort(rows.numpy(), axis=1)) if rows.device.type == "cpu" else rows.sort(dim=1).values
