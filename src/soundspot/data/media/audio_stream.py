"""Audio track of a file of any length in order: chunks as they are decoded, and a window that slides over them.

Seconds count from the first frame. Where the track holds nothing (it begins later, lost packets, a gap) there is
silence, so that sound and images stay synchronous whatever the file has lost.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from jaxtyping import Float32

from soundspot.data.media.audio import to_mono
from soundspot.data.media.ffmpeg import MediaFile, PcmConverter, VideoError, iter_decoded
from soundspot.types import Audio

Chunk = Float32[np.ndarray, "c t"]

_MAX_JITTER = 0.05  # seconds by which a packet may be off before it is moved to its time
_HOLD_SECONDS = 0.5  # seconds for which the last samples still hold when the sound ends before the images
_OWN_FILE = "Give the sound as a file of its own: `soundspot locate VIDEO other.wav`, in Python `audio=`"


class AudioStream(MediaFile):
    """First audio track of a file, decoded from beginning to end; use it in a `with` block.

    Args:
        path: path of a video or a sound file.
        start_time: time in the file, in seconds, that becomes second 0: that of the first frame; None: that at which
            the track itself begins.

    Attributes:
        rate: sample rate in Hz.
        layout: FFmpeg's name of the channel layout.
        damaged: number of packets so far that could not be decoded.

    Raises:
        InputError: missing, empty, or may not be read.
        VideoError: not a sound or video, without sound, or of an unknown codec.
    """

    def __init__(self, path: str | os.PathLike[str], start_time: float | None = None) -> None:
        super().__init__(path, "a sound, or a video with sound")
        stream: Any = next(iter(self._container.streams.audio), None)
        if stream is None or stream.codec_context is None or not stream.rate:
            self._container.close()
            if stream is None:
                raise self._error("a video without sound", "no sound", _OWN_FILE)
            problem = "sound of a codec that this build of FFmpeg has no decoder for"
            raise self._error(problem, "unknown codec", _OWN_FILE)
        self._stream = stream
        own_start_time = float((stream.start_time or 0) * (stream.time_base or 0))
        self._start_time = own_start_time if start_time is None else start_time
        self.rate, self.layout = int(stream.rate), str(stream.layout.name)
        self.damaged = 0

    def iter_chunks(self) -> Iterator[Chunk]:
        """Decode the track in order, from second 0 on; gaps are filled with silence.

        Yields:
            (channels, t) float32 samples in [-1, 1] at the track's own rate, as decoded; silence in chunks of at most a
            second.
        """
        to_arrays, position = PcmConverter(self.layout, self.rate), 0
        for frame in iter_decoded(self._container, self._stream, self):
            start = position if frame.time is None else round((frame.time - self._start_time) * self.rate)
            try:
                arrays = to_arrays(frame)
            except ValueError:  # the file changes its format on the way
                to_arrays = PcmConverter(self.layout, self.rate)
                arrays = to_arrays(frame)
            if start - position > (_MAX_JITTER * self.rate if position else 0):
                yield from self._iter_silence(start - position)
                position = start
            skip = position - start if start < 0 or position - start > _MAX_JITTER * self.rate else 0
            for samples in arrays:
                chunk = samples[:, skip:]
                skip = max(0, skip - samples.shape[1])
                position += chunk.shape[1]
                if chunk.shape[1]:
                    yield chunk

    def _iter_silence(self, count: int) -> Iterator[Chunk]:
        channels = self._stream.codec_context.channels
        for start in range(0, count, self.rate):
            yield np.zeros((channels, min(self.rate, count - start)), np.float32)


class InMemoryAudio:
    """A sound in memory with the interface of `AudioStream`.

    Args:
        audio: the sound; `rate` is its sample rate in Hz.
    """

    damaged = 0
    layout = "mono"
    path = Path("the sound")

    def __init__(self, audio: Audio) -> None:
        self._audio, self.rate = audio, audio.rate

    def __enter__(self) -> "InMemoryAudio":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def iter_chunks(self) -> Iterator[Chunk]:
        """Divide the waveform into chunks of a second.

        Yields:
            (1, t) float32 samples; the last chunk may be shorter.
        """
        for samples in self._audio.waveform.split(self.rate):
            yield samples[None].numpy()


class SlidingWindow:
    """Window that moves forward over a stream, mono; samples behind it are dropped.

    Args:
        stream: stream whose channels are averaged.
        rate: sample rate in Hz to resample to; None: the stream's own.
        seconds: duration of the window in seconds.
        on_chunk: called with each chunk of the stream as it is read, (channels, t) at the stream's own rate.
    """

    def __init__(
        self,
        stream: AudioStream | InMemoryAudio,
        rate: int | None,
        seconds: float | int,
        on_chunk: Callable[[Chunk], None] = lambda chunk: None,
    ) -> None:
        self._name = str(stream.path)
        self.rate = rate or stream.rate
        self.length = max(1, round(seconds * self.rate))
        self._chunks = self._iter_resampled(stream, on_chunk)
        self._buffer: deque[Float32[np.ndarray, " t"]] = deque()
        self._first = self._end = 0  # range of the samples in the buffer
        self._is_exhausted = False

    def window_at(self, time: float | int) -> Audio:
        """Return the window centered on a time.

        At the beginning and at the end of the sound the window is moved inward, so that it is always full; a sound
        shorter than the window is returned whole, not padded.

        Args:
            time: time in seconds from second 0 of the stream; it must not fall from call to call.

        Returns:
            Mono audio at the window's rate; silence of full length where `time` is more than half a second after the
            end.

        Raises:
            VideoError: there is no sound at all.
        """
        start = max(0, round(time * self.rate) - self.length // 2)
        self._read_until(start)
        if not self._end:
            raise VideoError(
                f"{self._name}: found no sound that can be decoded, expected some. {_OWN_FILE}", "no sound"
            )
        if self._is_exhausted and round((time - _HOLD_SECONDS) * self.rate) > self._end:
            return Audio(torch.zeros(self.length), self.rate)
        start = max(0, min(start, self._end - self.length)) - self._first
        samples = np.concatenate(self._buffer)
        return Audio(torch.from_numpy(samples[start : start + self.length].copy()), self.rate)

    def read_to(self, time: float | int) -> None:
        """Read the stream up to a time, so that `on_chunk` is called with all chunks until then.

        Args:
            time: time in seconds from second 0 of the stream.
        """
        self._read_until(round(time * self.rate) - self.length)

    def _read_until(self, start: int) -> None:
        """Fill the buffer with the window that begins at sample `start`; the last full window is never dropped."""
        while self._end < start + self.length and not self._is_exhausted:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._is_exhausted = True
            elif len(chunk):
                self._buffer.append(chunk)
                self._end += len(chunk)
                self._drop(start)
        self._drop(start)

    def _drop(self, start: int) -> None:
        while self._buffer and self._first + len(self._buffer[0]) <= min(start, self._end - self.length):
            self._first += len(self._buffer.popleft())

    def _iter_resampled(
        self, stream: AudioStream | InMemoryAudio, on_chunk: Callable[[Chunk], None]
    ) -> Iterator[Float32[np.ndarray, " t"]]:
        """Yield the mono samples of the stream, (t,), at the window's rate."""
        resampler = soxr.ResampleStream(stream.rate, self.rate, 1, dtype="float32", quality="HQ")
        for chunk in stream.iter_chunks():
            on_chunk(chunk)
            samples = to_mono(chunk.T, stream.rate, "mean", self._name).waveform.numpy()
            yield samples if stream.rate == self.rate else resampler.resample_chunk(samples).clip(-1, 1)
        if stream.rate != self.rate:
            yield resampler.resample_chunk(np.empty(0, np.float32), last=True).clip(-1, 1)
