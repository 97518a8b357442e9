"""The pictures of a video of any length, one after the other, each with its moment. One is held at a time."""

import math
from collections.abc import Iterator

from PIL import Image

from soundspot.data.media.audio_stream import iter_decoded
from soundspot.data.media.frame_index import frame_to_image
from soundspot.data.media.video import Video, VideoError


class VideoStream(Video):
    """A video that is read from its beginning to its end, with all of FFmpeg's threads; use it in a `with` block.

    Attributes:
        begin: second of the file at which its pictures begin.
        rate: pictures a second, as its header has it. colours: FFmpeg's number of how it makes them of YUV.
        end: second at which the last picture so far is no longer shown. damaged: packets that could not be decoded so
            far.
    """

    damaged, end_time = 0, 0.0

    def __enter__(self) -> "VideoStream":
        return self

    @property
    def start_time(self) -> float:
        return self._frames.start_time

    @property
    def frame_rate(self) -> float:
        told = self._pictures.average_rate or self._pictures.guessed_rate
        return float(told) if told and 0 < told <= 1000 else 25.0

    @property
    def colorspace(self) -> int:
        return int(self._pictures.codec_context.colorspace)

    def frames(self) -> Iterator[tuple[float, Image.Image]]:
        """Moment and picture of each frame, upright; moments rise, and all pictures have the size of the first.

        A frame whose moment is not behind the last one's counts as damaged and is left out, as players do.

        Raises:
            VideoError: not one frame can be decoded.
        """
        self._pictures.thread_type = "AUTO"
        last, size = -math.inf, None
        for frame in iter_decoded(self._container, self._pictures, self):
            first = math.isinf(last)
            moment = (
                frame.time - self.start_time if frame.time is not None else 0.0 if first else last + 1 / self.frame_rate
            )
            if moment <= last:
                self.damaged += 1
                continue
            picture = frame_to_image(frame, self._pictures)
            size = size or picture.size
            last, lasts = moment, float((frame.duration or 0) * (frame.time_base or 0))
            self.end_time = max(0.0, moment) + (lasts or 1 / self.frame_rate)
            yield max(0.0, moment), picture if picture.size == size else picture.resize(size)
        if math.isinf(last):
            raise VideoError(
                f"{self.path}: found no picture that can be decoded, expected a video. Play it to see whether it is "
                "whole, and fetch or write it again",
                "no picture",
            )
