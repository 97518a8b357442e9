"""Masks of objects: binary, numbered, with soft edges, or with the noise of a JPEG."""

import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from PIL import Image
from torch import Tensor

from soundspot.data.media.image import decode_image, turn_upright

MAX_INDEX = 31  # a gray mask of no brighter pixel holds numbers of objects or classes
MIN_FLAT_SHARE = 0.5  # of the pixels between 0 and the object's level, in a mask of numbers
MIN_LEVEL_SHARE = 0.25  # of the pixels above half of the highest value, which have the object's level
_LOSSY = ("JPEG", "MPO")


def read_mask(path: str | os.PathLike[str], content: bytes | None = None) -> Bool[Tensor, "h w"]:
    """Read a mask, upright: True where a pixel is part of the object.

    Any pixel that is not 0 is: gray, color, or index of a palette, so masks of 0 and 1, of 0 and 255 and of numbered
    objects read alike. Where a mask has soft edges (`is_soft_mask`), a pixel must be brighter than half of the object's
    level, the most frequent bright value. Because of its noise, a pixel of a JPEG must be brighter than 127.

    Args:
        path: path of a file in any format that Pillow reads.
        content: bytes of the file, where they were read from elsewhere; `path` is then its name in messages.

    Returns:
        (h, w) bool.

    Raises:
        InputError: missing, empty, cut short, not an image, or of more than 80 megapixels.
    """
    return decode_image(Path(path), _binarize, content)


def is_soft_mask(path: str | os.PathLike[str], content: bytes | None = None) -> bool:
    """Return True for a mask with soft edges, as resizing and annotation tools make them; `read_mask` cuts it at half.

    It is a mask of gray or color, and no JPEG, whose brightest pixel is above 31 (of 255, or of the range of its file)
    and in which most pixels between 0 and the object's level lie in no 2 x 2 block of equals: there values change from
    pixel to pixel. Numbers of objects or classes fill areas.

    Args:
        path: path of a file in any format that Pillow reads.
        content: bytes of the file, where they were read from elsewhere.

    Returns:
        Whether it is one.

    Raises:
        InputError: missing, empty, cut short, not an image, or of more than 80 megapixels.
    """
    return decode_image(
        Path(path),
        lambda image: image.format not in _LOSSY and _soft_level(_read_values(image), image) is not None,
        content,
    )


def _binarize(image: Image.Image) -> Bool[Tensor, "h w"]:
    if image.format in _LOSSY:
        return torch.from_numpy(np.asarray(turn_upright(image).convert("L")) > 127)
    values = _read_values(image)
    level = _soft_level(values, image)
    return torch.from_numpy(values != 0 if level is None else values > level / 2)


def _read_values(image: Image.Image) -> Shaped[np.ndarray, "h w"]:
    """Return gray values, indices of a palette, or the brightest color of each pixel; transparency is ignored."""
    values = np.asarray(turn_upright(image))
    if values.ndim == 3:
        num_colors = 3 if values.shape[2] > 2 else 1  # what is left is transparency
        values = values[..., :num_colors].max(axis=2)
    return values


def _soft_level(values: Shaped[np.ndarray, "h w"], image: Image.Image) -> float | None:
    """Return the object's level in a mask with soft edges; None for other masks.

    The level is the most frequent value above half of the highest one, as filters overshoot; or the highest one, where
    none makes up a quarter of those pixels.
    """
    highest = float(values.max())
    if image.mode in ("1", "P", "PA") or not np.isfinite(highest):
        return None
    if highest <= (0 if values.dtype.kind == "f" else MAX_INDEX) or not ((values > 0) & (values < highest)).any():
        return None
    bright, counts = np.unique(values[values > highest / 2], return_counts=True)
    level = float(bright[counts.argmax()]) if counts.max() >= MIN_LEVEL_SHARE * counts.sum() else highest
    is_between = (values > 0) & (values < level)
    corner = values[:-1, :-1]
    is_block = (corner == values[1:, :-1]) & (corner == values[:-1, 1:]) & (corner == values[1:, 1:])
    is_flat = np.zeros_like(is_between)
    for rows in (slice(None, -1), slice(1, None)):
        for columns in (slice(None, -1), slice(1, None)):
            is_flat[rows, columns] |= is_block
    return level if (is_flat & is_between).sum() < MIN_FLAT_SHARE * is_between.sum() else None
