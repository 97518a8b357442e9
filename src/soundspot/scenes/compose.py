"""Pictures of several objects on a background, without overlap and with exact masks."""

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

MAX_TRIES = 20  # places tried for one object before the scene starts again with everything smaller
SHRINK = 0.85
MIN_OBJECT_SIZE = 8  # pixels of an object's longer side, however small it was asked for
GAP = 2  # pixels left between the boxes of two objects


@dataclass(frozen=True)
class PlacedObject:
    """An object in a picture: exactly its pixels, (h, w) bool, and the box around them."""

    category: str
    mask: Bool[Tensor, "h w"]
    box: Box


@dataclass(frozen=True)
class Scene:
    """A picture and its objects, in the order they were asked for."""

    image: Image.Image
    objects: tuple[PlacedObject, ...]


def compose(
    source: ObjectSource, categories: Sequence[str], sizes: Sequence[float], rng: np.random.Generator, side: int
) -> Scene:
    """Objects of the categories on a background of side x side pixels, placed uniformly at random, none overlapping.

    Args:
        sizes: of each object, the longer side as a share of the picture's.
        rng: where every pixel comes from; the background is drawn from it first.

    Objects that find no room in `TRIES` tries make the whole scene start again with all sizes times `SHRINK`, so that
    the order in which objects are placed leaves no trace in their sizes.
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
            raise DataError(
                f"{len(sizes)} objects do not fit into {side} x {side} pixels; ask for fewer or a larger side."
            )
        scale *= SHRINK
    placed = []
    for category, patch, (top, left) in zip(categories, patches, corners, strict=True):
        height, width = patch.shape[:2]
        shape = patch[..., 3] > 0
        window = canvas[top : top + height, left : left + width]
        np.copyto(window, patch[..., :3], where=shape[..., None])
        mask = torch.zeros(side, side, dtype=torch.bool)
        mask[top : top + height, left : left + width] = torch.from_numpy(shape)
        placed.append(
            PlacedObject(category, mask, Box(float(left), float(top), float(left + width), float(top + height)))
        )
    return Scene(Image.fromarray(canvas), tuple(placed))


def place_boxes(shapes: Sequence[tuple[int, ...]], rng: np.random.Generator, side: int) -> list[tuple[int, int]] | None:
    """Top left corners for boxes (height, width) so that none touch; None where some box found no room."""
    corners: list[tuple[int, int]] = [(0, 0)] * len(shapes)
    taken: list[NDArray[np.int64]] = []
    for which in rng.permutation(len(shapes)).tolist():
        height, width = shapes[which]
        tops = rng.integers(0, side - height, MAX_TRIES, endpoint=True)
        lefts = rng.integers(0, side - width, MAX_TRIES, endpoint=True)
        free = np.ones(MAX_TRIES, bool)
        for top, left, bottom, right in taken:
            apart = (tops >= bottom + GAP) | (tops + height + GAP <= top)
            free &= apart | (lefts >= right + GAP) | (lefts + width + GAP <= left)
        if not free.any():
            return None
        first = int(free.argmax())
        top, left = int(tops[first]), int(lefts[first])
        corners[which] = (top, left)
        taken.append(np.array([top, left, top + height, left + width]))
    return corners
