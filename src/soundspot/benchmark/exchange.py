"""Masks of a project for other tools and from them, as CVAT's XML or COCO's JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Bool

from soundspot.data.media.rle import decode_mask, encode_mask
from soundspot.errors import DataError, did_you_mean
from soundspot.inference.contours.segmenters import Click
from soundspot.types import Box


@dataclass(frozen=True, eq=False)
class AnnotatedObject:
    """A thing in an image, as a file of another tool has it.

    Attributes:
        category: category of the thing.
        rle: run-length encoded mask at the size of the image; None where there are only clicks or a box.
        clicks: clicks on the thing.
        box: box around the thing in pixels; None: no box.
        attributes: name -> value, both text.
    """

    category: str
    rle: dict[str, Any] | None = None
    clicks: tuple[Click, ...] = ()
    box: Box | None = None
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def mask(self) -> Bool[np.ndarray, "h w"]:
        """(h, w) bool mask, decoded on each access, as those of a large file do not fit in memory; it must be there."""
        assert self.rle is not None
        return decode_mask(self.rle)


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image with its things, as a file of another tool has it.

    Attributes:
        file: path of the image, as the file names it.
        width, height: size in pixels.
        objects: things in it.
    """

    file: str
    width: int
    height: int
    objects: tuple[AnnotatedObject, ...]


def merge_objects(objects: Sequence[AnnotatedObject]) -> list[AnnotatedObject]:
    """Merge the things of one category of an image: a mask of the project holds all of them.

    Args:
        objects: things of one image.

    Returns:
        One thing for each category: the union of masks, all clicks, and the box around all boxes.
    """
    merged = []
    for category in dict.fromkeys(thing.category for thing in objects):
        same = [thing for thing in objects if thing.category == category]
        masks = [thing.mask for thing in same if thing.rle is not None]
        boxes = [thing.box for thing in same if thing.box is not None]
        attributes: dict[str, str] = {}
        for thing in same:
            attributes |= thing.attributes
        merged.append(
            AnnotatedObject(
                category,
                encode_mask(np.logical_or.reduce(masks)) if masks else None,
                tuple(click for thing in same for click in thing.clicks),
                _enclose(boxes),
                attributes,
            )
        )
    return merged


def check_category(category: object, categories: Sequence[str], location: str) -> str:
    """Check that a category of a file is known.

    Args:
        category: name in the file.
        categories: known names; empty: any is.
        location: place in the file, for the message.

    Returns:
        The name.

    Raises:
        DataError: it is unknown, or no text.
    """
    if not isinstance(category, str) or (categories and category not in categories):
        raise DataError(
            f"{location}: found the category {category!r:.60}, which the project does not have"
            f"{did_you_mean(str(category), categories)}"
        )
    return category


def match_name(file: str) -> str:
    """Return the name by which an image of another tool is recognized: without folders, which differ, and suffix.

    Args:
        file: path of an image in a file.

    Returns:
        The stem of the name.
    """
    return PurePosixPath(file.replace("\\", "/")).stem


def read_text(path: Path, expected: str) -> str:
    """Read a text file of another tool.

    Args:
        path: path of the file, in UTF-8; a byte order mark is skipped.
        expected: what it should be and the remedy, for the message.

    Returns:
        The text.

    Raises:
        DataError: the file cannot be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}), {expected}") from error


def _enclose(boxes: Sequence[Box]) -> Box | None:
    if not boxes:
        return None
    return Box(
        min(box.x0 for box in boxes),
        min(box.y0 for box in boxes),
        max(box.x1 for box in boxes),
        max(box.y1 for box in boxes),
    )
