"""Limits of the page: sizes, durations, and the time that an answer may take."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from soundspot.errors import InputError, SoundspotError

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


class LimitError(SoundspotError):
    """A request exceeds a limit of the page, or its visitor has left."""


@dataclass(frozen=True)
class Limits:
    """Limits of the page.

    Attributes:
        max_upload_bytes: largest size of the files of one request, in bytes.
        max_stored_bytes: largest size of all files of visitors until they are deleted, in bytes.
        retention_seconds: seconds after its last use at which a file is deleted; longer than any answer takes.
        timeout: seconds that an answer may take.
        video_timeout: seconds that the answer to a video may take.
        max_audio_seconds: longest duration of a sound in seconds.
        max_video_seconds: longest duration of a video in seconds.
        max_audios: largest number of sounds in one request.
        max_queue: number of requests that wait; more are asked to come again.
        max_sessions: number of visitors whose last results are stored.
        client_timeout: seconds that a client may take for a request, or to read on in an answer; a body may take longer
            while it comes at `min_bytes_per_second`.
        min_bytes_per_second: least mean rate of a body after that time.
        max_connections: number of open connections; of more, one that waits for its client is cut.
        max_client_connections: number of open connections of one address other than this machine's.
        display_sides: least and greatest length in pixels of the longer side of the image that maps are drawn on.
    """

    max_upload_bytes: int = 200_000_000
    max_stored_bytes: int = 2_000_000_000
    retention_seconds: float | int = 1800
    timeout: float | int = 60
    video_timeout: float | int = 600
    max_audio_seconds: float | int = 600
    max_video_seconds: float | int = 180
    max_audios: int = 8
    max_queue: int = 24
    max_sessions: int = 32
    client_timeout: float | int = 20
    min_bytes_per_second: int = 1000
    max_connections: int = 256
    max_client_connections: int = 64
    display_sides: tuple[int, int] = (640, 1280)


class Deadline:
    """The end of the time of one request.

    Args:
        seconds: time of the request in seconds, from now on.
        is_cancelled: function that returns True where nobody waits for the answer any longer.
    """

    def __init__(self, seconds: float | int, is_cancelled: Callable[[], bool] = lambda: False) -> None:
        self._seconds, self._is_cancelled, self._end = seconds, is_cancelled, time.monotonic() + seconds

    def check(self) -> None:
        """Check that there is time left; to be called between the steps of the work.

        Raises:
            LimitError: the time is over, or the request is cancelled.
        """
        if self._is_cancelled():
            raise LimitError("The page was closed.")
        if time.monotonic() >= self._end:
            raise LimitError(
                f"This took longer than the {self._seconds:g} s that one answer may take here. Ask for less, or "
                "start the page with a longer --timeout."
            )


def parse_size(text: str) -> int:
    """Parse a size such as `200MB`, `1.5 GB` or `1000`; units are powers of 1000, in any case.

    Args:
        text: number, and perhaps B, kB, MB or GB.

    Returns:
        Number of bytes, at least 1; fractions are cut off.

    Raises:
        InputError: the text is no size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKmMgG]?[bB]?)\s*", text)
    if not match or (size := int(float(match[1]) * _UNITS.get(match[2].upper(), 0))) < 1:
        raise InputError(f"{text!r} is no size; expected a number with a unit, such as 200MB.")
    return size


def check_duration(path: str, max_seconds: float | int, kind: Literal["sound", "video"], remedy: str) -> None:
    """Check the duration of a sound or video by its packets, whatever its header says; nothing is decoded.

    A file that cannot be opened passes, as its reader has the message.

    Args:
        path: path of the file.
        max_seconds: longest duration in seconds.
        kind: which duration of a video is meant, that of its audio or that of all; and the noun of the message.
        remedy: sentence that ends the message.

    Raises:
        LimitError: the file is longer.
    """
    from soundspot.data.media.audio import open_windows
    from soundspot.data.media.video import Video

    try:
        if kind == "video":
            with Video(path) as video:
                seconds = video.duration
        else:
            seconds = open_windows(Path(path)).seconds
    except InputError:
        return
    if seconds > max_seconds:
        longest = _format_duration(max_seconds)
        raise LimitError(f"{path}: lasts {_format_duration(seconds)}; a {kind} may last {longest} here. {remedy}")


def _format_duration(seconds: float | int) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
