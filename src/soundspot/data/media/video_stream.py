"""Frames of a video of any length in order, each with its time; one frame is in memory at a time."""

import math
import os
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from soundspot.data.media.audio import to_mono
from soundspot.data.media.audio_stream import AudioStream
from soundspot.data.media.ffmpeg import frame_to_image, iter_decoded
from soundspot.data.media.frame_index import TimedImage
from soundspot.data.media.video import Video
from soundspot.types import Audio


class VideoStream(Video):
    """A video that is decoded from beginning to end, with all of FFmpeg's threads; use it in a `with` block.

    Args:
        path: path of the file.

    Attributes:
        end_time: end of the last frame decoded so far, in seconds.
        damaged: number of packets and frames so far that were left out.

    Raises:
        InputError: missing, empty, or may not be read.
        VideoError: not a video, without frames, or of an unknown codec.
    """

    _thread_type = "AUTO"
    damaged, end_time = 0, 0.0

    @property
    def start_time(self) -> float:
        """Time of the first frame in the file, in seconds."""
        return self._index.start_time

    @property
    def frame_rate(self) -> float:
        """Frames per second as the header gives them; 25 where it gives none."""
        rate = self._video_stream.average_rate or self._video_stream.guessed_rate
        return float(rate) if rate and 0 < rate <= 1000 else 25.0

    @property
    def colorspace(self) -> int:
        """FFmpeg's number of the conversion matrix between RGB and YUV."""
        return int(self._video_stream.codec_context.colorspace)

    @cached_property
    def audio(self) -> Audio:
        """First audio track of the video in full, the mean of its channels, from the time of the first frame on.

        Raises:
            VideoError: there is no audio track, or its codec is unknown.
            InputError: nothing of it can be decoded.
        """
        with AudioStream(self.path, self.start_time) as stream:
            chunks = list(stream.iter_chunks())
            waveform = np.concatenate(chunks, axis=1) if chunks else np.empty((1, 0), np.float32)
            return to_mono(waveform.T, stream.rate, "mean", str(self.path))

    def frames(self) -> Iterator[TimedImage]:
        """Decode the frames in order, from the first on.

        A frame whose time is not after that of the last counts as damaged and is left out, as players do.

        Yields:
            Start time in seconds, rising, and the frame, upright RGB; frames of another size are resized to that of the
            first.

        Raises:
            VideoError: no frame can be decoded.
        """
        self._index.rewind()
        last, size = -math.inf, None
        for frame in iter_decoded(self._container, self._video_stream, self):
            is_first = math.isinf(last)
            time = (
                frame.time - self.start_time
                if frame.time is not None
                else 0.0
                if is_first
                else last + 1 / self.frame_rate
            )
            if time <= last:
                self.damaged += 1
                continue
            image = frame_to_image(frame, self._video_stream)
            size = size or image.size
            last, duration = time, float((frame.duration or 0) * (frame.time_base or 0))
            self.end_time = max(0.0, time) + (duration or 1 / self.frame_rate)
            yield max(0.0, time), image if image.size == size else image.resize(size)
        if math.isinf(last):
            raise self._no_frames()


def open_video(path: str | os.PathLike[str]) -> VideoStream:
    """Open a video to read its frames in order, its audio, or single frames.

    Args:
        path: path of an mp4, mkv, webm, mov, avi or another container that FFmpeg reads.

    Returns:
        The open video: `.frames()` yields (time in seconds, upright RGB image) in order; `.audio`, mono; `.duration` in
        seconds; `.frame_after(time)`.

    Raises:
        InputError: missing, empty, or may not be read.
        VideoError: not a video, without frames, or of an unknown codec.
    """
    return VideoStream(path)
