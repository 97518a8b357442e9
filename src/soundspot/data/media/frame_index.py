"""Frames of a video stream by the times at which they are shown: each run from a key frame is decoded once.

Packets tell when frames are shown and where decoding can begin; where they do not, the frames do.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int64
from PIL import Image

from soundspot.data.media.ffmpeg import DECODE_ERRORS, frame_to_image

_MARKS_REFERENCES = ("h264", "mpeg4", "mpeg2video", "mpeg1video")  # codecs whose frames say whether others need them

TimedImage = tuple[float, Image.Image]


class FrameIndex:
    """Random access to the frames of a container's video stream; second 0 is the time of the first.

    Args:
        container: open `av` container.
        stream: video stream of the container.

    Attributes:
        start_time: time of the first frame in the container, in seconds.
        is_rewound: whether nothing has been read through this index.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self._container, self._stream = container, stream
        self.start_time = float((stream.start_time or 0) * (stream.time_base or 0))
        self.is_rewound = True

    @property
    def duration(self) -> float:
        """Duration of the stream in seconds, read from its packets without decoding; 0 where packets have no times."""
        return self._packets[2]

    def frames_at(self, times: Sequence[float | int]) -> list[TimedImage]:
        """Decode the frame that is shown at each time.

        Args:
            times: times in seconds, in any order; earlier than the first frame means the first, later than the last the
                last.

        Returns:
            (start time in seconds, upright RGB image) for each time; an empty list where no frame can be decoded.
        """
        wanted = sorted({float(time) for time in times})
        frames = self._decode_indexed(wanted)
        missing = [time for time in wanted if time not in frames]
        frames |= self._decode_searching(missing) if missing else {}
        return [frames[float(time)] for time in times] if frames else []

    def frame_after(self, time: float) -> Image.Image | None:
        """Decode the first frame that starts after a time.

        Args:
            time: time in seconds.

        Returns:
            Upright RGB image; None where there is no later frame, or it cannot be decoded.
        """
        try:
            for frame in self._decode_from(self.start_time + time):
                if frame.time is not None and frame.time > self.start_time + time + 1e-6:
                    return frame_to_image(frame, self._stream)
        except DECODE_ERRORS:
            pass  # cut short
        return None

    def rewind(self) -> None:
        """Seek to the beginning of the container if something was read before."""
        if not self.is_rewound:
            self._container.seek(0)
        self.is_rewound = False

    def _decode_from(self, time: float | None) -> Iterator[Any]:
        """Yield decoded frames from the key frame before a time of the container on; None: from its beginning."""
        self.is_rewound = False
        if time is None:
            self._container.seek(0)
        else:
            self._container.seek(int(time / self._stream.time_base), stream=self._stream)
        yield from self._container.decode(self._stream)

    @cached_property
    def _packets(self) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " k"], float]:
        """Start times of the frames and of the key frames, in ticks and in order, and the duration in seconds.

        There are no ticks where packets do not say when they are shown, as in an AVI file whose frames are not coded in
        the order in which they are shown.
        """
        starts: list[int] = []
        keys: list[int] = []
        end, is_timed = 0.0, True
        base = float(self._stream.time_base or 0)
        self.is_rewound = False
        try:
            self._container.seek(0)
            for packet in self._container.demux(self._stream):
                if not packet.size or packet.is_discard:
                    continue
                if packet.pts is None:
                    is_timed = False
                    continue
                starts.append(packet.pts)
                if packet.is_keyframe:
                    keys.append(packet.pts)
                end = max(end, (packet.pts + (packet.duration or 0)) * base - self.start_time)
        except DECODE_ERRORS:
            pass  # cut short: what came until then
        if not is_timed or (self._stream.codec_context.has_b_frames and starts == sorted(starts)):
            starts, keys = [], []
        return np.unique(np.array(starts, np.int64)), np.unique(np.array(keys, np.int64)), end

    def _decode_indexed(self, times: Sequence[float]) -> dict[float, TimedImage]:
        """Return the frames at the times that the packets locate.

        Each run from a key frame is decoded once, to the last frame that is wanted of it.
        """
        starts, keys, _ = self._packets
        if not len(starts) or not len(keys):
            return {}
        base = float(self._stream.time_base)
        ticks = np.floor((self.start_time + np.array(times) + 1e-6) / base)
        ticks = starts[(np.searchsorted(starts, ticks, side="right") - 1).clip(0)]
        runs = np.searchsorted(keys, ticks, side="right") - 1
        images: dict[int, Image.Image] = {}
        for run in np.unique(runs[runs >= 0]):
            images |= self._decode_run(int(keys[run]), {int(tick) for tick in ticks[runs == run]})
        return {
            time: (tick * base - self.start_time, images[tick])
            for time, tick in zip(times, ticks.tolist(), strict=True)
            if tick in images
        }

    def _decode_run(self, key: int, wanted: set[int]) -> dict[int, Image.Image]:
        """Return the frames that start at the wanted ticks, decoded from the key frame at tick `key` on.

        Frames between them are skipped where no other frame needs them.
        """
        images: dict[int, Image.Image] = {}
        missing, codec, has_begun = set(wanted), self._stream.codec_context, False
        can_skip = codec.name in _MARKS_REFERENCES

        def decode(packet: Any) -> None:
            frames = (frame for frame in codec.decode(packet) if frame.pts in wanted)
            images.update({frame.pts: frame_to_image(frame, self._stream) for frame in frames})

        try:
            self._container.seek(key, stream=self._stream)
            for packet in self._container.demux(self._stream):
                has_begun = has_begun or packet.is_keyframe
                if not missing or (packet.dts is not None and packet.dts > max(wanted)):
                    break
                if has_begun and packet.size:
                    codec.skip_frame = "NONREF" if can_skip and packet.pts not in missing else "DEFAULT"
                    missing.discard(packet.pts)
                    decode(packet)
            decode(None)
        except DECODE_ERRORS:
            pass  # cut short, or damaged: what came until then
        finally:
            codec.skip_frame = "DEFAULT"
        return images

    def _decode_searching(self, times: Sequence[float]) -> dict[float, TimedImage]:
        """Return the last frame that starts by each time and can be decoded, wherever the container puts it."""
        frames = self._decode_passing(times, seek=times[0]) if times[0] > 0 else {}
        return frames or self._decode_passing(times)  # the container put us behind it, or nothing follows its last key

    def _decode_passing(self, times: Sequence[float], seek: float | None = None) -> dict[float, TimedImage]:
        """Return the frames at the times by decoding from `seek` on; empty where that begins after the first time."""
        frames: dict[float, TimedImage] = {}
        remaining, last = deque(times), None

        def add(time: float, frame: Any) -> None:
            frames[time] = float(frame.time) - self.start_time, frame_to_image(frame, self._stream)

        try:
            for frame in self._decode_from(None if seek is None else self.start_time + seek):
                if frame.time is None:
                    continue
                while (
                    remaining
                    and frame.time > self.start_time + remaining[0] + 1e-6
                    and (last is not None or seek is not None)
                ):
                    if last is None:
                        return {}
                    add(remaining.popleft(), last)
                if not remaining:
                    return frames
                last = frame
        except DECODE_ERRORS:
            pass  # cut short: the last that can be decoded
        for time in remaining if last is not None else ():
            add(time, last)
        return frames
