"""Clips of a review as files: an image with the peak on it, and a few seconds of sound or video around the moment."""

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image

from soundspot.data.media.audio import crop_or_tile, read_audio
from soundspot.data.media.audio_writer import write_audio
from soundspot.data.media.clip_writer import write_clip
from soundspot.data.media.image import read_image
from soundspot.data.media.rle import decode_mask
from soundspot.data.media.video import Video
from soundspot.errors import DataError, InputError
from soundspot.inference.render import WHITE, draw_outline, draw_peak
from soundspot.review.results import Moment, find_source
from soundspot.review.review import Clip, Review
from soundspot.types import Audio
from soundspot.utils.atomic_io import atomic_write
from soundspot.utils.safe_read import convert_read_errors, parse_json

SOUND_SECONDS = 10.0  # from the middle of the sound of an image, where its result does not say what was used of it
FRAME_RATE = 10  # of the clip of a video
MAX_SIDE = 960  # pixels of the longer side of an image
VIDEO_SIDE = 480  # of a video
SUFFIXES = {"image": ".jpg", "sound": ".flac", "video": ".mp4"}


class ClipCutter:
    """Cut clips of a review into files, each when it is asked for first; they are deleted with the cutter.

    Args:
        review: the review.
    """

    def __init__(self, review: Review) -> None:
        self.review, self._folder = review, Path(tempfile.mkdtemp(prefix="soundspot-clips-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._lock = threading.Lock()

    def cut(self, clip: Clip, kind: str) -> Path:
        """Return a file of a clip.

        Args:
            clip: the clip.
            kind: `image`: the image or frame, with outline and peak; `sound`: the sound of an image; `video`: seconds
                of a video around the moment, with its sound.

        Returns:
            Path of the file.

        Raises:
            InputError: the image, the video or its sound is gone, or cannot be read.
            DataError: the result of the clip cannot be read any more.
        """
        path = self._folder / f"{clip.id}{SUFFIXES[kind]}"
        with self._lock:  # one at a time: a decoder is not quicker for two
            if not path.is_file():
                moment = clip.moment
                if kind == "image":
                    with atomic_write(path) as draft:
                        draw_moment(self.review.folder, moment).save(draft, quality=90)
                elif kind == "sound":
                    write_audio(path, read_sound(self.review.folder, moment))
                else:
                    write_video(self.review.folder, moment, path)
        return path

    def find_failure(self, clip: Clip) -> str:
        """Cut all files of a clip, and say what is in the way.

        Args:
            clip: the clip.

        Returns:
            Message of the file that is gone or cannot be read; empty where the clip can be shown.
        """
        try:
            for kind in ("image", clip.moment.kind):
                self.cut(clip, kind)
        except (DataError, InputError) as error:
            return str(error)
        return ""

    def has_sources(self) -> bool:
        """Return True where any image or video of the results can be opened; else the command was started elsewhere."""
        for name in dict.fromkeys(moment.image for moment in self.review.moments):
            with suppress(InputError):
                return open_source(self.review.folder, name).is_file()
        return False


def open_source(folder: Path, name: str) -> Path:
    """Return the path of a file that a result names.

    Args:
        folder: folder of the results.
        name: path as the result has it.

    Returns:
        Path of the file.

    Raises:
        InputError: it is gone, or lies neither below the working directory nor below the parent of the folder.
    """
    path = find_source(folder, name)
    if path is None:
        raise InputError(
            f"{name}: found no such file, expected what was located. Put it back, or start the command in the folder "
            "where `soundspot locate` was started",
            "gone",
        )
    roots = Path.cwd(), folder.absolute().parent
    if not any(Path(os.path.normpath(path.absolute())).is_relative_to(root) for root in roots):
        raise InputError(
            f"{name}: found this file neither below {roots[0]} nor beside the results, expected one of both, as "
            "results of somebody else may name any file. Start the command in a folder that holds the recordings",
            "elsewhere",
        )
    return path


def draw_moment(folder: Path, moment: Moment) -> Image.Image:
    """Draw the outline of the mask, where the result has one, and the peak on the image or frame of a moment.

    Args:
        folder: folder of the results.
        moment: the moment.

    Returns:
        RGB image whose longer side is at most 960 pixels.

    Raises:
        InputError: the image or the video is gone, or cannot be read.
        DataError: the result cannot be read any more.
    """
    path = open_source(folder, moment.image)
    if moment.time is None:
        image = read_image(path)
    else:
        with Video(path) as video:
            image = video.frames_at([moment.time])[0][1]
    (x, y), (width, height) = moment.peak_at, image.size
    mask = read_mask(folder, moment, image.size) if moment.time is None else None
    if x >= width or y >= height:
        raise InputError(
            f"{moment.image}: found {width} x {height} pixels, expected the peak ({x}, {y}) inside: it is another file "
            "than what was located. Put that back, or locate again with --overwrite",
            "another file",
        )
    scale = min(1.0, MAX_SIDE / max(image.size))
    image = image.resize((max(1, round(scale * width)), max(1, round(scale * height))), Image.Resampling.LANCZOS)
    if mask is not None:
        image = draw_outline(image, mask, WHITE)
    return draw_peak(image, round(scale * x), round(scale * y))


def read_mask(folder: Path, moment: Moment, size: tuple[int, int]) -> Bool[np.ndarray, "h w"] | None:
    """Read the mask of an image from its result.

    Args:
        folder: folder of the results.
        moment: moment of an image.
        size: (width, height) of the image.

    Returns:
        (h, w) bool; None where the result has no mask.

    Raises:
        DataError: the result cannot be read any more.
    """
    path = folder / moment.result
    with convert_read_errors(path, "expected the result that was there. Locate again"):
        mask = parse_json(path.read_text(encoding="utf-8-sig"))[moment.index].get("mask")
        if mask is not None and mask["size"] != [size[1], size[0]]:
            raise ValueError(f"found a mask of {mask['size']} (height, width) for an image of {size[1]} x {size[0]}")
        return None if mask is None else decode_mask(mask)


def read_sound(folder: Path, moment: Moment) -> Audio:
    """Read the sound of a moment: the window that the model was given, as the result has it.

    Args:
        folder: folder of the results.
        moment: the moment.

    Returns:
        Mono audio, shorter where the sound is.

    Raises:
        InputError: it is gone, or cannot be read.
    """
    path = open_source(folder, moment.audio or moment.image)
    if moment.time is not None and moment.window is not None and not moment.audio:
        with Video(path, moment.audio_track) as video:
            return video.read_audio(*moment.window, None)
    audio = read_audio(path, track=moment.audio_track)
    if moment.window is not None:
        first, count = (round(seconds * audio.rate) for seconds in moment.window)
        return Audio(audio.waveform[first : first + count], audio.rate)
    return Audio(crop_or_tile(audio, min(SOUND_SECONDS, audio.seconds)), audio.rate)


def write_video(folder: Path, moment: Moment, path: Path) -> None:
    """Write the seconds around the moment of a video that the model was given, with their sound, as MP4.

    Args:
        folder: folder of the results.
        moment: moment of a video.
        path: path of the file.

    Raises:
        InputError: the video is gone, or cannot be read.
        OutputError: the file cannot be written.
    """
    assert moment.window is not None, "of a video"
    source, sound, (start, seconds) = open_source(folder, moment.image), read_sound(folder, moment), moment.window
    with Video(source) as video:
        seconds = min(seconds, max(1 / FRAME_RATE, video.duration - start))
        times = [start + number / FRAME_RATE for number in range(max(1, round(seconds * FRAME_RATE)))]
        frames = [frame for _, frame in video.frames_at(times)]
    pieces = sound.waveform.split(max(1, sound.rate // FRAME_RATE))
    write_clip(path, _even(frames), Fraction(FRAME_RATE), (Audio(piece, sound.rate) for piece in pieces), crf=23)


def _even(frames: list[Image.Image]) -> Iterator[Image.Image]:
    """Yield the frames at a size whose sides are even, the longer at most 480 pixels."""
    scale = min(1.0, VIDEO_SIDE / max(frames[0].size))
    width, height = (max(2, 2 * round(scale * side / 2)) for side in frames[0].size)
    for frame in frames:
        yield frame.resize((width, height))
