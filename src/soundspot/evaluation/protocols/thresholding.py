"""Which pixels of a map count as predicted: the rules, written for reading. `fast_iou` computes the same faster.

The released codes select "the top half" or "as many pixels as the object has", and differ in what happens at the
threshold; each dialect is a `ThresholdRule`. A threshold by rank is the value of the pixel at a rank of the sorted map,
so pixels that tie with it are all selected or all dropped; only `share` selects exactly the wanted number.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.config.upsampling import min_max_normalize

Ties = Literal["drop", "keep", "fill", "share"]
Scaling = Literal["none", "forward", "mirrored", "sigmoid"]
Masks: TypeAlias = Bool[Tensor, "b h w"]
Target: TypeAlias = Bool[Tensor, "b h w"] | Float[Tensor, "b h w"]


@dataclass(frozen=True)
class ThresholdRule:
    """Rule that selects the highest pixels of a map, and treats pixels that tie with the last of them.

    Attributes:
        keep: number of pixels, `half` of the image or `target` (as many as the target has; half where it has none), or
            a value that selected pixels reach.
        ties: `drop`: pixels above the threshold, the `>` of the released codes (one pixel fewer than wanted, and all
            its equals); `keep`: `>=`; `fill`: `>`, but pixels of at least 1 (the maximum after min-max) always count,
            as in LVS; `share`: the pixels that tie divide the remaining number evenly, each counting for a fraction, so
            that exactly the wanted number is selected whatever the order of pixels, and a constant map scores what a
            random map scores on average. With a value for `keep`, only `drop` and `keep` apply.
    """

    keep: Literal["half", "target"] | float
    ties: Ties


TARGET_AREA = ThresholdRule("target", "share")  # exactly as many pixels as the object has


class MapOverlap(NamedTuple):
    """Overlap of selected pixels and targets: float64 numbers, one for each map (b,), or for each rule and map (r, b).

    Attributes:
        intersection: sum of the target over the selected pixels.
        false_positives: number of selected pixels where the target is exactly 0.
        target_area: sum of the target over all pixels.
    """

    intersection: Tensor
    false_positives: Tensor
    target_area: Tensor

    @property
    def iou(self) -> Tensor:
        """Intersection / (target area + false positives); nan where neither mask has a pixel."""
        return self.intersection / (self.target_area + self.false_positives)

    @property
    def pred_area(self) -> Tensor:
        """Number of selected pixels, correct where targets are 0 or 1."""
        return self.intersection + self.false_positives


def scale_maps(maps: Float[Tensor, "b h w"], scaling: Scaling) -> Float[Tensor, "b h w"]:
    """Scale maps before a threshold, by their own range or by a sigmoid.

    Args:
        maps: (b, h, w) raw scores.
        scaling: `none`: unchanged; `forward`: (x - min) / (max - min) of each map, a constant map stays as it is;
            `mirrored`: 1 - forward(-x), a constant map c becomes 1 + c (the two also differ in rounding); `sigmoid`.

    Returns:
        (b, h, w) scaled maps, in [0, 1] unless `none` or constant.
    """
    if scaling == "none":
        return maps
    if scaling == "sigmoid":
        return maps.sigmoid()
    return min_max_normalize(maps) if scaling == "forward" else 1 - min_max_normalize(-maps)


def count_selected(target: Target, rule: ThresholdRule) -> Float[Tensor, " b"]:
    """Compute the number of pixels that a rule by rank should select of each map.

    Args:
        target: (b, h, w) ground truth; its pixels other than 0 are its area.
        rule: a rule whose `keep` is `half` or `target`.

    Returns:
        (b,) float64 numbers of pixels; with `half`, not whole where the image has an odd number of pixels. With
        `target`, an empty target gives half of the pixels, rounded down.
    """
    assert isinstance(rule.keep, str), "a fixed threshold selects no fixed number of pixels"
    pixels = target[0].numel()
    half = torch.full((len(target),), pixels / 2, dtype=torch.float64, device=target.device)
    if rule.keep == "half":
        return half
    area = (target != 0).sum(dim=(1, 2)).double()
    return torch.where(area > 0, area, float(pixels // 2))


def split_ties(
    maps: Float[Tensor, "b h w"], target: Target, rule: ThresholdRule
) -> tuple[Masks, Masks, Float[Tensor, " b"]]:
    """Divide the pixels of scaled maps into those that count fully, those that tie, and the rest.

    Args:
        maps: (b, h, w) scaled scores.
        target: (b, h, w) ground truth; only its area is used, and only by a rule that keeps the target's area.
        rule: rule that selects pixels.

    Returns:
        (b, h, w) mask of the pixels that count fully, (b, h, w) mask of those that tie, and (b,) float64 fraction that
        each of the latter counts for. Only `share` has pixels that tie.
    """
    no_ties, no_share = torch.zeros_like(maps, dtype=torch.bool), torch.zeros(len(maps), dtype=torch.float64)
    if not isinstance(rule.keep, str):
        assert rule.ties in ("drop", "keep"), "no rank, so nothing to share"
        return (maps >= rule.keep if rule.ties == "keep" else maps > rule.keep), no_ties, no_share
    num_selected = count_selected(target, rule)
    ordered = _sort_rows(maps.flatten(1))
    ranks = ordered.shape[1] - num_selected.ceil().long()  # ascending: floor(pixels / 2), or pixels - area
    threshold = ordered.gather(1, ranks[:, None])[:, :, None]
    above = maps > threshold
    if rule.ties == "keep":
        return maps >= threshold, no_ties, no_share
    if rule.ties == "fill":
        return above | (maps >= 1), no_ties, no_share
    if rule.ties == "drop":
        return above, no_ties, no_share
    tied = maps == threshold
    return above, tied, (num_selected - above.sum(dim=(1, 2))) / tied.sum(dim=(1, 2))


def select_pixels(maps: Float[Tensor, "b h w"], target: Target, rule: ThresholdRule) -> Float[Tensor, "b h w"]:
    """Compute how much each pixel of scaled maps counts as predicted.

    Args:
        maps: (b, h, w) scaled scores.
        target: (b, h, w) ground truth; only its area is used, and only by a rule that keeps the target's area.
        rule: rule that selects pixels.

    Returns:
        (b, h, w) float64 in [0, 1]: 0 or 1, and fractions where pixels tie under `share`.

    Examples:
        >>> maps, target = torch.ones(1, 2, 2), torch.tensor([[[True, False], [False, False]]])
        >>> select_pixels(maps, target, ThresholdRule("target", "share"))  # four pixels tie, one is wanted
        tensor([[[0.2500, 0.2500],
                 [0.2500, 0.2500]]], dtype=torch.float64)
        >>> select_pixels(maps, target, ThresholdRule("target", "keep")).sum()  # as released: all of them
        tensor(4., dtype=torch.float64)
    """
    selected, tied, share = split_ties(maps, target, rule)
    return selected.double() + tied * share[:, None, None]


def compute_overlap(maps: Float[Tensor, "b h w"], target: Target, rule: ThresholdRule) -> MapOverlap:
    """Compute the overlap of the pixels that a rule selects with the targets, to the same bit in a batch of any size.

    Args:
        maps: (b, h, w) scaled scores.
        target: (b, h, w) ground truth in [0, 1].
        rule: rule that selects pixels.

    Returns:
        Intersection, false positives and target area in pixels, each (b,) float64.
    """
    selected, tied, share = split_ties(maps, target, rule)
    weights, spatial = target.float(), (1, 2)
    intersection, false_positives = (
        (selected * values).sum(spatial, dtype=torch.float64)
        + share * (tied * values).sum(spatial, dtype=torch.float64)
        for values in (weights, target == 0)
    )
    return MapOverlap(intersection, false_positives, weights.sum(spatial, dtype=torch.float64))


def _sort_rows(rows: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Sort each row in ascending order; on the CPU by NumPy, whose sort is vectorized (several times faster here)."""
    return torch.from_numpy(np.sort(rows.numpy(), axis=1)) if rows.device.type == "cpu" else rows.sort(dim=1).values
