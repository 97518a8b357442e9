"""Several sounds asked of one picture: a map of each, side by side, and one picture that is coloured by source."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, cycle, islice
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

ABSENT = "not in the picture"
ABSENT_COLOR: Color = (200, 200, 206)


@dataclass(frozen=True, eq=False)
class MultiSoundResult:
    """The maps of several sounds in one picture.

    Attributes:
        maps: by the name of the sound, in the order they were asked in; at least one.
    """

    maps: dict[str, LocalizationMap]

    def __post_init__(self) -> None:
        if not self.maps:
            raise InputError("no sound was given to tell apart in the picture; expected at least one.")

    @property
    def image(self) -> Image.Image:
        """What the maps are of."""
        picture = next(iter(self.maps.values())).image
        if picture is None:
            raise InputError("these maps came without a picture to draw on; locate with an image.")
        return picture

    @property
    def colors(self) -> dict[str, Color]:
        """The colour of each sound in `combined`; grey for one that is drawn nowhere."""
        every = zip(self.maps.items(), islice(cycle(render.SOURCE_COLORS), len(self.maps)), strict=True)
        return {name: colour if _drawn(found) else ABSENT_COLOR for (name, found), colour in every}

    def combined_overlay(self, opacity: float = 0.6, legend: bool = True) -> Image.Image:
        """The picture coloured by source: each sound in a colour of its own, by the heights of its map.

        Each map runs from its own lowest to its own highest score, as in an overlay, so that a quiet source shows
        beside a loud one. A sound that is not in the picture by the model's threshold, or whose map is the same
        everywhere, is not drawn, and the legend says so.
        """
        picture, colours = self.image, self.colors
        drawn = [name for name, found in self.maps.items() if _drawn(found)]
        values = [min_max_normalize(self.maps[name].upsample()[None])[0].numpy() for name in drawn]
        stacked = np.stack(values) if values else np.empty((0, picture.height, picture.width), np.float32)
        whole = render.overlay_sources(picture, stacked, [colours[name] for name in drawn], opacity)
        return render.add_legend(whole, [(colours[name], self._told(name)) for name in self.maps]) if legend else whole

    def side_by_side(self, opacity: float = 0.6, boxes: MaskThreshold | None = None, height: int = 320) -> Image.Image:
        """The picture, the overlay of each sound, and all in one by `combined`, with captions, at one height."""
        overlays = [found.overlay(opacity, boxes=boxes) for found in self.maps.values()]
        captions, last = ["", *map(self._told, self.maps)], []
        if len(overlays) > 1:
            overlays = [render.draw_border(*each) for each in zip(overlays, self.colors.values(), strict=True)]
            captions, last = (
                [*captions, "each in the colour of its frame"],
                [self.combined_overlay(opacity, legend=False)],
            )
        return render.make_strip([self.image, *overlays, *last], captions, height)

    def save(self, path: str | Path, overwrite: bool = True) -> None:
        """Writes `side_by_side` (`.png`, `.jpg`, `.webp`); the file appears whole or not at all."""
        check_output(path := Path(path), overwrite, IMAGE_SUFFIXES)
        with atomic_write(path) as draft:
            self.side_by_side().save(draft, quality=92)

    def _told(self, name: str) -> str:
        return name if self.maps[name].present is not False else f"{name}: {ABSENT}"


def _drawn(found: LocalizationMap) -> bool:
    return found.present is not False and not found.is_constant


def name_audios(audios: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """Sounds by name: their own in a mapping, else those of their files, else `sound 1`, `sound 2`...

    A name that was there already is numbered, as in `bark.wav (2)`.
    """
    if isinstance(audios, Mapping):
        return dict(audios)
    if isinstance(audios, str | PathLike):
        raise InputError(f"found one sound, {fspath(audios)}, expected several in a list. Ask `locate` with one.")
    found: dict[str, Any] = {}
    for number, sound in enumerate(audios, 1):
        name = Path(sound).name if isinstance(sound, str | PathLike) else f"sound {number}"
        found[next(free for free in _numbered(name) if free not in found)] = sound
    return found


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name} ({number})" for number in count(2))
