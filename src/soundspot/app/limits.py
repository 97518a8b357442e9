"""What one visitor may ask of the page: sizes, lengths, and how long an answer may take."""

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from soundspot.errors import InputError, SoundspotError
from soundspot.utils.atomic_io import format_bytes

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_UNTOLD = 20_000_000  # bytes of a recording that does not say how long it is: a browser's


class LimitError(SoundspotError):
    """More was asked than the page gives, or nobody waits for the answer any longer."""


@dataclass(frozen=True)
class Limits:
    """What the page gives.

    Attributes:
        upload: bytes of one request, a file of somebody's.
        stored: bytes of all that visitors sent and were given, until it is put away.
        kept: seconds after its last use at which a file is put away; longer than any answer takes.
        seconds: that one answer may take; of a video, `video_timeout`.
        sound, video: seconds that a sound and a video may last.
        sounds: in one question.
        waiting: requests that wait for their turn; more are told to come again.
        visitors: whose last pictures are kept at once.
        sides: least and most pixels of the longer side of the picture that maps are drawn on.
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
    display_side_range: tuple[int, int] = (640, 1280)


class Deadline:
    """Counts down the time of one request; `check` ends the work where it is over or the asker has gone."""

    def __init__(self, seconds: float | int, is_cancelled: Callable[[], bool] = lambda: False) -> None:
        self.seconds, self.is_cancelled, self._end = seconds, is_cancelled, time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Raise LimitError where nobody waits any longer."""
        if self.is_cancelled():
            raise LimitError("The page was closed.")
        if not self.remaining:
            raise LimitError(
                f"This took longer than the {self.seconds:g} s that one answer may take here. Ask for less at once, or "
                "start the page with a longer --timeout."
            )


def parse_size(text: str) -> int:
    """Bytes of `200MB`, `1.5 GB` or `1000`; units are powers of 1000."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKmMgG]?[bB]?)\s*", text)
    if not found or (size := int(float(found[1]) * _UNITS.get(found[2].upper(), 0))) < 1:
        raise InputError(f"{text!r} is no size; expected a number with a unit, such as 200MB.")
    return size


def check_duration(path: str, most: float | int, kind: str, remedy: str) -> None:
    """Raise LimitError where a sound or a video says that it lasts longer than `most` seconds; nothing is decoded."""
    seconds = _seconds(path)
    if seconds is None and (size := Path(path).stat().st_size) > _UNTOLD:
        raise LimitError(
            f"{path}: does not say how long it lasts, and has {format_bytes(size)}; a {kind} like that may have "
            f"{format_bytes(_UNTOLD)} here. {remedy}"
        )
    if seconds is not None and seconds > most:
        raise LimitError(f"{path}: lasts {_clock(seconds)}; a {kind} may last {_clock(most)} here. {remedy}")


def _seconds(path: str) -> float | None:
    import av

    try:
        with av.open(os.path.abspath(path)) as container:
            return None if container.duration is None else container.duration / av.time_base
    except (OSError, ValueError):  # av's own errors are both: whoever reads the file says what is wrong with it
        return 0.0


def _clock(seconds: float | int) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
