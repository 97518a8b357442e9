"""Images of several objects on a background, without overlap and with exact masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from soundspot.errors import DataError
from soundspot.scenes.source import ObjectSource
from soundspot.types import Box

MAX_TRIES = 20  # positions tried for an object before the scene starts again with everything smaller
SHRINK = 0.85
MIN_OBJECT_SIZE = 8  # pixels of an object's longer side, however small it was requested
GAP = 2  # pixels left between the boxes of two objects


@dataclass(frozen=True)
class PlacedObject:
    """An object in an image.

    Attributes:
        category: category of the object.
        mask: (h, w) bool at the size of the image, True on exactly the object's pixels.
        box: box around the mask, in pixels of the image.
    """

    category: str
    mask: Bool[Tensor, "h w"]
    box: Box


@dataclass(frozen=True)
class Scene:
    """An image and its objects.

    Attributes:
        image: square RGB image.
        objects: objects in the order in which they were requested.
    """

    image: Image.Image
    objects: tuple[PlacedObject, ...]


def compose(
    source: ObjectSource, categories: Sequence[str], sizes: Sequence[float], rng: np.random.Generator, side: int
) -> Scene:
    """Compose objects on a background, placed uniformly at random without overlap.

    Objects that find no position in `MAX_TRIES` tries make the scene start again with all sizes times `SHRINK`, so that
    the order in which objects are placed leaves no trace in their sizes.

    Args:
        source: source of objects and background.
        categories: category of each object.
        sizes: longer side of each object, as a share of the image's side; at least 8 pixels.
        rng: generator of every pixel; the background is drawn from it first.
        side: side of the square image in pixels.

    Returns:
        The scene.

    Raises:
        DataError: the objects do not fit, however small.
    """
    canvas = source.draw_background(rng, side, side)
    scale = 1.0
    while True:
        patches = [
            source.draw_object(category, rng, min(side, max(MIN_OBJECT_SIZE, round(size * scale * side))))
            for category, size in zip(categories, sizes, strict=True)
        ]
        corners = place_boxes([patch.shape[:2] for patch in patches], rng, side)
        if corners is not None:
            break
        if scale * max(sizes) * side < MIN_OBJECT_SIZE:
            raise DataError(f"{len(sizes)} objects do not fit into {side} x {side} pixels; use fewer or a larger side.")
        scale *= SHRINK
    placed = []
    for category, patch, (top, left) in zip(categories, patches, corners, strict=True):
        height, width = patch.shape[:2]
        shape = patch[..., 3] > 0
        np.copyto(canvas[top : top + height, left : left + width], patch[..., :3], where=shape[..., None])
        mask = torch.zeros(side, side, dtype=torch.bool)
        mask[top : top + height, left : left + width] = torch.from_numpy(shape)
        box = Box(float(left), float(top), float(left + width), float(top + height))
        placed.append(PlacedObject(category, mask, box))
    return Scene(Image.fromarray(canvas), tuple(placed))


def place_boxes(shapes: Sequence[tuple[int, ...]], rng: np.random.Generator, side: int) -> list[tuple[int, int]] | None:
    """Draw positions for boxes inside a square image, so that any two are at least 2 pixels apart.

    Args:
        shapes: (height, width) of each box in pixels, at most the side.
        rng: generator of the positions.
        side: side of the square image in pixels.

    Returns:
        (top, left) of each box in pixels, in the order of the shapes; None where a box had no free position in 20
        tries.
    """
    corners: list[tuple[int, int]] = [(0, 0)] * len(shapes)
    taken: list[NDArray[np.int64]] = []
    for index in rng.permutation(len(shapes)).tolist():
        height, width = shapes[index]
        tops = rng.integers(0, side - height, MAX_TRIES, endpoint=True)
        lefts = rng.integers(0, side - width, MAX_TRIES, endpoint=True)
        is_free = np.ones(MAX_TRIES, bool)
        for top, left, bottom, right in taken:
            is_apart = (tops >= bottom + GAP) | (tops + height + GAP <= top)
            is_free &= is_apart | (lefts >= right + GAP) | (lefts + width + GAP <= left)
        if not is_free.any():
            return None
        first = int(is_free.argmax())
        top, left = int(tops[first]), int(lefts[first])
        corners[index] = (top, left)
        taken.append(np.array([top, left, top + height, left + width]))
    return corners
