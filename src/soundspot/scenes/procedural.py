"""Scenes with nothing to download: colored, textured shapes, each with a synthesized timbre."""

import numpy as np
import torch
from jaxtyping import UInt8

from soundspot.errors import RecipeError
from soundspot.scenes import shapes
from soundspot.scenes.shapes import Appearance
from soundspot.scenes.source import ObjectSource
from soundspot.scenes.synthesis import synthesize
from soundspot.types import Audio

# Category: (appearance, timbre).
PROCEDURAL_CATEGORIES: dict[str, tuple[Appearance, str]] = {
    "red disc": (Appearance("disc", 0.0, "shaded"), "hum"),
    "blue square": (Appearance("square", 0.62, "striped"), "bell"),
    "green star": (Appearance("star", 0.34, "shaded"), "warble"),
    "yellow ring": (Appearance("ring", 0.16, "rippled"), "siren"),
    "magenta cross": (Appearance("cross", 0.86, "dotted"), "clicks"),
    "cyan crescent": (Appearance("crescent", 0.51, "shaded"), "hiss"),
    "orange hexagon": (Appearance("hexagon", 0.08, "checked"), "motor"),
    "violet triangle": (Appearance("triangle", 0.76, "ringed"), "pluck"),
    "pink flower": (Appearance("flower", 0.93, "ringed"), "zap"),
    "lime pill": (Appearance("pill", 0.25, "striped"), "organ"),
    "sky gear": (Appearance("gear", 0.57, "checked"), "gusts"),
    "teal spiral": (Appearance("spiral", 0.43, "rippled"), "ringer"),
}


class ProceduralSource(ObjectSource):
    """Up to twelve categories of drawn objects with synthesized sounds (`PROCEDURAL_CATEGORIES`); needs no files.

    A scene of 128 x 128 pixels, or a sound of two seconds at 16 kHz, takes about a millisecond on one core.

    Args:
        categories: number of categories, 1 to 12, the first ones of `PROCEDURAL_CATEGORIES`.

    Raises:
        RecipeError: the number is out of range.
    """

    name = "scenes"
    categories: tuple[str, ...] = ()

    def __init__(self, categories: int = 12) -> None:
        total = len(PROCEDURAL_CATEGORIES)
        if not 1 <= categories <= total:
            raise RecipeError(f"procedural scenes have 1 to {total} categories; {categories} were requested.")
        self.categories = tuple(PROCEDURAL_CATEGORIES)[:categories]

    def draw_object(self, category: str, rng: np.random.Generator, size: int) -> UInt8[np.ndarray, "h w 4"]:
        """Draw an object of a category, with random hue, shade, rotation, stretch and texture.

        Args:
            category: name of the category.
            rng: generator of the object's look.
            size: side in pixels of the square patch it is drawn on.

        Returns:
            (h, w, 4) uint8 RGBA, cropped to the object, h and w at most `size`; alpha is 255 on the object and 0
            elsewhere.
        """
        return shapes.draw_object(PROCEDURAL_CATEGORIES[category][0], rng, size)

    def draw_audio(self, category: str, rng: np.random.Generator, seconds: float, rate: int) -> Audio:
        """Synthesize a sound of a category.

        Args:
            category: name of the category.
            rng: generator of pitch, tempo, phase, color and level.
            seconds: duration in seconds.
            rate: sample rate in Hz.

        Returns:
            Mono audio of round(seconds * rate) samples, with a peak between 0.25 and 0.9.
        """
        waveform = synthesize(PROCEDURAL_CATEGORIES[category][1], rng, round(seconds * rate), rate)
        return Audio(torch.from_numpy(waveform), rate)

    def draw_background(self, rng: np.random.Generator, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        """Draw soft colored clouds and blotches, a few hard lines, a faint grain and grating.

        Args:
            rng: generator of the background.
            height, width: size of the result in pixels.

        Returns:
            (height, width, 3) uint8 RGB.
        """
        return shapes.draw_background(rng, height, width)
