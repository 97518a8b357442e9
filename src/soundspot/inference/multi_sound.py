"""The maps of several given sounds in one image: side by side, and in one image that is colored by source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, cycle
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from soundspot.config.upsampling import min_max_normalize
from soundspot.errors import InputError
from soundspot.inference import render
from soundspot.inference.render import Color
from soundspot.inference.result import IMAGE_SUFFIXES, LocalizationMap, MaskThreshold
from soundspot.utils.atomic_io import atomic_write, check_output
from soundspot.utils.notebook import image_to_html, lines_to_html

ABSENT_COLOR: Color = (200, 200, 206)


@dataclass(frozen=True, eq=False)
class MultiSoundResult:
    """The maps of several sounds in one image.

    Attributes:
        maps: map by the name of its sound, in the order of the request; not empty.

    Raises:
        InputError: there are no maps.
    """

    maps: dict[str, LocalizationMap]

    def __post_init__(self) -> None:
        if not self.maps:
            raise InputError("found no sound to locate in the image, expected at least one.")

    @property
    def image(self) -> Image.Image:
        """The image that the maps belong to.

        Raises:
            InputError: the maps came without an image.
        """
        image = next(iter(self.maps.values())).image
        if image is None:
            raise InputError("these maps came without an image to draw on; locate with an image.")
        return image

    def _repr_html_(self) -> str:
        has_image = next(iter(self.maps.values())).image is not None
        lines = [f"{name}: {result.describe()}" for name, result in self.maps.items()]
        return (image_to_html(self.side_by_side()) if has_image else "") + lines_to_html(lines)

    @property
    def colors(self) -> dict[str, Color]:
        """Color of each sound in `combined_overlay`; gray for a sound that is not drawn."""
        pairs = zip(self.maps.items(), cycle(render.SOURCE_COLORS), strict=False)
        return {name: color if _has_source(result) else ABSENT_COLOR for (name, result), color in pairs}

    def combined_overlay(self, opacity: float = 0.6, legend: bool = True) -> Image.Image:
        """Draw all sounds in a gray copy of the image, each in its own color, the stronger the higher its map.

        Each map runs from its own lowest to its own highest score, so that a quiet source shows beside a loud source. A
        sound that is absent by the model's threshold, or whose map is constant, is not drawn, and the legend says so.

        Args:
            opacity: opacity of the color at the highest scores, in [0, 1].
            legend: whether to add a legend below the image.

        Returns:
            An RGB image of the size of the image; with the legend it is higher.

        Raises:
            InputError: the maps came without an image.
        """
        colors = self.colors
        names = [name for name, result in self.maps.items() if _has_source(result)]
        values = [min_max_normalize(self.maps[name].upsample()[None])[0].numpy() for name in names]
        stacked = np.stack(values) if values else np.empty((0, self.image.height, self.image.width), np.float32)
        drawing = render.overlay_sources(self.image, stacked, [colors[name] for name in names], opacity)
        return (
            render.add_legend(drawing, [(colors[name], self._caption(name)) for name in colors]) if legend else drawing
        )

    def side_by_side(self, opacity: float = 0.6, boxes: MaskThreshold | None = None, height: int = 320) -> Image.Image:
        """Draw the image, each sound's overlay and, for several sounds, `combined_overlay` in one row with captions.

        Args:
            opacity: opacity of the heat at the highest scores, in [0, 1].
            boxes: mask threshold of the boxes to draw (see `LocalizationMap.mask`); None: no boxes.
            height: height of each image in pixels; widths keep the aspect ratio.

        Returns:
            An RGB image.

        Raises:
            InputError: the maps came without an image, or `boxes` is no mask threshold.
        """
        overlays = [result.overlay(opacity, boxes=boxes) for result in self.maps.values()]
        captions, last = ["", *map(self._caption, self.maps)], []
        if len(overlays) > 1:
            overlays = [render.draw_border(*pair) for pair in zip(overlays, self.colors.values(), strict=True)]
            captions = [*captions, "each in the color of its frame"]
            last = [self.combined_overlay(opacity, legend=False)]
        return render.make_contact_sheet([[self.image, *overlays, *last]], [captions], height)

    def save(self, path: str | Path, overwrite: bool = True) -> None:
        """Write `side_by_side` to a file, which appears complete or not at all.

        Args:
            path: path ending in `.png`, `.jpg`, `.jpeg` or `.webp`.
            overwrite: whether an existing file may be replaced.

        Raises:
            OutputError: another suffix, the file exists and `overwrite` is False, or it cannot be written.
            InputError: the maps came without an image.
        """
        check_output(path := Path(path), overwrite, IMAGE_SUFFIXES)
        with atomic_write(path) as draft:
            self.side_by_side().save(draft, quality=92)

    def _caption(self, name: str) -> str:
        return name if self.maps[name].present is not False else f"{name}: not in the image"


def _has_source(result: LocalizationMap) -> bool:
    return result.present is not False and not result.is_constant


def name_audios(audios: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """Name sounds by the keys of a mapping, else by their file names, else `sound 1`, `sound 2`...

    A name that is in use already gets a number: `bark.wav (2)`.

    Args:
        audios: mapping of names to sounds, or a sequence of sounds (paths, `Audio`, pairs or embeddings); none is read.

    Returns:
        Sounds by name, in the given order.

    Raises:
        InputError: `audios` is a single path in place of a list.
    """
    if isinstance(audios, Mapping):
        return dict(audios)
    if isinstance(audios, str | PathLike):
        raise InputError(f"found one sound, {fspath(audios)}, expected several in a list. Call `locate` with one.")
    named: dict[str, Any] = {}
    for number, audio in enumerate(audios, 1):
        name = Path(audio).name if isinstance(audio, str | PathLike) else f"sound {number}"
        candidates = chain([name], (f"{name} ({suffix})" for suffix in count(2)))
        named[next(candidate for candidate in candidates if candidate not in named)] = audio
    return named
