"""Scenes with nothing to download: coloured, textured shapes, each with a synthesised timbre."""

import numpy as np
import torch
from jaxtyping import UInt8

from whence.errors import RecipeError
from whence.scenes import shapes, timbres
from whence.scenes.shapes import Look
from whence.types import Sound

LOOKS: dict[str, tuple[Look, str]] = {
    "red disc": (Look("disc", 0.0, "shaded"), "hum"),
    "blue square": (Look("square", 0.62, "striped"), "bell"),
    "green star": (Look("star", 0.34, "shaded"), "warble"),
    "yellow ring": (Look("ring", 0.16, "rippled"), "siren"),
    "magenta cross": (Look("cross", 0.86, "dotted"), "clicks"),
    "cyan crescent": (Look("crescent", 0.51, "shaded"), "hiss"),
    "orange hexagon": (Look("hexagon", 0.08, "checked"), "motor"),
    "violet triangle": (Look("triangle", 0.76, "ringed"), "pluck"),
    "pink flower": (Look("flower", 0.93, "ringed"), "zap"),
    "lime pill": (Look("pill", 0.25, "striped"), "organ"),
    "sky gear": (Look("gear", 0.57, "checked"), "gusts"),
    "teal spiral": (Look("spiral", 0.43, "rippled"), "ringer"),
}


class ProceduralSource:
    """Up to twelve categories of drawn objects with synthesised sounds (see `LOOKS`); needs no files.

    A scene of 128 x 128 pixels, or a sound of two seconds at 16 kHz, takes about a millisecond on one core.
    """

    name = "scenes"

    def __init__(self, categories: int = 12) -> None:
        if not 1 <= categories <= len(LOOKS):
            raise RecipeError(f"procedural scenes have 1 to {len(LOOKS)} categories; {categories} were asked for.")
        self.categories: tuple[str, ...] = tuple(LOOKS)[:categories]

    def draw_object(self, category: str, rng: np.random.Generator, size: int) -> UInt8[np.ndarray, "h w 4"]:
        return shapes.draw(LOOKS[category][0], rng, size)

    def draw_sound(self, category: str, rng: np.random.Generator, seconds: float, rate: int) -> Sound:
        waveform = timbres.synthesise(LOOKS[category][1], rng, round(seconds * rate), rate)
        return Sound(torch.from_numpy(waveform), rate)

    def background(self, rng: np.random.Generator, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        return shapes.background(rng, height, width)
