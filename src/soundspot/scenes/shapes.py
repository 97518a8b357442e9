"""Appearance of the procedural categories: a shape family, a hue and a texture each, and cluttered backgrounds.

Drawn as small patches on cached grids; nothing here is antialiased, so that a mask is exact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFilter

Grid = Float[np.ndarray, "s s"]
PI = np.pi


@lru_cache(maxsize=256)
def polar(size: int) -> tuple[Grid, Grid]:
    """Compute the polar coordinates of the pixel centers of a square patch.

    Args:
        size: side of the patch in pixels.

    Returns:
        (size, size) float32 radius, 1 at the middle of an edge, and (size, size) float32 angle in turns, in [0, 1).
    """
    axis = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return np.hypot(x, y), (np.arctan2(y, x) / (2 * PI) % 1).astype(np.float32)


def cos_wave(turns: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s"]:
    """Compute cos(2 pi turns).

    Args:
        turns: angles in turns, float32, of any shape.

    Returns:
        Cosines of the same shape.
    """
    return np.cos(turns * np.float32(2 * PI))


def polygon(r: Grid, turns: Grid, sides: int) -> Bool[np.ndarray, "s s"]:
    """Return the mask of a regular polygon with its corners on the unit circle.

    Args:
        r: (s, s) radius of each pixel.
        turns: (s, s) angle of each pixel in turns.
        sides: number of sides, 3 or more.

    Returns:
        (s, s) bool, True inside.
    """
    around = turns * sides % 1 - 0.5  # from the middle of a side
    return r * cos_wave(around / sides) < np.float32(np.cos(PI / sides))


def star(r: Grid, turns: Grid, points: int, depth: float) -> Bool[np.ndarray, "s s"]:
    """Return the mask of a star with straight spikes: its radius falls from 1 to 1 - depth between two of them.

    Args:
        r: (s, s) radius of each pixel.
        turns: (s, s) angle of each pixel in turns.
        points: number of spikes.
        depth: depth between two spikes, in (0, 1).

    Returns:
        (s, s) bool, True inside.
    """
    return r < 1 - depth * (1 - np.abs(turns * points % 1 * 2 - 1))


def to_cartesian(r: Grid, turns: Grid) -> tuple[Grid, Grid]:
    """Convert polar to Cartesian coordinates.

    Args:
        r: (s, s) radius of each pixel.
        turns: (s, s) angle of each pixel in turns.

    Returns:
        (s, s) x and (s, s) y.
    """
    return r * cos_wave(turns), r * cos_wave(turns - 0.25)


def cross(r: Grid, turns: Grid) -> Bool[np.ndarray, "s s"]:
    """Return the mask of four arms at right angles, 0.92 long and 0.6 wide.

    Args:
        r: (s, s) radius of each pixel.
        turns: (s, s) angle of each pixel in turns.

    Returns:
        (s, s) bool, True inside.
    """
    x, y = (np.abs(a) for a in to_cartesian(r, turns))
    return (np.minimum(x, y) < 0.3) & (np.maximum(x, y) < 0.92)


def crescent(r: Grid, turns: Grid) -> Bool[np.ndarray, "s s"]:
    """Return the mask of the unit disc less a disc of radius 0.7 around (0.45, 0).

    Args:
        r: (s, s) radius of each pixel.
        turns: (s, s) angle of each pixel in turns.

    Returns:
        (s, s) bool, True inside.
    """
    return (r < 1) & (r * r - 0.9 * r * cos_wave(turns) + 0.2025 > 0.49)


def pill(r: Grid, turns: Grid) -> Bool[np.ndarray, "s s"]:
    """Return the mask of a horizontal bar with round ends, 2 long and 0.7 high.

    Args:
        r: (s, s) radius of each pixel.
        turns: (s, s) angle of each pixel in turns.

    Returns:
        (s, s) bool, True inside.
    """
    x, y = to_cartesian(r, turns)
    return np.maximum(np.abs(x) - 0.65, 0) ** 2 + y * y < 0.35**2


def spiral(r: Grid, turns: Grid) -> Bool[np.ndarray, "s s"]:
    """Return the mask of a spiral arm that winds outwards around a full center, inside the unit circle.

    Args:
        r: (s, s) radius of each pixel.
        turns: (s, s) angle of each pixel in turns.

    Returns:
        (s, s) bool, True inside.
    """
    return (r < 1) & (((r * 1.9 - turns) % 1 < 0.62) | (r < 0.25))


SHAPES: dict[str, Callable[[Grid, Grid], Bool[np.ndarray, "s s"]]] = {
    "disc": lambda r, turns: r < 1,
    "square": lambda r, turns: polygon(r, turns, 4),
    "star": lambda r, turns: star(r, turns, 5, 0.58),
    "ring": lambda r, turns: (r < 1) & (r > 0.55),
    "cross": cross,
    "crescent": crescent,
    "hexagon": lambda r, turns: polygon(r, turns, 6),
    "triangle": lambda r, turns: polygon(r, turns, 3),
    "flower": lambda r, turns: r < 0.72 + 0.28 * cos_wave(turns * 5),
    "pill": pill,
    "gear": lambda r, turns: (r < 0.78 + 0.22 * (cos_wave(turns * 9) > 0)) & (r > 0.22),
    "spiral": spiral,
}

# Weight of the second color at each position, in [0, 1]; `n` is the number of repeats, `p` the phase.
TEXTURES: dict[str, Callable[[Grid, Grid, float, float], Grid]] = {
    "shaded": lambda x, y, n, p: 0.3 + 0.3 * x,
    "striped": lambda x, y, n, p: (cos_wave(x * n / 2 + p) > 0.2).astype(np.float32),
    "dotted": lambda x, y, n, p: (cos_wave(x * n / 2 + p) + cos_wave(y * n / 2 + p) > 0.7).astype(np.float32),
    "checked": lambda x, y, n, p: (cos_wave(x * n / 3 + p) * cos_wave(y * n / 3 + p) > 0).astype(np.float32),
    "ringed": lambda x, y, n, p: 0.5 + 0.5 * cos_wave(np.hypot(x, y) * n / 2 + p),
    "rippled": lambda x, y, n, p: 0.5 + 0.5 * cos_wave(x * n / 2 + p + 0.25 * cos_wave(y * n / 3)),
}


@dataclass(frozen=True)
class Appearance:
    """The common properties of the objects of one category.

    Attributes:
        shape: key of `SHAPES`.
        hue: hue in turns of the color circle, in [0, 1).
        texture: key of `TEXTURES`.
    """

    shape: str
    hue: float
    texture: str


def hsv_to_rgb(hue: float, saturation: float, value: float) -> Float[np.ndarray, "3"]:
    """Convert an HSV color to RGB.

    Args:
        hue: hue in turns of the color circle; any real number.
        saturation: saturation in [0, 1].
        value: value in [0, 1].

    Returns:
        (3,) float32 in [0, 255].
    """
    ramp = np.abs((hue * 6 + np.array([0, 4, 2], np.float32)) % 6 - 3) - 1
    return (255 * value * (1 - saturation * (1 - np.clip(ramp, 0, 1)))).astype(np.float32)


def draw_object(appearance: Appearance, rng: np.random.Generator, size: int) -> UInt8[np.ndarray, "h w 4"]:
    """Draw an object with random hue, shade, rotation, stretch and texture, cropped to its mask.

    Hues move by 0.05 turns either way: more than half the step between neighboring categories, so that color alone does
    not identify a category.

    Args:
        appearance: shape, hue and texture of the category.
        rng: generator of everything else.
        size: side in pixels of the square patch it is drawn on.

    Returns:
        (h, w, 4) uint8 RGBA, h and w at most `size`; alpha is 255 on the object and 0 elsewhere.
    """
    turn, stretch, phase, sway, depth, light = rng.random(6).tolist()
    r, turns = polar(size)
    turns = (turns + np.float32(turn)) % 1
    x, y = to_cartesian(r, turns)
    squashed = y * np.float32(1 + 0.25 * stretch)
    shape = SHAPES[appearance.shape](np.hypot(x, squashed), np.arctan2(squashed, x) / np.float32(2 * PI) % 1)

    hue = appearance.hue + 0.1 * (sway - 0.5)
    saturation, value = 0.6 + 0.4 * rng.random(2)
    first = hsv_to_rgb(hue, saturation, value)
    second = hsv_to_rgb(hue + 0.08 * (depth - 0.5), saturation * (0.3 + 0.5 * depth), value * (0.35 + 0.45 * light))
    share = TEXTURES[appearance.texture](x, y, 4 + 3 * light, phase)[..., None]
    shading = (0.9 + 0.1 * y)[..., None]
    patch = np.empty((size, size, 4), np.uint8)
    patch[..., :3] = np.clip((first + (second - first) * share) * shading, 0, 255)
    patch[..., 3] = shape * np.uint8(255)
    return crop_to_mask(patch)


def crop_to_mask(patch: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "a b 4"]:
    """Crop an RGBA patch to the smallest rectangle around its opaque pixels.

    Args:
        patch: (h, w, 4) patch with at least one pixel of alpha above 0.

    Returns:
        (a, b, 4) view of the patch.
    """
    rows, columns = (np.flatnonzero(patch[..., 3].any(axis)) for axis in (1, 0))
    return patch[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@lru_cache(maxsize=4)
def noise_texture(height: int, width: int) -> Float[np.ndarray, "h2 w2 1"]:
    """Return fine Gaussian noise with twice the sides, of which backgrounds crop their texture.

    Args:
        height, width: size of the background in pixels.

    Returns:
        (2 * height, 2 * width, 1) float32 with a standard deviation of 6 gray levels, the same in each call.
    """
    return np.random.default_rng(0).normal(0, 6, (2 * height, 2 * width, 1)).astype(np.float32)


def draw_background(rng: np.random.Generator, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """Draw soft colored clouds and blotches as bright as objects, a few hard lines, a faint grain and grating.

    Blotches have objects' colors and sizes but no edge, lines have edges but no body: neither color nor edges alone
    make an object.

    Args:
        rng: generator of the background.
        height, width: size of the result in pixels.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    clouds = Image.fromarray(rng.integers(50, 206, (4, 4, 3), np.uint8)).resize((32, 32), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(clouds)
    for hue, x, y, w, h, shade in rng.random((int(rng.integers(3, 8)), 6)).tolist():
        color = tuple(int(c) for c in hsv_to_rgb(hue, 0.2 + 0.8 * shade, 0.4 + 0.6 * shade))
        pen.ellipse((32 * x - 2 - 5 * w, 32 * y - 2 - 5 * h, 32 * x + 2 + 5 * w, 32 * y + 2 + 5 * h), fill=color)
    clouds = clouds.filter(ImageFilter.BoxBlur(1))
    image = clouds.resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for hue, x, y, u, v, shade in rng.random((int(rng.integers(0, 6)), 6)).tolist():
        color = tuple(int(c) for c in hsv_to_rgb(hue, shade, 0.3 + 0.7 * shade))
        pen.line((width * x, height * y, width * u, height * v), fill=color, width=1 + int(3 * shade))

    a, b, phase, strength = rng.random(4).tolist()
    top, left = int(height * a), int(width * b)
    rows = cos_wave(np.arange(height, dtype=np.float32) * np.float32(0.02 + 0.1 * a) + np.float32(phase))
    columns = cos_wave(np.arange(width, dtype=np.float32) * np.float32(0.02 + 0.1 * b))
    grating = np.float32(14 * strength) * rows[:, None, None] * columns[None, :, None]
    texture = noise_texture(height, width)[top : top + height, left : left + width] + grating
    return np.clip(np.asarray(image) + texture, 0, 255).astype(np.uint8)
