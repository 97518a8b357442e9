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
        """Name of the source, `scenes` or `cutouts`: the beginning of the names of data sets made from it."""
        ...

    @property
    def split(self) -> str:
        """Split of the files that objects come from; empty where there are no files."""
        return ""

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the categories that objects and sounds can be drawn of."""
        ...

    def draw_object(self, category: str, rng: np.random.Generator, size: int) -> UInt8[np.ndarray, "h w 4"]:
        """Draw an object of a category.

        Args:
            category: name of the category.
            rng: generator of the object, advanced by the draw.
            size: approximate longer side of the object in pixels.

        Returns:
            (h, w, 4) uint8 RGBA, cropped to the object; alpha is 255 on the object and 0 elsewhere, so that it is the
            exact mask.
        """
        ...

    def draw_audio(self, category: str, rng: np.random.Generator, seconds: float, rate: int) -> Audio:
        """Draw a sound of a category.

        Args:
            category: name of the category.
            rng: generator of the sound, advanced by the draw.
            seconds: duration in seconds.
            rate: sample rate in Hz.

        Returns:
            Mono audio of exactly round(seconds * rate) samples in [-1, 1].
        """
        ...

    def name_audio(self, category: str, rng: np.random.Generator) -> str:
        """Return the recording that `draw_audio` would draw from.

        Args:
            category: name of the category.
            rng: generator in the state in which `draw_audio` would take it.

        Returns:
            Path of the recording; empty where sounds are not drawn from files, which is the default.
        """
        return ""

    def find_audio(self, category: str, rng: np.random.Generator) -> str:
        """Return the path of the recording that `draw_audio` would draw from.

        Args:
            category: name of the category.
            rng: generator in the state in which `draw_audio` would take it.

        Returns:
            Path of the file; empty where sounds come from no files, which is the default.
        """
        return ""

    def draw_background(self, rng: np.random.Generator, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        """Draw a background that shows no object of the categories.

        Args:
            rng: generator of the background, advanced by the draw.
            height, width: size of the result in pixels.

        Returns:
            (height, width, 3) uint8 RGB.
        """
        ...
