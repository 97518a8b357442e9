"""Segmenters: clicks and a box become the mask of one object. `grabcut` needs no model and no network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from soundspot.errors import InputError
from soundspot.types import Box

BACKGROUND, FOREGROUND, MAYBE_BACKGROUND, MAYBE_FOREGROUND = range(4)  # values of GrabCut's mask
ITERATIONS = 5
MAX_SIDE = 512  # pixels of the longer side that GrabCut works on
VIDEO_SIDE = 256  # likewise of the frames of a video, five times as fast
CLICK_RADIUS = 4  # pixels around a click that are certain
NEAR, FAR = 0.25, 0.375  # of the height: probably object around a click; certainly background beyond
RANDOM_SEED = 0  # of OpenCV's clusters of colors


@dataclass(frozen=True)
class Click:
    """A click on an image.

    Attributes:
        x, y: position in pixels of the image.
        is_object: True on the object, False on the background.
    """

    x: float | int
    y: float | int
    is_object: bool = True


@runtime_checkable
class Segmenter(Protocol):
    """A segmenter of one object at a time.

    Attributes:
        name: name that the journal stores.
    """

    name: str

    def segment(self, image: Image.Image, clicks: Sequence[Click], box: Box | None) -> Bool[np.ndarray, "h w"]:
        """Segment an object.

        Args:
            image: RGB image of w x h pixels.
            clicks: clicks on the object and on the background.
            box: box around the object in pixels of the image; None: no box.

        Returns:
            (h, w) bool mask; empty without a box and without a click on the object.
        """
        ...


class GrabCutSegmenter:
    """GrabCut of OpenCV (Rother et al., SIGGRAPH 2004; extra `flow`): colors of object and background, and edges.

    The same input always gives the same mask.

    Args:
        max_side: pixels of the longer side that it works on; time grows with their square.

    Raises:
        InputError: OpenCV is not installed.
    """

    name = "grabcut"

    def __init__(self, max_side: int = MAX_SIDE) -> None:
        try:
            import cv2
        except ImportError as error:
            raise InputError(
                'grabcut needs OpenCV, which is not installed. Install it: pip install "soundspot[flow]"'
            ) from error
        self._cv2, self._max_side = cv2, max_side

    def segment(self, image: Image.Image, clicks: Sequence[Click], box: Box | None) -> Bool[np.ndarray, "h w"]:
        """Segment an object from clicks and a box.

        Args:
            image: RGB image of w x h pixels.
            clicks: clicks on the object and on the background; those outside the image are ignored.
            box: box around the object in pixels of the image, clipped to it; None: the object lies near the clicks.

        Returns:
            (h, w) bool mask; the box itself, or discs around the clicks, where the colors tell nothing.
        """
        scale = min(1.0, self._max_side / max(image.size))
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        small = np.ascontiguousarray(np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR)))
        clicks = [Click(c.x * scale, c.y * scale, c.is_object) for c in clicks]
        scaled = None if box is None else [side * scale for side in (box.x0, box.y0, box.x1, box.y1)]
        labels = initialize_labels(size, clicks, scaled)
        is_object = self._cut(small, labels) if (labels == MAYBE_FOREGROUND).any() else labels == FOREGROUND
        if not is_object.any():
            is_object = (labels == FOREGROUND) | (labels == MAYBE_FOREGROUND)
        if size == image.size:
            return is_object
        return np.asarray(Image.fromarray(is_object.astype(np.uint8) * np.uint8(255)).resize(image.size)) > 127

    def _cut(self, pixels: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
        if not (labels == BACKGROUND).any() and not (labels == MAYBE_BACKGROUND).any():
            return labels >= FOREGROUND  # the box is the image: there is no color of the background to learn
        cv2, cut = self._cv2, labels.copy()
        cv2.setRNGSeed(RANDOM_SEED)  # before each call: its first clusters are drawn
        cv2.grabCut(pixels[..., ::-1].copy(), cut, None, None, None, ITERATIONS, cv2.GC_INIT_WITH_MASK)
        return (cut == FOREGROUND) | (cut == MAYBE_FOREGROUND)


def initialize_labels(
    size: tuple[int, int], clicks: Sequence[Click], box: Sequence[float] | None
) -> UInt8[np.ndarray, "h w"]:
    """Return the labels that GrabCut starts from.

    Inside a box the object is probable and outside it is not; without one it is probable within a quarter of the
    height around each click on it, and not beyond three eighths. A disc around each click is certain.

    Args:
        size: (width, height) in pixels.
        clicks: clicks in these pixels.
        box: x0, y0, x1, y1 in these pixels; None: no box.

    Returns:
        (height, width) labels from 0 to 3.
    """
    width, height = size
    y, x = np.mgrid[:height, :width] + 0.5
    labels = np.full((height, width), BACKGROUND, np.uint8)
    clicks = [click for click in clicks if 0 <= click.x <= width and 0 <= click.y <= height]
    if box is not None:
        x0, y0, x1, y1 = box
        labels[max(0, round(y0)) : max(0, round(y1)), max(0, round(x0)) : max(0, round(x1))] = MAYBE_FOREGROUND
    else:
        for radius, label in ((FAR * height, MAYBE_BACKGROUND), (NEAR * height, MAYBE_FOREGROUND)):
            for click in clicks:
                if click.is_object:
                    labels[np.hypot(x - click.x, y - click.y) <= radius] = label
    for click in clicks:
        near = np.hypot(x - click.x, y - click.y) <= CLICK_RADIUS
        labels[near] = FOREGROUND if click.is_object else BACKGROUND
    return labels
