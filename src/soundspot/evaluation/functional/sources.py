"""Scores of images that show several sources: IoU, CAP and PIAP.

Three readings. `matched_sources` is how they are published (VisualAIKHU/NoPrior_MultiSSL, train.py), for models that
give a set of maps without saying which source each belongs to: maps are thresholded at their median, each takes the
source it fits best among those that are left, and the AP of a thresholded map has two steps at most.
`assigned_sources` corrects this for objects of any size: each map selects as many pixels as the source that it is
matched with, and the best matching counts. `source_ap` is for models that get the audio of each source: the scores of a
map are ranked as they are, against the mask of its own source.

CAP is the AP of a source; PIAP that of an image, over the pixels of all of its sources at once. Images with fewer
sources than others are padded, and a mask says which sources are there.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from soundspot.config.upsampling import min_max_normalize
from soundspot.evaluation.functional.localization import IOU_THRESHOLD
from soundspot.evaluation.functional.pixels import pixel_ap
from soundspot.evaluation.protocols.fast_iou import compute_overlaps
from soundspot.evaluation.protocols.thresholding import TARGET_AREA


class SourceAP(NamedTuple):
    """Average precision of sources and images.

    Attributes:
        cap: (g, k) float64 pixel AP of each source (CAP); 0 for a source without a map or not valid.
        valid: (g, k) True for the sources that enter the mean.
        piap: (g,) float64 pixel AP of each image over all of its sources (PIAP); nan without a valid source.
    """

    cap: Tensor
    valid: Tensor
    piap: Tensor


class MatchedSources(NamedTuple):
    """Scores of each map with the source assigned to it, followed by zeros for sources that no map is left for.

    Attributes:
        iou: (g, m + k) float64 IoU of m maps, then zeros.
        cap: (g, m + k) float64 average precision of m maps, then zeros.
        valid: (g, m + k) True for the entries that enter the means.
        piap: (g,) float64 pixel AP of each image; nan without a map, an image that the released code leaves out.
    """

    iou: Tensor
    cap: Tensor
    valid: Tensor
    piap: Tensor


def pad_groups(groups: Sequence[Tensor]) -> tuple[Tensor, Bool[Tensor, "g k"]]:
    """Stack groups of different sizes as one batch, padded with zeros at the end.

    Args:
        groups: g tensors of shapes (k_i, ...), at least one.

    Returns:
        (g, k, ...) batch with k the largest k_i, and (g, k) mask, False for padding.
    """
    sizes = torch.tensor([len(group) for group in groups])
    return pad_sequence(list(groups), batch_first=True), torch.arange(int(sizes.max())) < sizes[:, None]


def source_ap(
    maps: Float[Tensor, "g k h w"],
    target: Bool[Tensor, "g k h w"],
    has_source: Bool[Tensor, "g k"] | None = None,
    has_map: Bool[Tensor, "g k"] | None = None,
) -> SourceAP:
    """Compute pixel AP of raw maps, map i of an image against source i.

    Args:
        maps: (g, k, h, w) raw scores of g images with up to k sources.
        target: (g, k, h, w) mask of each source.
        has_source: (g, k) False for padding; None: all sources exist. A source without a pixel does not count.
        has_map: (g, k) False for a source without a map, whose CAP is 0 and whose pixels rank last; None: all have
            maps.

    Returns:
        AP of each source, the sources that count, and AP of each image.
    """
    valid = target.flatten(2).any(dim=2)
    valid = valid if has_source is None else valid & has_source
    if has_map is not None:
        maps = maps.masked_fill(~has_map[:, :, None, None], -torch.inf)
    cap = pixel_ap(maps.flatten(0, 1), target.flatten(0, 1)).view(valid.shape)
    cap = torch.where(valid if has_map is None else valid & has_map, cap, 0)
    piap = pixel_ap(maps, target, valid[:, :, None, None].expand_as(target))
    return SourceAP(cap, valid, torch.where(valid.any(dim=1), piap, torch.nan))


def matched_sources(
    maps: Float[Tensor, "g m h w"] | Float[Tensor, "g m k h w"],
    target: Bool[Tensor, "g k h w"],
    has_source: Bool[Tensor, "g k"] | None = None,
    has_map: Bool[Tensor, "g m"] | None = None,
    shared_image: bool = False,
) -> MatchedSources:
    """Compute IoU, CAP and PIAP as published, quirks included.

    Each map is min-max scaled and thresholded at its median (pixels above it, and those of value 1), and takes, in the
    order of the maps, the source of highest IoU among those left. A source that was taken is emptied and remains a
    candidate with an IoU of 0, so a map that overlaps no source takes the first source, emptied or not. Maps beyond the
    number of sources score 0.

    Args:
        maps: (g, m, h, w) raw scores in the order in which the model returns them; or (g, m, k, h, w), where images
            were put side by side and map j has a segment for each source, scaled and thresholded separately.
        target: (g, k, h, w) mask of each source.
        has_source: (g, k) False for padding; None: all sources exist.
        has_map: (g, m) False for padding; None: all maps exist.
        shared_image: True: the sources are in one image, and PIAP is over the pixels of their union. False, as
            released: the sources are images put side by side, and each is compared with its own segment.

    Returns:
        Scores of the m maps, zeros for sources that no map is left for, and PIAP of each image.
    """
    maps = maps if maps.ndim == 5 else maps[:, :, None]
    has_source = torch.ones_like(target[:, :, 0, 0]) if has_source is None else has_source
    has_map = maps.new_ones(maps.shape[:2], dtype=torch.bool) if has_map is None else has_map
    preds = _upper_half(maps)
    area = target.sum(dim=(-2, -1)).double()
    intersection = (preds & target[:, None]).sum(dim=(-2, -1)).double()
    pred_area = preds.sum(dim=(-2, -1)).double().expand_as(intersection)
    pixels = target[0, 0].numel() if len(target) else 1

    empty = pred_area.new_zeros(len(maps), 0)
    iou, cap, is_free = [empty], [empty], has_source
    for j in range(maps.shape[1]):  # in the order of the maps, all images at once
        free_area, hits = torch.where(is_free, area, 0), torch.where(is_free, intersection[:, j], 0)
        overlap = hits / (free_area + pred_area[:, j] - hits)
        source = overlap.masked_fill(~has_source, -1).argmax(dim=1, keepdim=True)  # nan goes first, as it does in NumPy
        iou.append(overlap.gather(1, source))
        cap.append(_binary_ap(hits, pred_area[:, j], free_area, pixels).gather(1, source))
        is_free = torch.where(has_map[:, j : j + 1], is_free.scatter(1, source, False), is_free)
    num_missing = (has_source.sum(dim=1) - has_map.sum(dim=1)).clamp(min=0)
    missing = torch.arange(target.shape[1], device=maps.device) < num_missing[:, None]
    valid = torch.cat([has_map, missing & has_map.any(dim=1, keepdim=True)], dim=1)
    if shared_image:
        target = (target & has_source[..., None, None]).any(dim=1, keepdim=True)
        has_source = has_source.any(dim=1, keepdim=True)
    zeros = torch.zeros_like(area)
    piap = _image_ap(maps, target, has_source, has_map)
    return MatchedSources(torch.cat([*iou, zeros], dim=1), torch.cat([*cap, zeros], dim=1), valid, piap)


def assigned_sources(
    maps: Float[Tensor, "g m h w"],
    target: Bool[Tensor, "g k h w"],
    has_source: Bool[Tensor, "g k"] | None = None,
    has_map: Bool[Tensor, "g m"] | None = None,
) -> Float[Tensor, "g k"]:
    """Compute the IoU of each source with the map assigned to it, which selects as many pixels as the source has.

    Pixels that tie at the threshold each count for the same fraction, so that exactly that number is selected, as in
    the protocol `corrected`. Each map is assigned to at most one source and vice versa: a single map for two sources
    locates one of them. The assignment has the highest total IoU (of equals, the most sources located), so the order of
    the maps does not matter.

    Args:
        maps: (g, m, h, w) raw scores.
        target: (g, k, h, w) mask of each source.
        has_source: (g, k) False for padding; None: all sources exist. A source without a pixel does not count.
        has_map: (g, m) False for padding; None: all maps exist.

    Returns:
        (g, k) float64 IoU; 0 for a source without a map, nan for a source that does not count.
    """
    valid = target.flatten(2).any(dim=2)
    valid = valid if has_source is None else valid & has_source
    has_map = maps.new_ones(maps.shape[:2], dtype=torch.bool) if has_map is None else has_map
    group, index = has_map.nonzero(as_tuple=True)
    iou, present = maps.new_zeros(*has_map.shape, valid.shape[1], dtype=torch.float64), maps[has_map]
    for k in range(valid.shape[1]):
        iou[group, index, k] = compute_overlaps(present, target[group, k], [TARGET_AREA]).iou[0].to(maps.device)
    return torch.where(valid, assign_sources(torch.where(valid[:, None], iou, 0)), torch.nan)


def assign_sources(values: Float[Tensor, "g m k"]) -> Float[Tensor, "g k"]:
    """Assign m maps to k sources, one to one, with the highest total value.

    The solution is exact, for all g at once, by dynamic programming over the 2^k sets of sources; k is small, since an
    image has few sources. Of equal totals, the assignment with the most values >= 0.5 is taken.

    Args:
        values: (g, m, k) non-negative value of each map with each source, such as their IoU.

    Returns:
        (g, k) value assigned to each source; 0 where no map is left for it.

    Examples:
        >>> values = torch.tensor([[[0.6, 0.5], [0.9, 0.1]]])  # greedily map 0 would take source 0
        >>> assign_sources(values)
        tensor([[0.9000, 0.5000]])
    """
    g, m, k = values.shape
    sets = torch.arange(2**k, device=values.device)
    gain = values + 1e-9 * (values >= IOU_THRESHOLD)
    total, assigned = values.new_zeros(g, 2**k), values.new_zeros(g, 2**k, k)
    for row in range(m):
        previous_total, previous = total.clone(), assigned.clone()
        for column in range(k):
            taken = sets[(sets >> column) % 2 == 1]
            new_total = previous_total[:, taken - 2**column] + gain[:, row, column, None]
            better = new_total > total[:, taken]
            candidate = previous[:, taken - 2**column]
            candidate[..., column] = values[:, row, column, None]
            total[:, taken] = torch.where(better, new_total, total[:, taken])
            assigned[:, taken] = torch.where(better[..., None], candidate, assigned[:, taken])
    return assigned[:, -1]


def _image_ap(maps: Tensor, target: Tensor, has_source: Tensor, has_map: Tensor) -> Float[Tensor, " g"]:
    """Compute PIAP of the sum of the maps of an image, thresholded at its median in each segment."""
    preds = _upper_half(torch.where(has_map[:, :, None, None, None], maps, 0).sum(dim=1))
    weight = has_source.double()
    intersection, pred_area, area = (
        (mask.sum(dim=(-2, -1)) * weight).sum(dim=1) for mask in (preds & target, preds, target)
    )
    pixels = weight.sum(dim=1) * target.shape[-2] * target.shape[-1]
    return torch.where(has_map.any(dim=1), _binary_ap(intersection, pred_area, area, pixels), torch.nan)


def _binary_ap(intersection: Tensor, pred_area: Tensor, area: Tensor, pixels: Tensor | int) -> Tensor:
    """Compute `pixel_ap` of a map of 0 and 1: one step to the pixels that are 1, one to the rest."""
    recall = intersection / area.clamp(min=1)
    ap = recall * intersection / pred_area.clamp(min=1) + (1 - recall) * area / pixels
    return torch.where(area > 0, ap, 0)


def _upper_half(maps: Float[Tensor, "*b h w"]) -> Bool[Tensor, "*b h w"]:
    """Select pixels above the median of a map after min-max, and those at 1 (its maximum, unless it is constant)."""
    values = min_max_normalize(maps.flatten(0, -3))
    rows = values.flatten(1)
    k = rows.shape[1] // 2
    if rows.device.type == "cpu":
        median = torch.from_numpy(np.partition(rows.numpy(), k, axis=1)[:, k].copy())  # several times faster
    else:
        median = rows.kthvalue(k + 1, dim=1).values
    return ((values > median[:, None, None]) | (values >= 1)).view(maps.shape)
