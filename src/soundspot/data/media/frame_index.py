"""Frames of a stream of pictures by the moments at which they are shown: each run of them is decoded once.

Packets tell when frames are shown and where decoding can begin; where they do not, the frames do.
"""

from collections import deque
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_PLAIN_REFERENCES = ("h264", "mpeg4", "mpeg2video", "mpeg1video")  # a picture says whether others are made from it
MAX_PIXEL_ASPECT = 4  # pixels of television and of discs are at most three times as wide as high


class FrameIndex:
    """The frames of a container's stream of pictures; second 0 is that of the first.

    Attributes:
        begin: when they begin in the container's time, in seconds.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self._container, self._stream = container, stream
        self.start_time = float((stream.start_time or 0) * (stream.time_base or 0))

    @property
    def duration(self) -> float:
        """How long they last: read from their packets, nothing is decoded."""
        return self._packets[2]

    def frames_at(self, times: Sequence[float | int]) -> list[tuple[float, Image.Image]]:
        """What is shown at each moment, upright, and since when; nothing where not one frame can be decoded."""
        wanted = sorted({float(moment) for moment in times})
        found = self._picked(wanted)
        left = [moment for moment in wanted if moment not in found]
        found |= self._searched(left) if left else {}
        return [found[float(moment)] for moment in times] if found else []

    def frame_after(self, time: float) -> Image.Image | None:
        """The frame after the one that is shown since a moment; None where that is the last."""
        try:
            self._container.seek(int((self.start_time + time) / self._stream.time_base), stream=self._stream)
            for frame in self._container.decode(self._stream):
                if frame.time is not None and frame.time > self.start_time + time + 1e-6:
                    return frame_to_image(frame, self._stream)
        except (av.FFmpegError, ValueError, EOFError):
            pass  # cut short
        return None

    @cached_property
    def _packets(self) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
        """When its pictures begin, in ticks and in order, those that are decoded by themselves, and how long all last.

        No ticks where packets do not say when they are shown, as in an AVI file of pictures that are not coded in the
        order in which they are shown.
        """
        shown: list[int] = []
        keys: list[int] = []
        end, told = 0.0, True
        base = float(self._stream.time_base or 0)
        try:
            self._container.seek(0)
            for packet in self._container.demux(self._stream):
                if not packet.size or packet.is_discard:
                    continue
                if packet.pts is None:
                    told = False
                    continue
                shown.append(packet.pts)
                if packet.is_keyframe:
                    keys.append(packet.pts)
                end = max(end, (packet.pts + (packet.duration or 0)) * base - self.start_time)
        except (av.FFmpegError, ValueError, EOFError):
            pass  # cut short: what was found until then
        if not told or (self._stream.codec_context.has_b_frames and shown == sorted(shown)):
            shown, keys = [], []
        return np.unique(np.array(shown, np.int64)), np.unique(np.array(keys, np.int64)), end

    def _picked(self, moments: Sequence[float]) -> dict[float, tuple[float, Image.Image]]:
        """What is shown at the moments, as the packets tell; without those that this does not find.

        Each run from a frame that is decoded by itself is decoded once, to the last frame that is wanted of it.
        """
        shown, keys, _ = self._packets
        if not len(shown) or not len(keys):
            return {}
        base = float(self._stream.time_base)
        ticks = np.floor((self.start_time + np.array(moments) + 1e-6) / base)
        ticks = shown[(np.searchsorted(shown, ticks, side="right") - 1).clip(0)]
        runs = np.searchsorted(keys, ticks, side="right") - 1
        pictures: dict[int, Image.Image] = {}
        for run in np.unique(runs[runs >= 0]):
            pictures |= self._run(int(keys[run]), {int(tick) for tick in ticks[runs == run]})
        return {
            moment: (tick * base - self.start_time, pictures[tick])
            for moment, tick in zip(moments, ticks.tolist(), strict=True)
            if tick in pictures
        }

    def _run(self, key: int, wanted: set[int]) -> dict[int, Image.Image]:
        """The frames that begin at the wanted ticks, decoded from the tick `key` on; frames between them that no other
        frame is made from are passed over."""
        found: dict[int, Image.Image] = {}
        left, codec, begun = set(wanted), self._stream.codec_context, False
        skips = codec.name in _PLAIN_REFERENCES

        def take(packet: Any) -> None:
            frames = (frame for frame in codec.decode(packet) if frame.pts in wanted)
            found.update({frame.pts: frame_to_image(frame, self._stream) for frame in frames})

        try:
            self._container.seek(key, stream=self._stream)
            for packet in self._container.demux(self._stream):
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
        return found or self._passed(
            moments
        )  # the container put us behind it, or nothing lies behind its last key frame

    def _passed(self, moments: Sequence[float], seek: float = 0.0) -> dict[float, tuple[float, Image.Image]]:
        """The same on the way from `seek` on; nothing where that begins behind the first moment."""
        found: dict[float, tuple[float, Image.Image]] = {}
        rest, last = deque(moments), None

        def keep(moment: float, frame: Any) -> None:
            found[moment] = float(frame.time) - self.start_time, frame_to_image(frame, self._stream)

        try:
            if seek > 0:
                self._container.seek(int((self.start_time + seek) / self._stream.time_base), stream=self._stream)
            else:
                self._container.seek(0)
            for frame in self._container.decode(self._stream):
                if frame.time is None:
                    continue
                while rest and frame.time > self.start_time + rest[0] + 1e-6 and (last is not None or seek > 0):
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


def frame_to_image(frame: Any, stream: Any) -> Image.Image:
    """A frame of a stream as players show it: with square pixels, and turned as the file says.

    Pixels that are said to be more than four times as wide as high, or as high as wide, are taken for square.
    """
    image = Image.fromarray(frame.to_ndarray(format="rgb24"))
    ratio = float(stream.sample_aspect_ratio or 1)
    if ratio != 1 and 1 / MAX_PIXEL_ASPECT <= ratio <= MAX_PIXEL_ASPECT:
        image = image.resize((max(1, round(image.width * ratio)), image.height))
    return image.rotate(frame.rotation, expand=True) if frame.rotation % 360 else image
