"""Videos: frames at given times and windows of the audio, from any container that FFmpeg reads.

Header values of duration and rate are hints only: times are those of the frames themselves.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64
from PIL import Image

from soundspot.data.media.audio import resample, to_mono
from soundspot.data.media.ffmpeg import DECODE_ERRORS, REMEDY, MediaFile, PcmConverter, VideoError, av
from soundspot.data.media.frame_index import FrameIndex, TimedImage
from soundspot.types import Audio


class Video(MediaFile):
    """An open video with random access by time; use it in a `with` block. Second 0 is the start of the first frame.

    Args:
        path: path of the file.

    Attributes:
        header_duration: duration in seconds that the header promises; 0 where it gives none.

    Raises:
        InputError: missing, empty, or may not be read.
        VideoError: not a video, without frames, or of an unknown codec.
    """

    _thread_type = "NONE"  # a clip is read by one of several processes

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path, "a video (mp4, mkv, webm, mov, avi...)")
        streams = [stream for stream in self._container.streams.video if not _is_cover(stream)]
        if not streams:
            kinds = ", ".join(sorted({stream.type for stream in self._container.streams})) or "nothing"
            self._container.close()
            raise self._error(f"a file without moving images (it holds: {kinds})", "no frames")
        self._video_stream = streams[0]
        if self._video_stream.codec_context is None:
            self._container.close()
            raise self._unknown_codec("images")
        self._index = FrameIndex(self._container, self._video_stream)
        self._video_stream.thread_type = self._thread_type
        self._audio_stream = next(iter(self._container.streams.audio), None)
        if self._video_stream.duration and self._video_stream.time_base:
            self.header_duration = float(self._video_stream.duration * self._video_stream.time_base)
        else:
            self.header_duration = float(self._container.duration or 0) / av.time_base

    @property
    def duration(self) -> float:
        """Duration of the frames in seconds, read from their packets; from the header where packets have no times."""
        return self._index.duration or self.header_duration

    def packet_times(self) -> Float64[np.ndarray, " n"]:
        """Return the start times of the video and audio packets, without decoding.

        A header, or a single broken time stamp, may promise a duration in which there is nothing.

        Returns:
            (n,) distinct times in seconds from the first frame on, rising; up to where the file is cut short.
        """
        times: list[float] = []
        try:
            self._index.is_rewound = False
            self._container.seek(0)
            streams = [stream for stream in (self._video_stream, self._audio_stream) if stream is not None]
            for packet in self._container.demux(streams):
                ticks = packet.dts if packet.pts is None else packet.pts
                if packet.size and ticks is not None:
                    times.append(float(ticks * packet.time_base) - self._index.start_time)
        except DECODE_ERRORS:
            pass  # cut short: what came until then
        return np.unique(np.array(times, np.float64))

    def frames_at(self, times: Sequence[float | int]) -> list[TimedImage]:
        """Decode the frame that is shown at each time.

        Args:
            times: times in seconds, in any order; earlier than the first frame means the first, later than the last the
                last.

        Returns:
            For each time the start time of its frame in seconds, and the frame, upright RGB.

        Raises:
            VideoError: no frame can be decoded.
        """
        if frames := self._index.frames_at(times):
            return frames
        raise self._no_frames()

    def frame_after(self, time: float | int) -> Image.Image | None:
        """Decode the first frame that starts after a time.

        Args:
            time: time in seconds.

        Returns:
            Upright RGB image; None where there is no later frame, or it cannot be decoded.
        """
        return self._index.frame_after(time)

    def frame_pair(self, time: float | int) -> tuple[Image.Image, Image.Image]:
        """Decode the frame shown at a time and the frame after it; for the last frame, the frame before and itself.

        Args:
            time: time in seconds.

        Returns:
            Two consecutive frames in their order, upright RGB.

        Raises:
            VideoError: there are no two frames that can be decoded.
        """
        start, frame = self.frames_at([time])[0]
        after = self._index.frame_after(start)
        if after is not None:
            return frame, after
        earlier, before = self.frames_at([start - 1e-4])[0]
        if earlier >= start:
            raise self._error("a single frame and not two in a row", "one frame")
        return before, frame

    def read_audio(self, start: float | int, seconds: float | int, rate: int | None) -> Audio:
        """Read a window of the first audio track, the mean of its channels.

        Args:
            start: beginning of the window in seconds from the first frame on; where the track begins later, there is
                silence in front.
            seconds: duration of the window in seconds.
            rate: sample rate in Hz to resample to; None: that of the track.

        Returns:
            Mono audio of `seconds`; shorter, not padded, where the track ends sooner.

        Raises:
            VideoError: there is no audio track, its codec is unknown, or the window holds nothing of it.
            InputError: samples are NaN, infinite or beyond 8 in absolute value.
        """
        if self._audio_stream is None:
            raise self._error("a video without sound", "no sound")
        if self._audio_stream.codec_context is None:
            raise self._unknown_codec("sound")
        file_rate = int(self._audio_stream.rate)
        begin = self._index.start_time + start
        decoded, first = self._decode_audio(begin, begin + seconds, seek=begin)
        if not decoded.shape[1] or first > begin:  # it begins later, or the container put us behind the time
            decoded, first = self._decode_audio(begin, begin + seconds, seek=0.0)
        skip = round((begin - first) * file_rate)
        samples = decoded[:, max(0, skip) : max(0, skip + round(seconds * file_rate))]
        if not samples.shape[1]:
            problem = f"no sound from {start:.2f} s to {start + seconds:.2f} s"
            raise self._error(problem, "no sound in the window", "Choose another window, or leave it out")
        silence = np.zeros((len(samples), max(0, -skip)), samples.dtype)
        waveform = np.concatenate([silence, samples], axis=1).T
        return resample(to_mono(waveform, file_rate, "mean", str(self.path)), rate)

    def _decode_audio(self, begin: float, end: float, seek: float) -> tuple[Float32[np.ndarray, "c t"], float]:
        """Decode audio from `seek` until `end`, in the container's time: samples (channels, t) and their start time."""
        to_arrays = PcmConverter()
        chunks: list[Float32[np.ndarray, "c t"]] = []
        first: float | None = None
        stream: Any = self._audio_stream
        self._index.is_rewound = False
        try:
            if seek > 0:
                self._container.seek(int(seek / (stream.time_base or 1)), stream=stream)
            else:
                self._container.seek(0)
            for frame in self._container.decode(stream):
                if frame.time is not None and frame.time >= end:
                    break
                first = frame.time if first is None else first
                chunks += to_arrays(frame)
        except DECODE_ERRORS as error:
            if not chunks:
                raise self._unreadable(error) from error
        if not chunks:
            return np.empty((1, 0), np.float32), begin
        return np.concatenate(chunks, axis=1), begin if first is None else first

    def _no_frames(self) -> VideoError:
        return self._error("no frame that can be decoded", "no frames", REMEDY)

    def _unknown_codec(self, kind: str) -> VideoError:
        problem = f"{kind} of a codec that this build of FFmpeg has no decoder for"
        return self._error(problem, "unknown codec", "Write it again with another, or leave it out")


def _is_cover(stream: Any) -> bool:
    """Return whether a stream is the cover image of a sound file."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)
