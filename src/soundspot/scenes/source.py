"""Sources of scenes: objects, their sounds, and backgrounds, each drawn from a random state alone."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from soundspot.types import Audio


@runtime_checkable
class ObjectSource(Protocol):
    """Objects of several categories, each with an appearance and a sound.

    Every draw depends on its arguments alone (the generator included), never on earlier draws.
    """

    @property
    def name(self) -> str:
        """`scenes` or `cutouts`: the beginning of the names of data sets made from it."""
        ...

    @property
    def split(self) -> str:
        """Split of the files that objects come from; empty where there are no files."""
        return ""

    @property
    def categories(self) -> tuple[str, ...]: ...

    def draw_object(self, category: str, rng: np.random.Generator, size: int) -> UInt8[np.ndarray, "h w 4"]:
        """Draw an object as RGBA, cropped to its mask; `size` is about its longer side in pixels.

        Alpha is 255 on the object and 0 elsewhere, so that it is the exact mask.
        """
        ...

    def draw_audio(self, category: str, rng: np.random.Generator, seconds: float, rate: int) -> Audio:
        """Draw a sound of the category of exactly round(seconds * rate) samples."""
        ...

    def draw_background(self, rng: np.random.Generator, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        """Draw an RGB image that shows no object of the categories."""
        ...
