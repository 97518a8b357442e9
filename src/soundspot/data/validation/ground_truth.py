"""What is odd about boxes: those without a pixel, and those far outside of their picture."""

from collections.abc import Iterable

from soundspot.data.validation.problems import Problem
from soundspot.types import Box, GroundTruth

MAP_SIZE = 224  # what every released evaluator compares maps at
FAR_OUTSIDE = 1000.0  # pictures away: an overflow, not somebody's hand
OUTSIDE = 0.01  # of a picture


def is_empty_box(box: Box, truth: GroundTruth) -> bool:
    """Whether a box has no pixel in a map of 224 x 224; see `Truth.map`."""
    x0, x1 = (int(MAP_SIZE * min(max(x, 0.0), truth.width) / truth.width) for x in (box.x0, box.x1))
    y0, y1 = (int(MAP_SIZE * min(max(y, 0.0), truth.height) / truth.height) for y in (box.y0, box.y1))
    return x0 >= x1 or y0 >= y1


def validate_ground_truth(
    where: str, truths: Iterable[tuple[str, GroundTruth]]
) -> tuple[dict[str, int], list[Problem]]:
    """How many boxes there are and what is odd about them; `where` names the file or the set."""
    boxes, empty, blank, far, outside = 0, [], [], [], []
    for id, truth in truths:
        boxes += len(truth.boxes)
        bad = [box for box in truth.boxes if is_empty_box(box, truth)]
        empty += [id] * len(bad)
        if truth.present and truth.mask is None and len(bad) == len(truth.boxes):
            blank.append(id)
        reach = max((_reach(box, truth) for box in truth.boxes), default=0.0)
        if reach > FAR_OUTSIDE:
            far.append(id)
        elif reach > OUTSIDE:
            outside.append(id)
    problems = []
    if far:
        what = f"found numbers far outside the picture in {len(far)} clips ({_some(far)}), expected an annotation"
        remedy = "They are cut at the edge, as every released evaluator does; nothing to mend"
        problems.append(Problem("warning", where, what, remedy))
    if empty:
        what = f"found {len(empty)} boxes without a pixel at {MAP_SIZE} x {MAP_SIZE} ({_some(empty)})"
        what += f"; {len(blank)} items have no other, so no map can be right there" if blank else ""
        remedy = "They stay, as published protocols count them; `corrected` sets items without a pixel apart"
        problems.append(Problem("warning", where, what, remedy))
    elif blank:
        remedy = "Published protocols count them as failures; `corrected` sets them apart"
        problems.append(Problem("warning", where, f"found {len(blank)} items without a box ({_some(blank)})", remedy))
    if outside:
        what = f"found boxes beyond the picture's edge in {len(outside)} clips ({_some(outside)})"
        problems.append(Problem("warning", where, what, "They are cut at the edge; check that the units are right"))
    return {"boxes": boxes, "empty": len(empty), "far outside": len(far)}, problems


def _reach(box: Box, truth: GroundTruth) -> float:
    """How far a box leaves its picture, in pictures."""
    across, down = (box.x0 / truth.width, box.x1 / truth.width), (box.y0 / truth.height, box.y1 / truth.height)
    return max(max(-x, x - 1) for x in (*across, *down))


def _some(ids: list[str]) -> str:
    names = list(dict.fromkeys(ids))
    return ", ".join(names[:3]) + ("..." if len(names) > 3 else "")
