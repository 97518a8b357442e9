"""Regions of a map: connected components of its mask, each with its own peak, for several sources at once."""

from dataclasses import dataclass

import numpy as np

from soundspot.inference.connected_components import BoxXYXY, find_boxes
from soundspot.inference.result import LocalizationMap

GRID_SIDE = 192  # of the longer side of the grid that regions are found on: frames need not be upsampled in full
LINK_IOU = 0.1  # of a region's box with the box of its source in the frame before
REGION_THRESHOLD = 0.5  # of the range of a map, as of the boxes of `LocalizationMap.boxes`
RELATIVE_REGION_THRESHOLD = 0.8  # likewise of a map relative to those of other sounds, whose lowest scores are lower


@dataclass(frozen=True)
class Region:
    """A connected component of the mask of a map.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the frame, the far edges exclusive.
        peak_at: pixel (x, y) of its highest score.
        score: its highest raw score.
        mask_threshold: share of the map's range that its pixels reach.
    """

    box: BoxXYXY
    peak_at: tuple[int, int]
    score: float
    mask_threshold: float = REGION_THRESHOLD


def find_regions(result: LocalizationMap, lowest: float, mask_threshold: float = REGION_THRESHOLD) -> list[Region]:
    """Return the regions of a map whose highest score reaches a threshold, by falling score.

    They are the boxes of `result.boxes(mask_threshold)` on a grid of at most 192 cells a side.

    Args:
        result: map of a frame.
        lowest: raw score that a region must reach.
        mask_threshold: share of the map's range that pixels of a region reach.

    Returns:
        Regions; empty for silence, for a constant map, and where the peak of the map is below `lowest`.
    """
    if result.is_silent or result.is_constant or result.peak < lowest:
        return []
    height, width = result.size
    scale = min(1.0, GRID_SIDE / max(height, width))
    grid = max(1, round(height * scale)), max(1, round(width * scale))
    scores = result.upsample(grid).numpy()
    low, high = float(scores.min()), float(scores.max())
    mask = scores >= low + mask_threshold * (high - low)
    scores = np.where(mask, scores + (result.peak - high), -np.inf)  # interpolation may miss the peak
    regions = []
    for x0, y0, x1, y1 in find_boxes(mask):
        window = scores[y0:y1, x0:x1]
        if (score := float(window.max())) >= lowest - 1e-6:
            y, x = np.unravel_index(int(window.argmax()), window.shape)
            peak_at = _to_pixel(x0 + x + 0.5, width / grid[1], width), _to_pixel(y0 + y + 0.5, height / grid[0], height)
            box = (
                int(x0 * width / grid[1]),
                int(y0 * height / grid[0]),
                round(x1 * width / grid[1]),
                round(y1 * height / grid[0]),
            )
            regions.append(Region(box, peak_at, score, mask_threshold))
    return sorted(regions, key=lambda region: -region.score)


def _to_pixel(center: float, scale: float, side: int) -> int:
    return min(side - 1, int(center * scale))


def box_iou(first: BoxXYXY, second: BoxXYXY) -> float:
    """Return the intersection over union of two boxes.

    Args:
        first, second: x0, y0, x1, y1, the far edges exclusive.

    Returns:
        Share in [0, 1]; 0 for boxes that do not meet.

    Examples:
        >>> box_iou((0, 0, 4, 4), (2, 0, 6, 4))
        0.3333333333333333
    """
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return width * height / (areas - width * height)


def link_boxes(before: list[BoxXYXY], now: list[BoxXYXY]) -> dict[int, int]:
    """Link boxes of a frame to boxes of the frame before, greedily by falling intersection over union.

    Args:
        before: boxes of the frame before.
        now: boxes of the frame.

    Returns:
        Index in `now` -> index in `before`, for pairs whose intersection over union is at least 0.1.

    Examples:
        >>> link_boxes([(0, 0, 4, 4), (8, 0, 12, 4)], [(8, 1, 12, 5), (20, 20, 24, 24)])
        {0: 1}
    """
    pairs = [(box_iou(old, new), i, j) for i, new in enumerate(now) for j, old in enumerate(before)]
    links: dict[int, int] = {}
    for iou, i, j in sorted(pairs, key=lambda pair: -pair[0]):
        if iou >= LINK_IOU and i not in links and j not in links.values():
            links[i] = j
    return links
