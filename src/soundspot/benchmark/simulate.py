"""Simulated annotators: clicks and a box placed by a known mask, to measure a segmenter or to test the tools."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from PIL import Image

from soundspot.benchmark.agreement import mask_iou
from soundspot.benchmark.annotation import Action
from soundspot.inference.connected_components import bounding_box, label_components
from soundspot.inference.contours.segmenters import Click, Segmenter
from soundspot.types import Box


@dataclass(frozen=True, eq=False)
class SimulatedMask:
    """A mask that simulated clicks made.

    Attributes:
        actions: the box, if there is one, and the clicks.
        mask: (h, w) bool mask of the segmenter.
        iou: IoU with the known mask.
    """

    actions: tuple[Action, ...]
    mask: Bool[np.ndarray, "h w"]
    iou: float


def simulate_annotator(
    image: Image.Image,
    target: Bool[np.ndarray, "h w"],
    segmenter: Segmenter,
    num_clicks: int = 3,
    with_box: bool = True,
    enough: float = 1.0,
) -> list[SimulatedMask]:
    """Simulate an annotator who corrects the largest error by each click, as is usual in interactive segmentation.

    Each click lies where the largest connected region of wrong pixels is widest: on the object for one that is missing,
    on the background for one that is too much. (The protocol of Sofiiuk et al., ICIP 2022, with a box before it.)

    Args:
        image: RGB image of w x h pixels.
        target: (h, w) bool known mask, not empty.
        segmenter: segmenter that is measured.
        num_clicks: largest number of clicks.
        with_box: whether the annotator draws a box around the object first.
        enough: IoU at which the annotator stops.

    Returns:
        The masks in their order: that of the box, if any, and that after each click.
    """
    corners = bounding_box(target)
    x0, y0, x1, y1 = map(float, corners)
    box = Box(x0, y0, x1, y1) if with_box else None
    boxed = (Action("box", (corners[:2], corners[2:])),) if with_box else ()
    clicks: list[Click] = []
    results: list[SimulatedMask] = []
    mask = np.zeros_like(target)
    for number in range(num_clicks + 1):
        if number or with_box:
            mask = segmenter.segment(image, clicks, box)
            drawn = tuple(Action("object" if c.is_object else "background", ((c.x, c.y),)) for c in clicks)
            results.append(SimulatedMask(boxed + drawn, mask, mask_iou(mask, target)))
            if results[-1].iou >= enough:
                break
        clicks.append(place_click(mask, target))
    return results


def place_click(mask: Bool[np.ndarray, "h w"], target: Bool[np.ndarray, "h w"]) -> Click:
    """Place a click where the largest region of wrong pixels is widest.

    Args:
        mask: (h, w) bool mask so far.
        target: (h, w) bool known mask.

    Returns:
        The click; on the object where nothing is wrong.
    """
    regions = [target & ~mask, mask & ~target]
    if not regions[0].any() and not regions[1].any():
        regions[0] = target
    labels = [label_components(region, diagonal=False) for region in regions]
    sizes = [np.bincount(label.ravel())[1:] for label in labels]
    kind = int(max(sizes[0], default=0) < max(sizes[1], default=0))
    x, y = _find_widest(labels[kind] == int(np.argmax(sizes[kind])) + 1)
    return Click(x + 0.5, y + 0.5, kind == 0)


def _find_widest(region: Bool[np.ndarray, "h w"]) -> tuple[int, int]:
    """Return x and y of a pixel of a region that is eroded last."""
    eroded = region
    while True:
        padded = np.pad(eroded, 1)
        smaller = eroded & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        if not smaller.any():
            rows, columns = np.nonzero(eroded)
            middle = len(rows) // 2
            return int(columns[middle]), int(rows[middle])
        eroded = smaller
