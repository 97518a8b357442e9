"""Results of `soundspot locate` of a folder as moments that a person can check: an image or a frame, and a sound.

An image with a sound is one moment. A video has one in the middle of each four seconds, since frames that are near to
each other are nearly the same.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from soundspot.data.media.file_types import iter_files
from soundspot.errors import DataError
from soundspot.utils.safe_read import check_fields, convert_read_errors, parse_json

MOMENT_SECONDS = 4.0  # between the moments of a video
MAX_SECONDS = 60.0  # of a window
VIDEO_SECONDS = 5.0  # around a moment, of a model that locates moments and not windows
EXPECTED = "expected results of `soundspot locate FOLDER`. Locate again with --overwrite, or move the file elsewhere"
NO_RESULTS = (
    "expected what `soundspot locate FOLDER` writes: NAME.json of images, or NAME.frames.json of videos. Locate your "
    "recordings first"
)
FRAMES_SUFFIX, EVENTS_SUFFIX = ".frames.json", ".events.json"


@dataclass(frozen=True)
class Moment:
    """A moment in which a sound was located.

    Attributes:
        result: path of the file with the result, relative to the folder of results.
        image: path of the image, or of the video, as the result has it.
        audio: path of the sound; empty: a video's own.
        audio_track: number of the audio track; None: the file's default.
        time: time in the video in seconds; None: an image.
        peak: highest raw score of the map.
        peak_at: its pixel (x, y) in the image.
        index: index of the entry in the file, from 0.
        window: beginning and length in seconds of what the model was given of the sound; None: not known.
    """

    result: str
    image: str
    audio: str
    audio_track: int | None
    time: float | None
    peak: float
    peak_at: tuple[int, int]
    index: int
    window: tuple[float, float] | None

    @property
    def kind(self) -> str:
        """Kind of clip beside its image: `sound` of an image, `video` of a video."""
        return "sound" if self.time is None else "video"

    def to_json(self) -> str:
        """Convert the moment to JSON, by which a journal knows it.

        Returns:
            One line of text, without the window.
        """
        values = asdict(self)
        del values["window"]
        return json.dumps(values, ensure_ascii=False)


@dataclass(frozen=True)
class LocatedModel:
    """The model that located a folder's results.

    Attributes:
        name: name of the model.
        identity: hash of the model (`Localizer.identity`).
        threshold: threshold of presence that the results were located with; None: there was none, or several.
    """

    name: str
    identity: str
    threshold: float | None


def read_moments(folder: Path) -> tuple[LocatedModel, list[Moment]]:
    """Read the moments of all results below a folder; those with a silent sound, which no peak decides, are left out.

    Args:
        folder: folder of results.

    Returns:
        The model, and the moments in the order of the files.

    Raises:
        DataError: there is no such folder or no result in it, a file is damaged, or results are of several models.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: found no such folder, {NO_RESULTS}")
    models: dict[LocatedModel, Path] = {}
    moments: list[Moment] = []
    for path in sorted(iter_files(folder)):
        is_hidden = any(name.startswith(".") for name in path.relative_to(folder).parts)
        if path.suffix.lower() == ".json" and not is_hidden and not path.name.endswith(EVENTS_SUFFIX):
            with convert_read_errors(path, EXPECTED):
                for model, moment in _read_result(path, path.relative_to(folder).as_posix()):
                    models.setdefault(model, path)
                    moments += [] if moment is None else [moment]
    if not models:
        raise DataError(f"{folder}: found no results, {NO_RESULTS}")
    by_identity = {model.identity: (model, path) for model, path in models.items()}
    if len(by_identity) > 1:
        (first, here), (second, there) = list(by_identity.values())[:2]
        raise DataError(
            f"{folder}: found results of several models ({first.name} {first.identity} in {here.name}, "
            f"{second.name} {second.identity} in {there.name}), expected those of one, and of images "
            "or of videos of one input size. Locate all by one model (`soundspot locate FOLDER --overwrite`), images "
            "and videos into two folders"
        )
    model = next(iter(models))
    return (model if len(models) == 1 else replace(model, threshold=None)), moments


def _read_result(path: Path, name: str) -> Iterator[tuple[LocatedModel, Moment | None]]:
    """Yield the model and the moments of a file; nothing of a JSON file of another kind."""
    content = parse_json(path.read_text(encoding="utf-8-sig"))
    if isinstance(content, dict) and path.name.endswith(FRAMES_SUFFIX):
        yield from _read_frames(content, name)
    elif (
        isinstance(content, list) and content and all(isinstance(item, dict) and "peak_at" in item for item in content)
    ):
        for index, item in enumerate(content):
            paths = str(item["image"]), str(item["sound"]), item.get("audio_track")
            yield _to_model(item), _to_moment(item, name, *paths, None, index, item.get("audio_window"))


def _read_frames(content: dict[str, Any], name: str) -> Iterator[tuple[LocatedModel, Moment | None]]:
    frames, model = content["frames"], _to_model(content)
    yield model, None
    paths = str(content["path"]), str(content["audio"]), content["audio_track"]
    middles: dict[int, int] = {}  # number of the four seconds -> index of the frame nearest to their middle
    for index, frame in enumerate(frames):
        number = int(frame["time"] // MOMENT_SECONDS)
        middle = (number + 0.5) * MOMENT_SECONDS
        if number not in middles or abs(frame["time"] - middle) < abs(frames[middles[number]]["time"] - middle):
            middles[number] = index
    seconds, end = content.get("audio_seconds") or VIDEO_SECONDS, frames[-1]["time"] if frames else 0.0
    for index in middles.values():
        time = float(frames[index]["time"])
        window = [max(0.0, min(time - seconds / 2, end - seconds)), seconds]  # moved inward, as by the model
        yield model, _to_moment(frames[index], name, *paths, time, index, window)


def _to_model(values: dict[str, Any]) -> LocatedModel:
    if not values.get("model_id"):
        raise ValueError("found no model_id, so it is of an earlier version")
    model = LocatedModel(values["model"], values["model_id"], values["threshold"])
    check_fields(model)
    return model


def _to_moment(
    values: dict[str, Any],
    name: str,
    image: str,
    audio: str,
    track: int | None,
    time: float | None,
    index: int,
    window: list[float | int] | None,
) -> Moment | None:
    """Return the moment of an entry; None for silence."""
    if values["silent"]:
        return None
    span = None if window is None else (float(window[0]), float(window[1]))
    moment = Moment(name, image, audio, track, time, float(values["peak"]), (*values["peak_at"],), index, span)
    check_fields(moment)
    if span is not None and not (0 <= span[0] < math.inf and 0 < span[1] <= MAX_SECONDS):
        raise ValueError(f"found the window of {span[1]} s from {span[0]} s")
    if not math.isfinite(moment.peak):
        raise ValueError(f"found the peak {moment.peak}")
    return moment


def find_source(folder: Path, name: str) -> Path | None:
    """Find a file that a result names, from the folder that it was located in or one above the results.

    Args:
        folder: folder of the results.
        name: path as the result has it: absolute, or relative to the working directory of that time.

    Returns:
        Path of the file; None where it is gone.
    """
    above = folder.absolute().parents
    try:
        return next((path for path in (*(parent / name for parent in above), Path(name)) if path.is_file()), None)
    except (OSError, ValueError):  # a name that no file can have
        return None
