"""Polygons and masks: corners lie between pixels, and a pixel belongs to a polygon that its center lies in.

So the polygon 2,1 7,1 7,4 2,4 has 5 x 3 pixels, as in COCO's API, and the outline of a mask gives it back exactly.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float

from soundspot.errors import DataError
from soundspot.inference.connected_components import label_components

TOLERANCE = 1.0  # pixels that a corner may lie outside the image, as rounded ones do
Polygon = Sequence[tuple[float | int, float | int]]


def check_polygon(polygon: Polygon, size: tuple[int, int], location: str) -> None:
    """Check that a polygon has an area and lies in its image.

    Args:
        polygon: corners in pixels.
        size: (width, height) of the image.
        location: name of the polygon, for messages.

    Raises:
        DataError: it has fewer than three corners, a corner is no number, or lies outside the image.
    """
    points = np.asarray(polygon, np.float64).reshape(-1, 2)
    if len(points) < 3:
        raise DataError(f"{location}: found a polygon of {len(points)} points, expected three or more. Draw it again")
    if not np.isfinite(points).all() or (points < -TOLERANCE).any() or (points > np.array(size) + TOLERANCE).any():
        raise DataError(
            f"{location}: found a polygon with points outside the image, expected it within {size[0]} x {size[1]} "
            "pixels. Draw it again, or export with the size of the image"
        )


def rasterize_polygon(polygon: Polygon, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels whose centers lie in a polygon, by the even-odd rule.

    Args:
        polygon: three or more corners in pixels.
        size: (width, height) of the mask.

    Returns:
        (height, width) bool.
    """
    width, height = size
    points: Float[np.ndarray, "n 2"] = np.asarray(polygon, np.float64).reshape(-1, 2)
    ends = np.roll(points, -1, axis=0)
    crossings = np.zeros((height, width + 1), np.int64)
    for (x0, y0), (x1, y1) in zip(points.tolist(), ends.tolist(), strict=True):
        low, high = sorted((y0, y1))
        rows = np.arange(max(0, int(np.ceil(low - 0.5))), min(height, int(np.ceil(high - 0.5))))
        if len(rows):  # the first pixel whose center lies to the right of the edge
            x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            columns = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
            crossings[rows, columns] += 1
    return np.asarray(crossings.cumsum(axis=1)[:, :width] % 2 == 1)


def trace_polygons(mask: Bool[np.ndarray, "h w"]) -> list[list[tuple[int, int]]]:
    """Return polygons without holes whose union is a mask, exactly.

    Each connected component (of pixels with a common side) has one; a component with holes is cut through them from
    top to bottom into several.

    Args:
        mask: (h, w) bool.

    Returns:
        Corners of each polygon in pixels, along the edges of pixels.
    """
    return [_trace_outline(component) for component in _iter_simple_components(mask)]


def _iter_simple_components(mask: Bool[np.ndarray, "h w"]) -> Iterator[Bool[np.ndarray, "h w"]]:
    """Yield components without holes; one with holes is cut at a column that crosses a hole."""
    stack = [mask]
    while stack:
        labels = label_components(stack.pop(), diagonal=False)
        for number in range(1, int(labels.max()) + 1):
            component = labels == number
            column = _find_hole(component)
            if column is None:
                yield component
                continue
            left = component.copy()
            left[:, column:] = False
            stack += [left, component & ~left]


def _find_hole(component: Bool[np.ndarray, "h w"]) -> int | None:
    """Return a column inside a component that crosses a hole of it; None where it has none.

    The background is connected over corners too: what touches the outside by a corner is no hole.
    """
    background = label_components(np.pad(~component, 1, constant_values=True))
    columns = np.flatnonzero((background[1:-1, 1:-1] > 1).any(axis=0))
    return int(columns[0]) if len(columns) else None


def _trace_outline(component: Bool[np.ndarray, "h w"]) -> list[tuple[int, int]]:
    """Walk around a component without holes, its pixels on the right hand, and return the corners."""
    padded = np.pad(component, 1)
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # From each corner of a pixel on the outline, the directions to go on: above a pixel to the right, and so on around.
    for (dy, dx), corner, direction in (
        ((-1, 0), (0, 0), (1, 0)),
        ((0, 1), (1, 0), (0, 1)),
        ((1, 0), (1, 1), (-1, 0)),
        ((0, -1), (0, 1), (0, -1)),
    ):
        rows, columns = np.nonzero(padded & ~np.roll(padded, (-dy, -dx), (0, 1)))
        for x, y in zip((columns - 1 + corner[0]).tolist(), (rows - 1 + corner[1]).tolist(), strict=True):
            steps.setdefault((x, y), []).append(direction)
    start = next(iter(steps))
    position, direction, corners = start, (1, 0), [start]
    steps[start].remove(direction)
    while True:
        position = (position[0] + direction[0], position[1] + direction[1])
        if not steps[position]:  # back at the start
            return corners
        right = (-direction[1], direction[0])  # where two pixels touch by a corner, the walk stays with its own
        turn = right if right in steps[position] else steps[position][0]
        steps[position].remove(turn)
        if turn != direction:
            corners.append(position)
        direction = turn
