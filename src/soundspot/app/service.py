"""The service behind the page: from files to maps, and from maps to figures and messages. No web page is known here."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from PIL import Image

from soundspot.app.limits import Deadline, LimitError, Limits, check_duration
from soundspot.data.media.audio import read_audio
from soundspot.data.media.image import as_image
from soundspot.data.media.video import Video
from soundspot.errors import InputError, SoundspotError
from soundspot.inference.localizer import EncodedImage, Localizer
from soundspot.inference.multi_sound import MultiSoundResult, name_audios
from soundspot.inference.render import Color
from soundspot.inference.result import LocalizationMap

View = Literal["single", "combined", "side_by_side"]
DEFAULT_MASK_THRESHOLD = 0.5
TOO_LONG = "Cut out the seconds that matter."
TOO_LONG_VIDEO = "Cut it, or use the command line, which takes any length: `soundspot locate clip.mp4 --model FILE`."


@dataclass(frozen=True, eq=False)
class LocatedImage:
    """An image in which sounds were located.

    Attributes:
        image: path of the image file.
        encoded: image, encoded once; its copy to draw on is resized for display.
        maps: map of each sound by name.
        files: path of each sound by name.
        errors: messages on sounds that could not be used.
    """

    image: str
    encoded: EncodedImage
    maps: dict[str, LocalizationMap] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class OverlayStyle:
    """Options of drawing a map.

    Attributes:
        opacity: opacity of the heat at the highest scores, in [0, 1].
        mask_threshold: threshold of outline and boxes, as a share of the map's range, in [0, 1].
        outline: whether to draw the outline of the mask.
        boxes: whether to draw boxes around the regions of the mask.
    """

    opacity: float | int = 0.6
    mask_threshold: float | int = DEFAULT_MASK_THRESHOLD
    outline: bool = True
    boxes: bool = False


@dataclass(frozen=True, eq=False)
class MapFigure:
    """A drawing with its title.

    Attributes:
        image: RGB drawing.
        title: caption.
        colors: color of each sound by name, where the drawing has several or stands beside others.
    """

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
    """Locate each of several sounds in an image; the image is encoded once, and each sound once.

    A sound that cannot be used gives an error message; the others are located. Sounds beyond `limits.max_audios` are
    left out, with a message.

    Args:
        localizer: localizer of the page.
        image: path of the image file.
        audios: paths of the audio files.
        limits: limits of the page.
        deadline: deadline of the request, checked after each sound.
        previous: last result of the same visitor, whose maps are used again for the same image; None: there is none.

    Returns:
        The maps of the sounds.

    Raises:
        InputError: the image cannot be read.
        LimitError: the time is over, or the page was closed.
    """
    if previous is None or previous.image != image:
        encoded = localizer.encode_image(image)
        previous = LocatedImage(image, replace(encoded, image=resize_for_display(encoded.image, *limits.display_sides)))
        deadline.check()
    known = {file: previous.maps[name] for name, file in previous.files.items()}
    maps: dict[str, LocalizationMap] = {}
    files: dict[str, str] = {}
    errors = []
    if len(audios) > limits.max_audios:
        errors.append(f"Only the first {limits.max_audios} of {len(audios)} sounds were used; give the others alone.")
    for name, file in name_audios(audios[: limits.max_audios]).items():
        try:
            if file not in known:
                check_duration(file, limits.max_audio_seconds, "sound", TOO_LONG)
                is_file = not localizer.takes_waveforms
                audio = file if is_file else read_audio(file, max_seconds=limits.max_audio_seconds)
                known[file] = localizer.predict(previous.encoded, audio)
        except SoundspotError as error:
            errors.append(format_error(error, file))
        else:
            maps[name], files[name] = known[file], file
        deadline.check()
    return replace(previous, maps=maps, files=files, errors=tuple(errors))


def check_uploads(
    limits: Limits, deadline: Deadline, audios: Sequence[str] = (), image: str | None = None, video: str | None = None
) -> tuple[str, ...]:
    """Check that files can be read as soon as they are given: an image, the first frame, the first second of sounds.

    Args:
        limits: limits of the page.
        deadline: deadline of the request, checked after each file.
        audios: paths of audio files; those beyond `limits.max_audios` are passed over.
        image: path of an image file, or None.
        video: path of a video file, or None.

    Returns:
        A message on each file that cannot be used.

    Raises:
        LimitError: the time is over, or the page was closed.
    """

    def check_audio(file: str) -> None:
        check_duration(file, limits.max_audio_seconds, "sound", TOO_LONG)
        try:
            read_audio(file, max_seconds=1.0)
        except InputError as error:
            if error.cause != "too long":  # the first second was decoded, and that is enough
                raise

    def check_video(file: str) -> None:
        check_duration(file, limits.max_video_seconds, "video", TOO_LONG_VIDEO)
        with Video(file) as opened:
            opened.frames_at([0.0])

    checks: list[tuple[Callable[[str], object], str | None]] = [(as_image, image), (check_video, video)]
    errors = []
    for check, file in [*checks, *((check_audio, audio) for audio in audios[: limits.max_audios])]:
        if file:
            try:
                check(file)
            except SoundspotError as error:
                errors.append(format_error(error, file))
            deadline.check()
    return tuple(errors)


def draw_figures(maps: dict[str, LocalizationMap], name: str, view: View, style: OverlayStyle) -> list[MapFigure]:
    """Draw maps for the page.

    Args:
        maps: map of each sound by name, at least one.
        name: name of the sound that is drawn in the view `single`.
        view: `single`, the map of `name`; `combined`, all maps in one image by color; `side_by_side`, each map and then
            all in one image.
        style: opacity and marks of each drawing.

    Returns:
        The figures from left to right.
    """
    threshold, opacity = float(style.mask_threshold), float(style.opacity)
    outline, boxes = threshold if style.outline else None, threshold if style.boxes else None
    if view == "single":
        return [MapFigure(maps[name].overlay(opacity, outline, boxes), name)]
    results = MultiSoundResult(maps)
    combined = MapFigure(results.combined_overlay(opacity, legend=False), "all sounds", results.colors)
    if view == "combined":
        return [combined]
    figures = [
        MapFigure(maps[name].overlay(opacity, outline, boxes), name, {name: color})
        for name, color in results.colors.items()
    ]
    return [*figures, combined]


def round_threshold(threshold: float | None) -> float | None:
    """Round a threshold to four decimals, as the page's field shows it.

    Args:
        threshold: raw score; None: no threshold.

    Returns:
        The rounded score, or None.
    """
    return None if threshold is None else round(threshold, 4)


def with_threshold(
    result: LocalizationMap, threshold: float | int | None, fitted: float | None = None
) -> LocalizationMap:
    """Return a map with the threshold of the page's field, or the fitted threshold where the field shows it rounded.

    Args:
        result: map of a sound.
        threshold: raw score in the field; None: it is empty.
        fitted: threshold of the model, to its last digit; None: none was fitted.

    Returns:
        A copy of the map with its threshold replaced.
    """
    if threshold == round_threshold(fitted):
        return replace(result, threshold=fitted)
    return replace(result, threshold=None if threshold is None else float(threshold))


def resize_for_display(image: Image.Image, min_side: int, max_side: int) -> Image.Image:
    """Resize an image so that its longer side is between two lengths, by a Lanczos filter; the aspect ratio stays.

    Args:
        image: image of any size.
        min_side: least length of the longer side in pixels.
        max_side: greatest length of the longer side in pixels.

    Returns:
        The resized image; `image` itself where it fits.
    """
    longer = max(image.size)
    if min_side <= longer <= max_side:
        return image
    scale = (max_side if longer > max_side else min_side) / longer
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def format_error(error: SoundspotError, *files: str) -> str:
    """Format an error for a visitor, with the names of files in place of their paths.

    An error that is not the visitor's is logged with its paths for whoever runs the page, and not shown.

    Args:
        error: error of a request; an InputError or a LimitError is the visitor's.
        files: paths of the uploads of the request.

    Returns:
        Message for the visitor.
    """
    if not isinstance(error, InputError | LimitError):
        logging.getLogger(__name__).warning("%s", error)
        return "The page cannot do that now, and it is not your doing. Whoever runs it sees why in its terminal."
    text = str(error)
    for file in files:
        text = text.replace(file, Path(file).name)
    return text
