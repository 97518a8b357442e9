"""Odd boxes: those without a pixel, and those far outside of their image."""

from collections.abc import Iterable

from soundspot.data.validation.findings import Problem
from soundspot.types import Box, GroundTruth

MAP_SIZE = 224  # side of the maps that every released evaluator compares
FAR_OUTSIDE = 1000.0  # image sizes: an overflow, not an annotation
OUTSIDE = 0.01  # image sizes


def is_empty_box(box: Box, ground_truth: GroundTruth) -> bool:
    """Return True for a box without a pixel in a map of 224 x 224, rounded as by `GroundTruth.to_map`.

    Args:
        box: box in the units of the ground truth.
        ground_truth: ground truth of the box, for the size of its image.

    Returns:
        True where the box, clipped to the image and truncated to pixels of the map, has no area.
    """
    x0, x1 = (int(MAP_SIZE * min(max(x, 0.0), ground_truth.width) / ground_truth.width) for x in (box.x0, box.x1))
    y0, y1 = (int(MAP_SIZE * min(max(y, 0.0), ground_truth.height) / ground_truth.height) for y in (box.y0, box.y1))
    return x0 >= x1 or y0 >= y1


def validate_ground_truth(
    location: str, samples: Iterable[tuple[str, GroundTruth]]
) -> tuple[dict[str, int], list[Problem]]:
    """Count boxes and detect odd ones: without a pixel of a 224 x 224 map, or with more than 1 % of the image outside.

    Samples with a source in the image but neither box nor mask are reported too.

    Args:
        location: file or data set, for messages.
        samples: (id, ground truth) of each sample.

    Returns:
        Numbers of all `boxes`, of those that are `empty`, and of samples with a box `far outside` (more than 1000 image
        sizes); and the problems, all of them warnings.
    """
    num_boxes, empty, unmarked, far_outside, outside = 0, [], [], [], []
    for id, ground_truth in samples:
        boxes = ground_truth.boxes
        num_boxes += len(boxes)
        num_empty = sum(is_empty_box(box, ground_truth) for box in boxes)
        empty += [id] * num_empty
        if ground_truth.present and ground_truth.mask is None and num_empty == len(boxes):
            unmarked.append(id)
        overhang = max((_overhang(box, ground_truth) for box in boxes), default=0.0)
        if overhang > FAR_OUTSIDE:
            far_outside.append(id)
        elif overhang > OUTSIDE:
            outside.append(id)
    problems = []
    if far_outside:
        listing = f"{len(far_outside)} samples ({_first(far_outside)})"
        message = f"found numbers far outside the image in {listing}, expected an annotation"
        remedy = "They are clipped at the border, as every released evaluator does; nothing to correct"
        problems.append(Problem("warning", location, message, remedy))
    if empty:
        message = f"found {len(empty)} boxes without a pixel at {MAP_SIZE} x {MAP_SIZE} ({_first(empty)})"
        message += f"; {len(unmarked)} samples have no other, so no map can be right there" if unmarked else ""
        remedy = "They stay, as published protocols count them; `corrected` sets samples without a pixel apart"
        problems.append(Problem("warning", location, message, remedy))
    elif unmarked:
        remedy = "Published protocols count them as failures; `corrected` sets them apart"
        message = f"found {len(unmarked)} samples without a box ({_first(unmarked)})"
        problems.append(Problem("warning", location, message, remedy))
    if outside:
        message = f"found boxes beyond the image border in {len(outside)} samples ({_first(outside)})"
        remedy = "They are clipped at the border; check that the units are right"
        problems.append(Problem("warning", location, message, remedy))
    return {"boxes": num_boxes, "empty": len(empty), "far outside": len(far_outside)}, problems


def _overhang(box: Box, ground_truth: GroundTruth) -> float:
    """Return the largest distance by which a box leaves its image, in image sizes."""
    width, height = ground_truth.width, ground_truth.height
    return max(max(-x, x - 1) for x in (box.x0 / width, box.x1 / width, box.y0 / height, box.y1 / height))


def _first(ids: list[str]) -> str:
    names = list(dict.fromkeys(ids))
    return ", ".join(names[:3]) + ("..." if len(names) > 3 else "")
