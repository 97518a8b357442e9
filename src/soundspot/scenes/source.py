"""What scenes are made of: a source draws objects, their sounds, and backgrounds, each from a random state alone."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from soundspot.types import Audio


@runtime_checkable
class ObjectSource(Protocol):
    """Objects of several categories, each with a look and a sound.

    Every draw depends on its arguments alone (the generator included), never on what was drawn before.
    """

    @property
    def name(self) -> str:
        """`scenes` or `cutouts`: what the names of data sets made from it begin with."""
        ...

    @property
    def categories(self) -> tuple[str, ...]: ...

    def draw_object(self, category: str, rng: np.random.Generator, size: int) -> UInt8[np.ndarray, "h w 4"]:
        """One object as RGBA, cropped to its mask; `size` is about its longer side in pixels.

        Alpha is 255 on the object and 0 elsewhere, so that it is the exact mask.
        """
        ...

    def draw_audio(self, category: str, rng: np.random.Generator, seconds: float, rate: int) -> Audio:
        """A sound of the category, exactly round(seconds * rate) samples."""
        ...

    def draw_background(self, rng: np.random.Generator, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        """A picture (RGB) that shows no object of the categories."""
        ...
