"""Contours of the regions of a map: traced in each image alone, or followed through the frames of a video."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool
from PIL import Image

from soundspot.inference.connected_components import BoxXYXY, label_components
from soundspot.inference.contours.contour import Contour
from soundspot.inference.contours.load_segmenter import load_segmenter, parse_segmenter
from soundspot.inference.contours.segmenters import VIDEO_SIDE, GrabCutSegmenter, Segmenter
from soundspot.inference.events.regions import Region, find_regions
from soundspot.inference.result import LocalizationMap
from soundspot.types import Box

CONTOURS_PER_SECOND = 5.0  # of videos
FULL_SHARE = 0.98  # of an image, from which a mask outlines nothing
BOX_SHARE = 0.97  # intersection over union with the box from which it is the box, as resizing moves edges


@runtime_checkable
class RegionSegmenter(Protocol):
    """A segmenter of the regions of an image; of a video it is called for each frame in order."""

    def segment_regions(self, image: Image.Image, boxes: Sequence[BoxXYXY]) -> list[Bool[np.ndarray, "h w"]]:
        """Segment the object in each box.

        Args:
            image: RGB image of w x h pixels.
            boxes: n boxes x0, y0, x1, y1 in pixels.

        Returns:
            n masks (h, w); those of nothing are empty.
        """
        ...


class SingleImageSegmenter:
    """A segmenter of one object at a time, for each region of an image by itself.

    The box alone is the prompt. A click at the peak as well made the contours worse on validation photographs: it is
    certain there, and the peak is not.

    Args:
        segmenter: the segmenter.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    def segment_regions(self, image: Image.Image, boxes: Sequence[BoxXYXY]) -> list[Bool[np.ndarray, "h w"]]:
        """Segment the object in each box.

        Args:
            image: RGB image of w x h pixels.
            boxes: n boxes x0, y0, x1, y1 in pixels.

        Returns:
            n masks (h, w).
        """
        corners = ([float(side) for side in box] for box in boxes)
        return [self._segmenter.segment(image, (), Box(x0, y0, x1, y1)) for x0, y0, x1, y1 in corners]


def _follow_with_sam2(weights: str, device: str) -> RegionSegmenter:
    from soundspot.inference.contours.sam2 import DEFAULT_NAME
    from soundspot.inference.contours.sam2_video import Sam2Follower

    return Sam2Follower(weights or DEFAULT_NAME, device=device)


# Of videos: name -> function that takes the name of weights and the device.
FOLLOWERS: dict[str, Callable[[str, str], RegionSegmenter]] = {
    "grabcut": lambda *_: SingleImageSegmenter(GrabCutSegmenter(VIDEO_SIDE)),
    "sam2": _follow_with_sam2,
}


class ContourTracer:
    """Trace the contours of maps; a tracer of a video has a memory, and takes the frames of that video in order.

    Args:
        name: `grabcut`, `sam2`, or `sam2:WEIGHTS` for weights of another name on the hub, or in a folder.
        is_video: whether the maps are those of the frames of a video.
        device: device of a segmenter that is a network, such as `cuda`.

    Raises:
        RecipeError: there is no such segmenter.
        InputError: what it needs is not installed, or there are no such weights.
    """

    def __init__(self, name: str, is_video: bool = False, device: str = "cpu") -> None:
        self.name, weights = parse_segmenter(name)
        if is_video and self.name in FOLLOWERS:
            self._segmenter = FOLLOWERS[self.name](weights, device)
        else:
            segmenter = load_segmenter(name, device)
            self._segmenter = segmenter if isinstance(segmenter, RegionSegmenter) else SingleImageSegmenter(segmenter)

    def trace(self, result: LocalizationMap, lowest: float | None = None) -> LocalizationMap:
        """Add the contours of its regions to a map.

        Args:
            result: the map, with its image.
            lowest: raw score that a region must reach; None: the threshold of presence, or where there is none the
                highest region alone.

        Returns:
            The map with a contour for each region, by falling score; none where the source is absent.
        """
        if lowest is None:
            lowest = result.peak if result.threshold is None else result.threshold
        return replace(result, contours=self.trace_regions(result, find_regions(result, lowest)))

    def trace_regions(self, result: LocalizationMap, regions: Sequence[Region]) -> tuple[Contour, ...]:
        """Trace the contours of some regions of a map.

        Args:
            result: the map, with its image.
            regions: regions of the map (`find_regions`).

        Returns:
            A contour for each region, in order.
        """
        assert result.image is not None, "contours are traced in an image"
        masks = self._segmenter.segment_regions(result.image, [region.box for region in regions])
        return tuple(self._make_contour(result, *pair) for pair in zip(regions, masks, strict=True))

    def _make_contour(self, result: LocalizationMap, region: Region, mask: Bool[np.ndarray, "h w"]) -> Contour:
        note = ""
        if failure := describe_failure(mask, region.box):
            note = f"The contour by {self.name} {failure}; that of the region is used."
            mask = region_mask(result, region)
        return Contour(mask, region.box, region.peak_at, self.name, note)


class FrameTracer:
    """Trace the contours of the frames of a video, in order, five times a second; frames between have the last ones.

    Args:
        name: as of `ContourTracer`.
        device: device of a segmenter that is a network.
    """

    def __init__(self, name: str, device: str) -> None:
        self._tracer = ContourTracer(name, is_video=True, device=device)
        self._time, self._contours = -math.inf, tuple[Contour, ...]()

    def trace(self, time: float, result: LocalizationMap) -> LocalizationMap:
        """Add contours to the map of the next frame.

        Args:
            time: time of the frame in seconds.
            result: its map, with its image.

        Returns:
            The map with its contours; none where the source is absent.
        """
        if result.present is False or not self._contours or time - self._time > 1 / CONTOURS_PER_SECOND - 0.01:
            self._time, self._contours = time, self._tracer.trace(result).contours
        return replace(result, contours=self._contours)


def describe_failure(mask: Bool[np.ndarray, "h w"], box: BoxXYXY) -> str:
    """Say what is wrong with a mask that outlines nothing.

    Args:
        mask: (h, w) bool.
        box: box that it was made from.

    Returns:
        `is empty`, `fills the image` or `is the box itself`; empty for a mask that can be used.

    Examples:
        >>> describe_failure(np.zeros((4, 4), bool), (0, 0, 2, 2)), describe_failure(np.eye(4) > 0, (0, 0, 2, 2))
        ('is empty', '')
    """
    if not mask.any():
        return "is empty"
    if mask.mean() >= FULL_SHARE:
        return "fills the image"
    x0, y0, x1, y1 = box
    inside, area = int(mask[y0:y1, x0:x1].sum()), (x1 - x0) * (y1 - y0)
    return "is the box itself" if inside >= BOX_SHARE * (area + int(mask.sum()) - inside) else ""


def region_mask(result: LocalizationMap, region: Region) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of a region of a map.

    Args:
        result: the map.
        region: one of its regions.

    Returns:
        (h, w) bool: the connected component of the mask that contains the region's peak; its box where rounding lost
        that.
    """
    x0, y0, x1, y1 = region.box
    x, y = region.peak_at
    labels = label_components(result.mask(region.mask_threshold).numpy())
    if labels[y, x]:
        return labels == labels[y, x]
    mask = np.zeros(result.size, bool)
    mask[y0:y1, x0:x1] = True
    return mask
