"""Videos: pictures at moments, and a window of the sound, from any container that FFmpeg reads.

What a header says of length and rate is a hint here and nothing more: moments are those of the frames themselves.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from soundspot.data.media.audio import resample, to_mono
from soundspot.data.media.file_types import check_readable
from soundspot.data.media.frame_index import FrameIndex
from soundspot.data.media.pcm import PcmConverter
from soundspot.errors import InputError
from soundspot.types import Audio


class VideoError(InputError):
    """A video that cannot be used."""


_EXPECTED = "a video (mp4, mkv, webm, mov, avi...)"
_REMEDY = "Play it to see whether it is whole, and fetch or write it again"


class Video:
    """An open video; use it in a `with` block.

    Attributes:
        path: of the file.
        promised: seconds that its header says it lasts; 0 where it does not say.

    Raises:
        InputError: missing, empty, or may not be read. VideoError: not a video, without a picture, or of a codec that
            is not known.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        check_readable(self.path, _EXPECTED)
        try:
            self._container = av.open(os.path.abspath(self.path))  # a name with a colon is no address
        except (av.FFmpegError, ValueError, EOFError) as error:
            raise self._unreadable(error) from error
        pictures = [stream for stream in self._container.streams.video if not _is_cover(stream)]
        if not pictures:
            kinds = ", ".join(sorted({stream.type for stream in self._container.streams})) or "nothing"
            self._container.close()
            raise VideoError(
                f"{self.path}: found a file without moving pictures (it holds: {kinds}), expected {_EXPECTED}. "
                "Leave it out",
                "no picture",
            )
        self._pictures = pictures[0]
        if self._pictures.codec_context is None:
            self._container.close()
            raise self._unknown("pictures")
        self._frames = FrameIndex(self._container, self._pictures)
        self._pictures.thread_type = "NONE"  # a clip is read by one of several processes
        self._sounds = next(iter(self._container.streams.audio), None)
        self.header_duration = self._promised()

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def has_audio(self) -> bool:
        return self._sounds is not None

    def duration(self) -> float:
        """How long its pictures last: read from their packets, nothing is decoded."""
        return self._frames.duration

    def packet_times(self) -> NDArray[np.float64]:
        """When packets of its pictures and its sound begin, in seconds and in order: nothing is decoded.

        What a header promises, or a single broken time stamp, leaves a length in which there is nothing.
        """
        found: list[float] = []
        try:
            self._container.seek(0)
            for packet in self._container.demux([one for one in (self._pictures, self._sounds) if one is not None]):
                at = packet.dts if packet.pts is None else packet.pts
                if packet.size and at is not None:
                    found.append(float(at * packet.time_base) - self._frames.start_time)
        except (av.FFmpegError, ValueError, EOFError):
            pass  # cut short: what was found until then
        return np.unique(np.array(found, np.float64))

    def frames_at(self, times: Sequence[float | int]) -> list[tuple[float, Image.Image]]:
        """What is shown at each moment, upright, and since when.

        Args:
            moments: seconds from the beginning. Later than the last frame means the last frame.

        Raises:
            VideoError: not one frame can be decoded.
        """
        if found := self._frames.frames_at(times):
            return found
        raise VideoError(
            f"{self.path}: found no picture that can be decoded, expected {_EXPECTED}. {_REMEDY}", "no picture"
        )

    def frame_pair(self, time: float | int) -> tuple[Image.Image, Image.Image]:
        """What is shown at a moment, as `frames` has it, and the frame after it; where that is the last, it and the one
        before.

        Raises:
            VideoError: there are no two frames that can be decoded.
        """
        since, shown = self.frames_at([time])[0]
        after = self._frames.frame_after(since)
        if after is not None:
            return shown, after
        earlier, before = self.frames_at([since - 1e-4])[0]
        if earlier >= since:
            raise VideoError(
                f"{self.path}: found a single frame, expected two in a row. Leave it out, or fetch it again",
                "one frame",
            )
        return before, shown

    def read_audio(self, start: float | int, seconds: float | int, rate: int) -> Audio:
        """A window of its sound at `rate`, the mean of all channels; shorter where the sound ends sooner.

        `start` counts from the first picture, as moments do; where the sound begins later than the window, there is
        silence in front.

        Raises:
            VideoError: it has no sound, or none in the window.
        """
        if self._sounds is None:
            raise VideoError(
                f"{self.path}: found a video without sound, expected one with it. Leave it out", "no sound"
            )
        if self._sounds.codec_context is None:
            raise self._unknown("sound")
        own = int(self._sounds.rate)
        since = self._frames.start_time + start
        found, first = self._sound_between(since, since + seconds, seek=since)
        if not found.shape[1] or first > since:  # it begins later, or the container put us behind the moment
            found, first = self._sound_between(since, since + seconds, seek=0.0)
        ahead = round((since - first) * own)
        samples = found[:, max(0, ahead) : max(0, ahead + round(seconds * own))]
        if not samples.shape[1]:
            raise VideoError(
                f"{self.path}: found no sound from {start:.2f} s to {start + seconds:.2f} s, expected some. Choose "
                "another window, or leave it out",
                "no sound in the window",
            )
        silence = np.zeros((len(samples), max(0, -ahead)), samples.dtype)
        return resample(to_mono(np.concatenate([silence, samples], axis=1).T, own, "mean", str(self.path)), rate)

    def _sound_between(self, since: float, stop: float, seek: float) -> tuple[NDArray[np.float32], float]:
        """What is decoded of the sound from `seek` until `stop`, in the container's time: channels, and since when."""
        samples = PcmConverter()
        chunks: list[NDArray[np.float32]] = []
        first: float | None = None
        base = getattr(self._sounds, "time_base", None) or 1
        try:
            if seek > 0:
                self._container.seek(int(seek / base), stream=self._sounds)
            else:
                self._container.seek(0)
            for frame in self._container.decode(self._sounds):
                if frame.time is not None and frame.time >= stop:
                    break
                first = frame.time if first is None else first
                chunks += samples(frame)
        except (av.FFmpegError, ValueError, EOFError) as error:
            if not chunks:
                raise self._unreadable(error) from error
        if not chunks:
            return np.empty((1, 0), np.float32), since
        return np.concatenate(chunks, axis=1), since if first is None else first

    def _promised(self) -> float:
        if self._pictures.duration and self._pictures.time_base:
            return float(self._pictures.duration * self._pictures.time_base)
        return float(self._container.duration or 0) / av.time_base

    def _unknown(self, what: str) -> VideoError:
        return VideoError(
            f"{self.path}: found {what} of a codec that this build of FFmpeg has no decoder for, expected {_EXPECTED}. "
            "Write it again with another, or leave it out",
            "unknown codec",
        )

    def _unreadable(self, error: Exception) -> VideoError:
        return VideoError(
            f"{self.path}: found a file that no reader of videos knows ({error}), expected {_EXPECTED}. {_REMEDY}"
        )


def _is_cover(stream: Any) -> bool:
    """A picture that a sound file carries."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)
