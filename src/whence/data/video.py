"""Videos: pictures at moments, and a window of the sound, from any container that FFmpeg reads.

What a header says of length and rate is a hint here and nothing more: moments are those of the frames themselves.
"""

import os
from collections import deque
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from whence.data.audio import mono, resample
from whence.data.files import refuse_unreadable
from whence.errors import InputError
from whence.types import Sound


class VideoError(InputError):
    """A video that cannot be used."""


_EXPECTED = "a video (mp4, mkv, webm, mov, avi...)"
_PLAIN_REFERENCES = ("h264", "mpeg4", "mpeg2video", "mpeg1video")  # a picture says whether others are made from it
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
        refuse_unreadable(self.path, _EXPECTED)
        try:
            self._container = av.open(str(self.path))
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
        self._pictures.thread_type = "NONE"  # a clip is read by one of several processes
        self._sounds = next(iter(self._container.streams.audio), None)
        self.promised = self._promised()

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def has_sound(self) -> bool:
        return self._sounds is not None

    def seconds(self) -> float:
        """How long its pictures last: read from their packets, nothing is decoded."""
        return self._packets[2]

    def frames(self, moments: Sequence[float | int]) -> list[tuple[float, Image.Image]]:
        """What is shown at each moment, upright, and since when.

        Args:
            moments: seconds from the beginning. Later than the last frame means the last frame.

        Raises:
            VideoError: not one frame can be decoded.
        """
        wanted = sorted({float(moment) for moment in moments})
        found = self._picked(wanted)
        left = [moment for moment in wanted if moment not in found]
        found |= self._searched(left) if left else {}
        return [found[float(moment)] for moment in moments]

    def two_frames(self, moment: float | int) -> tuple[Image.Image, Image.Image]:
        """What is shown at a moment, as `frames` has it, and the frame after it; where that is the last, it and the one
        before.

        Raises:
            VideoError: there are no two frames that can be decoded.
        """
        since, shown = self.frames([moment])[0]
        after = self._first_after(since)
        if after is not None:
            return shown, _upright(after)
        earlier, before = self.frames([since - 1e-4])[0]
        if earlier >= since:
            raise VideoError(
                f"{self.path}: found a single frame, expected two in a row. Leave it out, or fetch it again",
                "one frame",
            )
        return before, shown

    def sound(self, start: float | int, seconds: float | int, rate: int) -> Sound:
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
        since = self._begin + start
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
        return resample(mono(np.concatenate([silence, samples], axis=1).T, own, "mean", str(self.path)), rate)

    def _sound_between(self, since: float, stop: float, seek: float) -> tuple[NDArray[np.float32], float]:
        """What is decoded of the sound from `seek` until `stop`, in the container's time: channels, and since when."""
        planar = av.AudioResampler(format="fltp")
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
                chunks += [part.to_ndarray() for part in planar.resample(frame)]
        except (av.FFmpegError, ValueError, EOFError) as error:
            if not chunks:
                raise self._unreadable(error) from error
        if not chunks:
            return np.empty((1, 0), np.float32), since
        return np.concatenate(chunks, axis=1), since if first is None else first

    @property
    def _begin(self) -> float:
        """When its pictures begin in the container's time: second 0 of pictures and of sounds alike."""
        return float((self._pictures.start_time or 0) * (self._pictures.time_base or 0))

    def _promised(self) -> float:
        if self._pictures.duration and self._pictures.time_base:
            return float(self._pictures.duration * self._pictures.time_base)
        return float(self._container.duration or 0) / av.time_base

    @cached_property
    def _packets(self) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
        """When its pictures begin, in ticks and in order, those that are decoded by themselves, and how long all last.

        No ticks where packets do not say when they are shown, as in an AVI file of pictures that are not coded in the
        order in which they are shown.
        """
        shown: list[int] = []
        keys: list[int] = []
        end, told = 0.0, True
        base = float(self._pictures.time_base or 0)
        try:
            self._container.seek(0)
            for packet in self._container.demux(self._pictures):
                if not packet.size or packet.is_discard:
                    continue
                if packet.pts is None:
                    told = False
                    continue
                shown.append(packet.pts)
                if packet.is_keyframe:
                    keys.append(packet.pts)
                end = max(end, (packet.pts + (packet.duration or 0)) * base - self._begin)
        except (av.FFmpegError, ValueError, EOFError):
            pass  # cut short: what was found until then
        if not told or (self._pictures.codec_context.has_b_frames and shown == sorted(shown)):
            shown, keys = [], []
        return np.unique(np.array(shown, np.int64)), np.unique(np.array(keys, np.int64)), end

    def _picked(self, moments: Sequence[float]) -> dict[float, tuple[float, Image.Image]]:
        """What is shown at the moments, as the packets tell; without those that this does not find.

        Each run from a frame that is decoded by itself is decoded once, to the last frame that is wanted of it.
        """
        shown, keys, _ = self._packets
        if not len(shown) or not len(keys):
            return {}
        base = float(self._pictures.time_base)
        ticks = np.floor((self._begin + np.array(moments) + 1e-6) / base)
        ticks = shown[(np.searchsorted(shown, ticks, side="right") - 1).clip(0)]
        runs = np.searchsorted(keys, ticks, side="right") - 1
        pictures: dict[int, Image.Image] = {}
        for run in np.unique(runs[runs >= 0]):
            pictures |= self._run(int(keys[run]), {int(tick) for tick in ticks[runs == run]})
        return {
            moment: (tick * base - self._begin, pictures[tick])
            for moment, tick in zip(moments, ticks.tolist(), strict=True)
            if tick in pictures
        }

    def _run(self, key: int, wanted: set[int]) -> dict[int, Image.Image]:
        """The frames that begin at the wanted ticks, decoded from the tick `key` on; frames between them that no other
        frame is made from are passed over."""
        found: dict[int, Image.Image] = {}
        left, codec, begun = set(wanted), self._pictures.codec_context, False
        skips = codec.name in _PLAIN_REFERENCES

        def take(packet: Any) -> None:
            found.update({frame.pts: _upright(frame) for frame in codec.decode(packet) if frame.pts in wanted})

        try:
            self._container.seek(key, stream=self._pictures)
            for packet in self._container.demux(self._pictures):
                begun = begun or packet.is_keyframe
                if not left or (packet.dts is not None and packet.dts > max(wanted)):
                    break
                if begun and packet.size:
                    codec.skip_frame = "NONREF" if skips and packet.pts not in left else "DEFAULT"
                    left.discard(packet.pts)
                    take(packet)
            take(None)
        except (av.FFmpegError, ValueError, EOFError):
            pass  # cut short, or damaged: what was found until then
        finally:
            codec.skip_frame = "DEFAULT"
        return found

    def _searched(self, moments: Sequence[float]) -> dict[float, tuple[float, Image.Image]]:
        """The last frame that begins by each of the moments and can be decoded, wherever the container thinks that it
        is."""
        found = self._passed(moments, seek=moments[0]) if moments[0] > 0 else {}
        if not found:  # the container put us behind the moment, or nothing lies behind its last key frame
            found = self._passed(moments)
        if not found:
            raise VideoError(
                f"{self.path}: found no picture that can be decoded, expected {_EXPECTED}. {_REMEDY}", "no picture"
            )
        return found

    def _passed(self, moments: Sequence[float], seek: float = 0.0) -> dict[float, tuple[float, Image.Image]]:
        """The same on the way from `seek` on; nothing where that begins behind the first moment."""
        found: dict[float, tuple[float, Image.Image]] = {}
        rest, last = deque(moments), None

        def keep(moment: float, frame: Any) -> None:
            found[moment] = float(frame.time) - self._begin, _upright(frame)

        try:
            if seek > 0:
                self._container.seek(int((self._begin + seek) / self._pictures.time_base), stream=self._pictures)
            else:
                self._container.seek(0)
            for frame in self._container.decode(self._pictures):
                if frame.time is None:
                    continue
                while rest and frame.time > self._begin + rest[0] + 1e-6 and (last is not None or seek > 0):
                    if last is None:
                        return {}
                    keep(rest.popleft(), last)
                if not rest:
                    return found
                last = frame
        except (av.FFmpegError, ValueError, EOFError):
            pass  # cut short: the last that can be decoded
        for moment in rest if last is not None else ():
            keep(moment, last)
        return found

    def _first_after(self, since: float) -> Any:
        """The frame after the one that is shown since a moment; None where that is the last."""
        try:
            self._container.seek(int((self._begin + since) / self._pictures.time_base), stream=self._pictures)
            for frame in self._container.decode(self._pictures):
                if frame.time is not None and frame.time > self._begin + since + 1e-6:
                    return frame
        except (av.FFmpegError, ValueError, EOFError):
            pass  # cut short
        return None

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


def _upright(frame: Any) -> Image.Image:
    """As players show it: turned as the file says, and with square pixels."""
    image = Image.fromarray(frame.to_ndarray(format="rgb24"))
    if frame.rotation % 360:
        image = image.rotate(frame.rotation, expand=True)
    ratio = frame.sample_aspect_ratio if hasattr(frame, "sample_aspect_ratio") else None
    if ratio and ratio > 0 and ratio != 1:
        image = image.resize((max(1, round(image.width * float(ratio))), image.height))
    return image
