"""Decoded video frames as the images that players show: upright, with square pixels, transparency laid on white."""

from typing import Any

import numpy as np
from PIL import Image

from soundspot.data.media.image import as_image

MAX_PIXEL_ASPECT = 4  # pixels of television and of discs are at most three times as wide as high


def frame_to_image(frame: Any, stream: Any, reformatter: Any) -> Image.Image:
    """Convert a video frame to the image that players show.

    The width is multiplied by the pixels' aspect ratio (bicubic); pixels that are declared more than four times as wide
    as high, or as high as wide, are taken for square. The display matrix of the file turns and mirrors the image; an
    angle between is taken for the nearest of the eight orientations. Transparency is laid on white, as `read_image`
    does.

    Args:
        frame: decoded `av` video frame.
        stream: video stream of the frame, for the aspect ratio of its pixels.
        reformatter: `av` reformatter that frames of one size share, which spares preparing each conversion.

    Returns:
        RGB image.
    """
    if any(component.is_alpha for component in frame.format.components):
        image = as_image(Image.fromarray(reformatter.reformat(frame, format="rgba").to_ndarray()))
    else:
        image = Image.fromarray(reformatter.reformat(frame, format="rgb24").to_ndarray())
    ratio = float(stream.sample_aspect_ratio or 1)
    if ratio != 1 and 1 / MAX_PIXEL_ASPECT <= ratio <= MAX_PIXEL_ASPECT:
        image = image.resize((max(1, round(image.width * ratio)), image.height))
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return image if matrix is None else orient(image, np.frombuffer(bytes(matrix), np.int32))


def orient(image: Image.Image, matrix: np.ndarray) -> Image.Image:
    """Turn and mirror an image by a display matrix (ISO/IEC 14496-12, 8.3.2).

    Args:
        image: image as it is stored.
        matrix: (9,) fixed-point numbers a b u c d v x y w: the stored point (p, q) is shown at (a p + c q + x,
            b p + d q + y).

    Returns:
        The image as it is shown.
    """
    a, b, _, c, d = matrix[:5].tolist()
    is_transposed = abs(a) + abs(d) < abs(b) + abs(c)
    if is_transposed:
        image = image.transpose(Image.Transpose.TRANSPOSE)
    right, down = (c, b) if is_transposed else (a, d)
    if right < 0:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if down < 0 else image
