"""A mask that is being drawn on the page: its actions, the view of the image, and the drawing that is shown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw

from soundspot.benchmark.annotation import Action
from soundspot.inference.render import draw_outline

MIN_VIEW = 720  # pixels of the longer side of the view
COLORS = {"object": (0, 200, 120), "background": (221, 24, 68)}
Point = tuple[float | int, float | int]


@dataclass(frozen=True)
class MaskDraft:
    """A mask that is being drawn.

    Attributes:
        image: number of the image in the journal.
        category: category of the thing.
        actions: actions so far.
        corner: first corner of a box whose second corner is still to come; None: none.
        center: position in the image that a magnified view is centered on.
    """

    image: int
    category: str
    actions: tuple[Action, ...] = ()
    corner: Point | None = None
    center: Point | None = None

    def click(self, point: Point, mode: str, radius: float | int) -> "MaskDraft":
        """Return the draft after a click.

        Args:
            point: position in pixels of the image.
            mode: kind of the action; a box takes two clicks.
            radius: radius of brush and eraser in pixels of the image.

        Returns:
            The draft; strokes of one kind and radius that follow each other stay single actions, to be undone one by
            one.
        """
        if mode == "box":
            if self.corner is None:
                return replace(self, corner=point, center=point)
            return self._add(Action("box", (self.corner, point)), point)
        kind: Any = mode
        return self._add(Action(kind, (point,), radius if mode in ("brush", "eraser") else 0), point)

    def undo(self) -> "MaskDraft":
        """Return the draft without its last action, or without the corner of an unfinished box.

        Returns:
            The draft.
        """
        if self.corner is not None:
            return replace(self, corner=None)
        return replace(self, actions=self.actions[:-1])

    def _add(self, action: Action, center: Point) -> "MaskDraft":
        return replace(self, actions=(*self.actions, action), corner=None, center=center)


@dataclass(frozen=True)
class MaskView:
    """The region of an image that is shown, enlarged.

    Attributes:
        x, y: upper left corner in pixels of the image.
        width, height: size in pixels of the image.
        scale: pixels of the view for each pixel of the image.
    """

    x: float
    y: float
    width: float
    height: float
    scale: float

    @classmethod
    def of(cls, size: tuple[int, int], zoom: float | int, center: Point | None) -> "MaskView":
        """Return the view of an image.

        Args:
            size: (width, height) of the image in pixels.
            zoom: magnification, 1 or more; 1 shows all of the image.
            center: position that is in the middle, as far as the image's edges allow; None: that of the image.

        Returns:
            The view, at least 720 pixels wide or high.
        """
        zoom = max(1.0, float(zoom))
        width, height = size[0] / zoom, size[1] / zoom
        cx, cy = center or (size[0] / 2, size[1] / 2)
        x = min(max(0.0, float(cx) - width / 2), size[0] - width)
        y = min(max(0.0, float(cy) - height / 2), size[1] - height)
        return cls(x, y, width, height, max(1.0, MIN_VIEW / max(width, height)))

    def to_image(self, point: Sequence[float | int]) -> Point:
        """Convert a position in the view to one in the image.

        Args:
            point: x and y in pixels of the view.

        Returns:
            Position in pixels of the image.
        """
        return self.x + point[0] / self.scale, self.y + point[1] / self.scale

    def to_view(self, point: Sequence[float | int]) -> Point:
        """Convert a position in the image to one in the view.

        Args:
            point: x and y in pixels of the image.

        Returns:
            Position in pixels of the view.
        """
        return (point[0] - self.x) * self.scale, (point[1] - self.y) * self.scale


def draw_draft(image: Image.Image, mask: Bool[np.ndarray, "h w"], draft: MaskDraft, zoom: float | int) -> Image.Image:
    """Draw a draft over its image: the outline of the mask, clicks and boxes.

    Args:
        image: RGB image of w x h pixels.
        mask: (h, w) bool mask of the draft.
        draft: the draft.
        zoom: magnification.

    Returns:
        RGB image of the view.
    """
    view = MaskView.of(image.size, zoom, draft.center)
    box = (view.x, view.y, view.x + view.width, view.y + view.height)
    size = (round(view.width * view.scale), round(view.height * view.scale))
    region = image.resize(size, Image.Resampling.BILINEAR, box)
    outline = Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).resize(size, Image.Resampling.NEAREST, box)
    drawn = draw_outline(region, np.asarray(outline) > 0) if mask.any() else region.convert("RGB")
    draw = ImageDraw.Draw(drawn)
    for action in draft.actions:
        points = [view.to_view(point) for point in action.points]
        if action.kind in COLORS:
            (x, y) = points[0]
            draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=COLORS[action.kind], outline="white", width=2)
        elif action.kind == "box":
            (x0, y0), (x1, y1) = points
            draw.rectangle((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), outline="white", width=2)
    if draft.corner is not None:
        x, y = view.to_view(draft.corner)
        draw.line((x - 10, y, x + 10, y), fill="white", width=2)
        draw.line((x, y - 10, x, y + 10), fill="white", width=2)
    return drawn
