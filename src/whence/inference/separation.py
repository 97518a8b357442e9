"""Several sounds asked of one picture: a map of each, side by side, and one picture that is coloured by source."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, cycle, islice
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from whence.errors import InputError
from whence.inference import render
from whence.inference.render import Colour
from whence.inference.soundmap import PICTURES, Rule, SoundMap
from whence.output import check_output, whole_file
from whence.readout import min_max

ABSENT = "not in the picture"
NOWHERE: Colour = (200, 200, 206)


@dataclass(frozen=True, eq=False)
class Separation:
    """The maps of several sounds in one picture.

    Attributes:
        maps: by the name of the sound, in the order they were asked in; at least one.
    """

    maps: dict[str, SoundMap]

    def __post_init__(self) -> None:
        if not self.maps:
            raise InputError("no sound was given to tell apart in the picture; expected at least one.")

    @property
    def picture(self) -> Image.Image:
        """What the maps are of."""
        picture = next(iter(self.maps.values())).picture
        if picture is None:
            raise InputError("these maps came without a picture to draw on; locate with an image.")
        return picture

    @property
    def colours(self) -> dict[str, Colour]:
        """The colour of each sound in `combined`; grey for one that is drawn nowhere."""
        every = zip(self.maps.items(), islice(cycle(render.SOURCES), len(self.maps)), strict=True)
        return {name: colour if _drawn(found) else NOWHERE for (name, found), colour in every}

    def combined(self, opacity: float = 0.6, legend: bool = True) -> Image.Image:
        """The picture coloured by source: each sound in a colour of its own, by the heights of its map.

        Each map runs from its own lowest to its own highest score, as in an overlay, so that a quiet source shows
        beside a loud one. A sound that is not in the picture by the model's threshold, or whose map is the same
        everywhere, is not drawn, and the legend says so.
        """
        picture, colours = self.picture, self.colours
        drawn = [name for name, found in self.maps.items() if _drawn(found)]
        values = [min_max(self.maps[name].upsample()[None])[0].numpy() for name in drawn]
        stacked = np.stack(values) if values else np.empty((0, picture.height, picture.width), np.float32)
        whole = render.by_source(picture, stacked, [colours[name] for name in drawn], opacity)
        return render.with_legend(whole, [(colours[name], self._told(name)) for name in self.maps]) if legend else whole

    def side_by_side(self, opacity: float = 0.6, boxes: Rule | None = None, height: int = 320) -> Image.Image:
        """The picture, the overlay of each sound, and all in one by `combined`, with captions, at one height."""
        overlays = [found.overlay(opacity, boxes=boxes) for found in self.maps.values()]
        captions, last = ["", *map(self._told, self.maps)], []
        if len(overlays) > 1:
            overlays = [render.framed(*each) for each in zip(overlays, self.colours.values(), strict=True)]
            captions, last = [*captions, "each in the colour of its frame"], [self.combined(opacity, legend=False)]
        return render.strip([self.picture, *overlays, *last], captions, height)

    def save(self, path: str | Path, overwrite: bool = True) -> None:
        """Writes `side_by_side` (`.png`, `.jpg`, `.webp`); the file appears whole or not at all."""
        check_output(path := Path(path), overwrite, PICTURES)
        with whole_file(path) as draft:
            self.side_by_side().save(draft, quality=92)

    def _told(self, name: str) -> str:
        return name if self.maps[name].present is not False else f"{name}: {ABSENT}"


def _drawn(found: SoundMap) -> bool:
    return found.present is not False and not found.is_flat


def named(sounds: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """Sounds by name: their own in a mapping, else those of their files, else `sound 1`, `sound 2`...

    A name that was there already is numbered, as in `bark.wav (2)`.
    """
    if isinstance(sounds, Mapping):
        return dict(sounds)
    if isinstance(sounds, str | PathLike):
        raise InputError(f"found one sound, {fspath(sounds)}, expected several in a list. Ask `locate` with one.")
    found: dict[str, Any] = {}
    for number, sound in enumerate(sounds, 1):
        name = Path(sound).name if isinstance(sound, str | PathLike) else f"sound {number}"
        found[next(free for free in _numbered(name) if free not in found)] = sound
    return found


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name} ({number})" for number in count(2))
