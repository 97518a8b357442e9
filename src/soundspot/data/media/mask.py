"""Masks of objects: binary, numbered, with soft edges, or with the noise of a JPEG."""

import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from PIL import Image, ImageFile
from torch import Tensor

from soundspot.data.media.image import decode_image, turn_upright

MAX_INDEX = (
    31  # a gray mask of no brighter pixel holds numbers of objects or classes; of more values it is worth a note
)
MAX_RUN = 4  # pixels of one value on a soft edge: it may be enlarged as much by repeating them
NOISE_SHARE = 1 / 8  # of the highest value: below it lies noise and the ringing of filters
_LOSSY = ("JPEG", "MPO")


def read_mask(path: str | os.PathLike[str], content: bytes | None = None) -> Bool[Tensor, "h w"]:
    """Read a mask, upright: True where a pixel is part of the object.

    Any pixel that is not 0 is: gray, color, or index of a palette, so masks of 0 and 1, of 0 and 255 and of numbered
    objects read alike. Alpha is the mask where it differs among pixels and the color of those that are visible does
    not. A mask has soft edges where most pixels below its highest value neither fill areas nor are lines of one value,
    but lie on slopes: along the row or the column, the value to one side is lower and the other one higher, after at
    most 4 equal pixels. There, and in a palette of grays that makes such an image, a pixel must be brighter than half
    of the summit of its slope, and than an eighth of the highest value. Because of its noise, a pixel of a JPEG or of a
    lossy WebP must be brighter than 127.

    Args:
        path: path of a file in any format that Pillow reads.
        content: bytes of the file, where they were read from elsewhere; `path` is then its name in messages.

    Returns:
        (h, w) bool.

    Raises:
        InputError: missing, empty, cut short, not an image, or of more than 80 megapixels.
    """
    return decode_image(Path(path), lambda image: torch.from_numpy(_binarize(image)), content)


def is_soft_mask(path: str | os.PathLike[str], content: bytes | None = None) -> bool:
    """Return True for a mask that has soft edges, or that may be meant otherwise than `read_mask` reads it.

    It may be where it has more than 31 values, or a palette of grays whose index 0 is not black or whose black is
    another index. Never for a JPEG or a lossy WebP, whose noise has many values.

    Args:
        path: path of a file in any format that Pillow reads.
        content: bytes of the file, where they were read from elsewhere.

    Returns:
        Whether it is one.

    Raises:
        InputError: missing, empty, cut short, not an image, or of more than 80 megapixels.
    """
    return decode_image(Path(path), _is_doubtful, content)


def _binarize(image: Image.Image) -> Bool[np.ndarray, "h w"]:
    is_lossy, image = _is_lossy(image), turn_upright(image)
    values = _read_values(image)
    if is_lossy:
        return values > 127
    soft = _cut_soft_edges(_read_grays(image, values))
    return values != 0 if soft is None else soft


def _is_doubtful(image: Image.Image) -> bool:
    if _is_lossy(image):
        return False
    values = _read_values(image)
    grays = _read_grays(image, values)
    is_reordered = ((values != 0) != (grays != 0)).any()
    return bool(is_reordered) or len(np.unique(values)) > MAX_INDEX or _cut_soft_edges(grays) is not None


def _is_lossy(image: Image.Image) -> bool:
    if image.format != "WEBP" or not isinstance(image, ImageFile.ImageFile) or image.fp is None:
        return image.format in _LOSSY
    image.fp.seek(0)
    return b"VP8 " in image.fp.read()  # the chunk of lossy images; that of others is VP8L


def _read_values(image: Image.Image) -> Shaped[np.ndarray, "h w"]:
    """Return gray values, indices of a palette, the brightest color of each pixel, or alpha where it is the mask."""
    values = np.asarray(image)
    if values.ndim == 2:
        return values
    has_alpha = values.shape[2] in (2, 4)
    colors, alpha = (values[..., :-1], values[..., -1]) if has_alpha else (values, None)
    if alpha is not None and alpha.min() != alpha.max():
        visible = colors[alpha > 0]
        if (visible == visible[0]).all():
            return alpha
    return colors.max(axis=2)


def _read_grays(image: Image.Image, values: Shaped[np.ndarray, "h w"]) -> Shaped[np.ndarray, "h w"]:
    """Return the values; those of the palette where all its colors are gray; whether they are 0 where it has others."""
    if image.mode not in ("P", "PA"):
        return values
    colors = np.asarray(image.convert("RGB"))
    return colors[..., 0] if (colors == colors[..., :1]).all() else values != 0


def _cut_soft_edges(values: Shaped[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"] | None:
    """Return the object's pixels in a mask with soft edges; None for other masks."""
    highest = float(values.max())
    if not np.isfinite(highest) or highest <= (0 if values.dtype.kind == "f" else MAX_INDEX):
        return None
    is_between = (values > 0) & (values < highest)
    if not is_between.any():
        return None
    (row_summit, on_row_slope), (summit, on_slope) = _climb(values), (x.T for x in _climb(values.T))
    corner = values[:-1, :-1]
    is_block = (corner == values[1:, :-1]) & (corner == values[:-1, 1:]) & (corner == values[1:, 1:])
    blocks = np.pad(is_block, 1)
    blocks = np.stack(
        [blocks[:-1, :-1], blocks[1:, :-1], blocks[:-1, 1:], blocks[1:, 1:]]
    )  # the four that hold a pixel
    is_middle = (values > NOISE_SHARE * highest) & (values < (1 - NOISE_SHARE) * highest)
    is_edge = is_between & ~blocks.all(axis=0)
    is_number = is_edge & ~on_row_slope & ~on_slope & (blocks.any(axis=0) | is_middle)
    if 2 * is_number.sum() >= is_edge.sum():
        return None
    return values > np.maximum(np.maximum(row_summit, summit) / 2, NOISE_SHARE * highest)


def _climb(values: Shaped[np.ndarray, "h w"]) -> tuple[Shaped[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Return the summit that each pixel's row leads up to, and whether the pixel lies on a slope of its row.

    Rows are laid end to end. The way up goes over runs of equal pixels, and ends at one that is long.
    """
    flat = values.ravel()
    starts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))
    runs, lengths = flat[starts], np.diff(starts, append=flat.size)
    rises = runs[1:] > runs[:-1]
    ends_right, ends_left = np.append(~rises, True), np.append(True, rises)
    is_long = lengths > MAX_RUN
    index = np.arange(len(runs))
    right = np.minimum.accumulate(np.where(ends_right | is_long, index, len(runs))[::-1])[::-1]
    left = np.maximum.accumulate(np.where(ends_left | is_long, index, 0))
    summit, is_slope = np.maximum(runs[left], runs[right]), (left == index) != (right == index)
    return np.repeat(summit, lengths).reshape(values.shape), np.repeat(is_slope, lengths).reshape(values.shape)
