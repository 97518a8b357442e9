"""What the page answers: from files to maps, and from maps to pictures and words. Nothing here knows of a web page."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from PIL import Image

from whence.app.limits import Clock, LimitError, Limits, refuse_long
from whence.data.audio import read_sound
from whence.errors import InputError, WhenceError
from whence.inference.localizer import ImageCode, Localizer
from whence.inference.render import Colour
from whence.inference.separation import Separation, named
from whence.inference.soundmap import SoundMap

View = Literal["one", "combined", "beside"]
MASK = 0.5  # where between a map's lowest and highest score its outline runs, at first


@dataclass(frozen=True, eq=False)
class Asked:
    """A picture that was asked with sounds: its code, the map of each sound by name, and what went wrong with others.

    `files` holds the file of each sound, of which the map is kept as long as the picture is.
    """

    picture: str
    code: ImageCode
    maps: dict[str, SoundMap] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """How a map is drawn: opacity of its heat in [0, 1], the rule of its mask, and what of the mask is shown."""

    opacity: float | int = 0.6
    mask: float | int = MASK
    outline: bool = True
    boxes: bool = False


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture to show, what it shows, and the colours of the sounds in it, where it has several."""

    picture: Image.Image
    title: str
    colours: dict[str, Colour] = field(default_factory=dict)


def ask(
    localizer: Localizer,
    picture: str,
    sounds: Sequence[str],
    limits: Limits,
    clock: Clock,
    before: Asked | None = None,
) -> Asked:
    """Maps of a picture with each of the sounds.

    What was asked before is not asked again: the picture is encoded once, and each sound heard once. A sound that
    cannot be heard is told among the problems; the others are heard.

    Args:
        picture, sounds: paths.
        before: what the same visitor asked last.

    Raises:
        InputError: the picture cannot be read. LimitError: the time is over.
    """
    if before is None or before.picture != picture:
        code = localizer.encode_image(picture)
        before = Asked(picture, replace(code, picture=shown_at(code.picture, *limits.sides)))
        clock.check()
    known = {file: before.maps[name] for name, file in before.files.items()}
    maps: dict[str, SoundMap] = {}
    files: dict[str, str] = {}
    problems = []
    if len(sounds) > limits.sounds:
        problems.append(f"Only the first {limits.sounds} of {len(sounds)} sounds were heard; ask with those alone.")
    for name, file in named(sounds[: limits.sounds]).items():
        try:
            if file not in known:
                refuse_long(file, limits.sound, "sound", "Cut out the part that you ask about.")
                heard = read_sound(file, most=limits.sound) if localizer.hears_recordings else file
                known[file] = localizer.hear(before.code, heard)
        except WhenceError as error:
            problems.append(in_words(error, file))
        else:
            maps[name], files[name] = known[file], file
        clock.check()
    return replace(before, maps=maps, files=files, problems=tuple(problems))


def draw(maps: dict[str, SoundMap], name: str, view: View, look: Look) -> list[Drawn]:
    """Pictures to show: the map of the sound called `name`, those of all sounds in one picture, or side by side."""
    rule = float(look.mask)
    outline, boxes = rule if look.outline else None, rule if look.boxes else None

    def one(name: str, colour: Colour | None = None) -> Drawn:
        return Drawn(maps[name].overlay(float(look.opacity), outline, boxes), name, {name: colour} if colour else {})

    if view == "one":
        return [one(name)]
    every = Separation(maps)
    combined = Drawn(every.combined(float(look.opacity), legend=False), "all sounds", every.colours)
    return [combined] if view == "combined" else [*(one(*pair) for pair in every.colours.items()), combined]


def shown_as(threshold: float | None) -> float | None:
    """A threshold as a field shows it."""
    return None if threshold is None else round(threshold, 4)


def judged(found: SoundMap, given: float | int | None, fitted: float | None = None) -> SoundMap:
    """The map with the threshold given in a field for its verdict; None: there is none.

    As long as the field shows the one that was fitted, that is taken to its last digit, as elsewhere.
    """
    if given == shown_as(fitted):
        return replace(found, threshold=fitted)
    return replace(found, threshold=None if given is None else float(given))


def shown_at(picture: Image.Image, least: int, most: int) -> Image.Image:
    """The picture with its longer side of at least and at most so many pixels: what maps are drawn on."""
    longer = max(picture.size)
    if least <= longer <= most:
        return picture
    scale = (most if longer > most else least) / longer
    width, height = (max(1, round(edge * scale)) for edge in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def in_words(error: WhenceError, *files: str) -> str:
    """The message of an error with the names of files in place of the paths that the page put them at.

    What is no visitor's doing is told to whoever runs the page, with its paths, and not to visitors.
    """
    if not isinstance(error, InputError | LimitError):
        logging.getLogger(__name__).warning("%s", error)
        return "The page cannot do that now, and it is not your doing. Whoever runs it sees why in its terminal."
    text = str(error)
    for file in files:
        text = text.replace(file, Path(file).name)
    return text
