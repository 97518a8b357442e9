"""What the page answers: from files to maps, and from maps to pictures and words. Nothing here knows of a web page."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from PIL import Image

from soundspot.app.limits import Deadline, LimitError, Limits, check_duration
from soundspot.data.media.audio import read_audio
from soundspot.errors import InputError, SoundspotError
from soundspot.inference.localizer import EncodedImage, Localizer
from soundspot.inference.multi_sound import MultiSoundResult, name_audios
from soundspot.inference.render import Color
from soundspot.inference.result import LocalizationMap

View = Literal["one", "combined", "beside"]
DEFAULT_MASK_THRESHOLD = 0.5  # where between a map's lowest and highest score its outline runs, at first


@dataclass(frozen=True, eq=False)
class LocatedImage:
    """A picture that was asked with sounds: its code, the map of each sound by name, and what went wrong with others.

    `files` holds the file of each sound, of which the map is kept as long as the picture is.
    """

    image: str
    encoded: EncodedImage
    maps: dict[str, LocalizationMap] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class OverlayStyle:
    """How a map is drawn: opacity of its heat in [0, 1], the rule of its mask, and what of the mask is shown."""

    opacity: float | int = 0.6
    mask_threshold: float | int = DEFAULT_MASK_THRESHOLD
    outline: bool = True
    boxes: bool = False


@dataclass(frozen=True, eq=False)
class MapFigure:
    """A picture to show, what it shows, and the colours of the sounds in it, where it has several."""

    image: Image.Image
    title: str
    colors: dict[str, Color] = field(default_factory=dict)


def locate_audios(
    localizer: Localizer,
    image: str,
    audios: Sequence[str],
    limits: Limits,
    deadline: Deadline,
    previous: LocatedImage | None = None,
) -> LocatedImage:
    """Maps of a picture with each of the sounds.

    What was asked before is not asked again: the picture is encoded once, and each sound heard once. A sound that
    cannot be heard is told among the problems; the others are heard.

    Args:
        picture, sounds: paths.
        before: what the same visitor asked last.

    Raises:
        InputError: the picture cannot be read. LimitError: the time is over.
    """
    if previous is None or previous.image != image:
        code = localizer.encode_image(image)
        previous = LocatedImage(image, replace(code, image=resize_for_display(code.image, *limits.display_side_range)))
        deadline.check()
    known = {file: previous.maps[name] for name, file in previous.files.items()}
    maps: dict[str, LocalizationMap] = {}
    files: dict[str, str] = {}
    problems = []
    if len(audios) > limits.max_audios:
        problems.append(f"Only the first {limits.max_audios} of {len(audios)} sounds were heard; ask with those alone.")
    for name, file in name_audios(audios[: limits.max_audios]).items():
        try:
            if file not in known:
                check_duration(file, limits.max_audio_seconds, "sound", "Cut out the part that you ask about.")
                heard = read_audio(file, max_seconds=limits.max_audio_seconds) if localizer.takes_waveforms else file
                known[file] = localizer.predict(previous.encoded, heard)
        except SoundspotError as error:
            problems.append(format_error(error, file))
        else:
            maps[name], files[name] = known[file], file
        deadline.check()
    return replace(previous, maps=maps, files=files, errors=tuple(problems))


def draw_figures(maps: dict[str, LocalizationMap], name: str, view: View, look: OverlayStyle) -> list[MapFigure]:
    """Pictures to show: the map of the sound called `name`, those of all sounds in one picture, or side by side."""
    rule = float(look.mask_threshold)
    outline, boxes = rule if look.outline else None, rule if look.boxes else None

    def one(name: str, colour: Color | None = None) -> MapFigure:
        return MapFigure(
            maps[name].overlay(float(look.opacity), outline, boxes), name, {name: colour} if colour else {}
        )

    if view == "one":
        return [one(name)]
    every = MultiSoundResult(maps)
    combined = MapFigure(every.combined_overlay(float(look.opacity), legend=False), "all sounds", every.colors)
    return [combined] if view == "combined" else [*(one(*pair) for pair in every.colors.items()), combined]


def round_threshold(threshold: float | None) -> float | None:
    """A threshold as a field shows it."""
    return None if threshold is None else round(threshold, 4)


def with_threshold(found: LocalizationMap, given: float | int | None, fitted: float | None = None) -> LocalizationMap:
    """The map with the threshold given in a field for its verdict; None: there is none.

    As long as the field shows the one that was fitted, that is taken to its last digit, as elsewhere.
    """
    if given == round_threshold(fitted):
        return replace(found, threshold=fitted)
    return replace(found, threshold=None if given is None else float(given))


def resize_for_display(picture: Image.Image, least: int, most: int) -> Image.Image:
    """The picture with its longer side of at least and at most so many pixels: what maps are drawn on."""
    longer = max(picture.size)
    if least <= longer <= most:
        return picture
    scale = (most if longer > most else least) / longer
    width, height = (max(1, round(edge * scale)) for edge in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def format_error(error: SoundspotError, *files: str) -> str:
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
