"""Pictures that show several sources: IoU, CAP and PIAP.

Three readings. `matched_sources` is how they are published (VisualAIKHU/NoPrior_MultiSSL, train.py), for models that
give a set of maps without saying whose: maps are cut at their median, each takes the truth it fits best among those
that are left, and a cut map's AP has two steps at most. `assigned_sources` is what that should have been for objects of
any size: each map keeps as many pixels as the source that it is matched with, and the best matching counts.
`source_ap` is for models that are asked with each source's sound: the maps' own values are ranked, each against its own
truth.

CAP is a source's AP; PIAP a picture's, over the pixels of all of its sources at once. Pictures with fewer sources than
others are padded, and a mask says what is there.
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
    """`cap` (g, k) of each source, `counted` (g, k) says which enter the mean; `piap` (g,) of each picture."""

    cap: Tensor
    valid: Tensor
    piap: Tensor


class MatchedSources(NamedTuple):
    """`iou` and `cap` (g, m + k) of each map with the truth it took, then zeros for sources that no map is left for.

    `counted` (g, m + k) says which enter the means. `piap` (g,) is nan for a picture without maps, which the released
    code passes over altogether.
    """

    iou: Tensor
    cap: Tensor
    valid: Tensor
    piap: Tensor


def pad_groups(groups: Sequence[Tensor]) -> tuple[Tensor, Bool[Tensor, "g k"]]:
    """Groups of different sizes (k_i, ...) as one batch (g, k, ...), padded with zeros, and what of it is there."""
    sizes = torch.tensor([len(group) for group in groups])
    return pad_sequence(list(groups), batch_first=True), torch.arange(int(sizes.max())) < sizes[:, None]


def source_ap(
    maps: Float[Tensor, "g k h w"],
    target: Bool[Tensor, "g k h w"],
    has_source: Bool[Tensor, "g k"] | None = None,
    has_map: Bool[Tensor, "g k"] | None = None,
) -> SourceAP:
    """Pixel AP of raw maps, map i of a picture with truth i.

    Args:
        asked: which sources there are; None: all. One whose truth has not a pixel does not count.
        answered: which of them have a map; None: all. Without one, CAP is 0 and all pixels rank last.

    Returns:
        `piap` is nan for a picture without a source that counts.
    """
    counted = target.flatten(2).any(dim=2)
    counted = counted if has_source is None else counted & has_source
    if has_map is not None:
        maps = maps.masked_fill(~has_map[:, :, None, None], -torch.inf)
    cap = pixel_ap(maps.flatten(0, 1), target.flatten(0, 1)).view(counted.shape)
    cap = torch.where(counted if has_map is None else counted & has_map, cap, 0)
    piap = pixel_ap(maps, target, counted[:, :, None, None].expand_as(target))
    return SourceAP(cap, counted, torch.where(counted.any(dim=1), piap, torch.nan))


def matched_sources(
    maps: Float[Tensor, "g m h w"] | Float[Tensor, "g m k h w"],
    target: Bool[Tensor, "g k h w"],
    has_source: Bool[Tensor, "g k"] | None = None,
    has_map: Bool[Tensor, "g m"] | None = None,
    shared_image: bool = False,
) -> MatchedSources:
    """IoU, CAP and PIAP as published, quirks included.

    A truth that was taken is emptied and stays in the race with an IoU of 0, so a map that meets no truth at all takes
    the first one, emptied or not. Maps beyond the number of truths score 0.

    Args:
        maps: in the order in which the model found them. With a `k` axis, map j has a part for each truth: pictures
            were put side by side, and each part is scaled and cut by itself.
        asked: which truths there are; None: all.
        answered: which maps there are; None: all.
        together: the sources are in one picture, so PIAP is of the pixels of any of them, each once. As released, the
            sources are pictures put side by side, and each is held against a part of its own.
    """
    maps = maps if maps.ndim == 5 else maps[:, :, None]
    has_source = torch.ones_like(target[:, :, 0, 0]) if has_source is None else has_source
    has_map = maps.new_ones(maps.shape[:2], dtype=torch.bool) if has_map is None else has_map
    pred = _upper_half(maps)
    area = target.sum(dim=(-2, -1)).double()
    hit = (pred & target[:, None]).sum(dim=(-2, -1)).double()
    kept = pred.sum(dim=(-2, -1)).double().expand_as(hit)
    pixels = target[0, 0].numel() if len(target) else 1

    none = kept.new_zeros(len(maps), 0)
    iou, cap, free = [none], [none], has_source
    for j in range(maps.shape[1]):  # in the order of the maps, all pictures at once
        left = torch.where(free, area, 0), torch.where(free, hit[:, j], 0)
        overlap = left[1] / (left[0] + kept[:, j] - left[1])
        place = overlap.masked_fill(~has_source, -1).argmax(dim=1, keepdim=True)  # nan goes first, as it does in NumPy
        iou.append(overlap.gather(1, place))
        cap.append(_cut_ap(left[1], kept[:, j], left[0], pixels).gather(1, place))
        free = torch.where(has_map[:, j : j + 1], free.scatter(1, place, False), free)
    few = (has_source.sum(dim=1) - has_map.sum(dim=1)).clamp(min=0)
    missing = (torch.arange(target.shape[1], device=maps.device) < few[:, None]) & has_map.any(dim=1, keepdim=True)
    zeros = torch.zeros_like(area)
    counted = torch.cat([has_map, missing], dim=1)
    if shared_image:
        target, has_source = (
            (target & has_source[..., None, None]).any(dim=1, keepdim=True),
            has_source.any(dim=1, keepdim=True),
        )
    piap = _picture_ap(maps, target, has_source, has_map)
    return MatchedSources(torch.cat([*iou, zeros], dim=1), torch.cat([*cap, zeros], dim=1), counted, piap)


def assigned_sources(
    maps: Float[Tensor, "g m h w"],
    target: Bool[Tensor, "g k h w"],
    has_source: Bool[Tensor, "g k"] | None = None,
    has_map: Bool[Tensor, "g m"] | None = None,
) -> Float[Tensor, "g k"]:
    """IoU of each source with the map that it is matched with, which keeps as many pixels as the source has.

    Pixels that tie at the cut share the places that are left, as `corrected` has it. Each map is for one source and
    each source has one map at most: a single map for two sources finds one of them. Of all such matchings the one with
    the best total IoU counts (of equals, one that finds most), so the order of the maps has no say.

    Args:
        asked: which sources there are; None: all. One whose truth has not a pixel does not count.
        answered: which maps there are; None: all. A source without a map has an IoU of 0.

    Returns:
        float64, nan where no source counts.
    """
    counted = target.flatten(2).any(dim=2)
    counted = counted if has_source is None else counted & has_source
    has_map = maps.new_ones(maps.shape[:2], dtype=torch.bool) if has_map is None else has_map
    picture, which = has_map.nonzero(as_tuple=True)
    found, few = maps.new_zeros(*has_map.shape, counted.shape[1], dtype=torch.float64), maps[has_map]
    for k in range(counted.shape[1]):
        found[picture, which, k] = compute_overlaps(few, target[picture, k], [TARGET_AREA]).iou[0].to(maps.device)
    return torch.where(counted, assign_sources(torch.where(counted[:, None], found, 0)), torch.nan)


def assign_sources(values: Float[Tensor, "g m k"]) -> Float[Tensor, "g k"]:
    """What each of k gets when they share out m, one to one, with the best total: 0 where nothing is left for it.

    Exact, for all g at once: row by row, the best total of every set of columns that may be taken by then. Greedy
    choice would be simpler and may miss it; the 2^k sets are few, since a picture has few sources.

    Examples:
        >>> values = torch.tensor([[[0.6, 0.5], [0.9, 0.1]]])  # greedily map 0 would take source 0
        >>> assigned(values)
        tensor([[0.9000, 0.5000]])
    """
    g, m, k = values.shape
    sets = torch.arange(2**k, device=values.device)
    worth = values + 1e-9 * (values >= IOU_THRESHOLD)
    total, got = values.new_zeros(g, 2**k), values.new_zeros(g, 2**k, k)
    for row in range(m):
        before, had = total.clone(), got.clone()
        for column in range(k):
            taken = sets[(sets >> column) % 2 == 1]
            offered = before[:, taken - 2**column] + worth[:, row, column, None]
            better = offered > total[:, taken]
            given = had[:, taken - 2**column]
            given[..., column] = values[:, row, column, None]
            total[:, taken] = torch.where(better, offered, total[:, taken])
            got[:, taken] = torch.where(better[..., None], given, got[:, taken])
    return got[:, -1]


def _picture_ap(maps: Tensor, truths: Tensor, asked: Tensor, answered: Tensor) -> Float[Tensor, " g"]:
    """PIAP of the sum of a picture's maps, cut at its median in each part."""
    pred = _upper_half(torch.where(answered[:, :, None, None, None], maps, 0).sum(dim=1))
    there = asked.double()
    hit = ((pred & truths).sum(dim=(-2, -1)) * there).sum(dim=1)
    kept = (pred.sum(dim=(-2, -1)) * there).sum(dim=1)
    area = (truths.sum(dim=(-2, -1)) * there).sum(dim=1)
    pixels = there.sum(dim=1) * truths.shape[-2] * truths.shape[-1]
    return torch.where(answered.any(dim=1), _cut_ap(hit, kept, area, pixels), torch.nan)


def _cut_ap(hit: Tensor, kept: Tensor, area: Tensor, pixels: Tensor | int) -> Tensor:
    """`pixel_ap` of a map that is 1 on `kept` pixels and 0 elsewhere: one step to the hits, one to the rest."""
    recall = hit / area.clamp(min=1)
    found = recall * hit / kept.clamp(min=1) + (1 - recall) * area / pixels
    return torch.where(area > 0, found, 0)


def _upper_half(maps: Float[Tensor, "*b h w"]) -> Bool[Tensor, "*b h w"]:
    """Pixels above a map's median after min-max, and those that are 1 (its maximum, unless the map is constant)."""
    values = min_max_normalize(maps.flatten(0, -3))
    rows = values.flatten(1)
    k = rows.shape[1] // 2
    if rows.device.type == "cpu":
        median = torch.from_numpy(np.partition(rows.numpy(), k, axis=1)[:, k].copy())  # several times faster
    else:
        median = rows.kthvalue(k + 1, dim=1).values
    return ((values > median[:, None, None]) | (values >= 1)).view(maps.shape)
