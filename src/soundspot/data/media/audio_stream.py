"""Window that slides over the audio of a video of any length."""

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soxr
import torch
from jaxtyping import Float32

from soundspot.data.media.audio import check_samples
from soundspot.data.media.audio_track import AudioTrack
from soundspot.data.media.downmix import ChannelLayout, Samples, cancellation_notes, iter_mono
from soundspot.data.media.ffmpeg import VideoError
from soundspot.data.media.packet_table import HOLD_SECONDS
from soundspot.types import Audio


class InMemoryAudio:
    """A sound in memory with the interface of `AudioTrack`.

    Args:
        audio: the sound; `rate` is its sample rate in Hz.
    """

    damaged, notes = 0, ()
    layout = ChannelLayout("mono", (1.0,))
    path = Path("the sound")

    def __init__(self, audio: Audio) -> None:
        self._audio, self.rate = audio, audio.rate

    def __enter__(self) -> "InMemoryAudio":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def iter_chunks(self) -> Iterator[tuple[int, Samples]]:
        """Divide the waveform into chunks of a second.

        Yields:
            Number of the first sample, and (t, 1) float32 samples; the last chunk may be shorter.
        """
        for number, samples in enumerate(self._audio.waveform.split(self.rate)):
            yield number * self.rate, samples[:, None].numpy()


class SlidingWindow:
    """Window that moves forward over a stream, mono; samples behind it are dropped.

    Args:
        stream: track whose channels are reduced to one.
        rate: sample rate in Hz to resample to; None: the stream's own.
        seconds: duration of the window in seconds.
        on_chunk: called with each chunk of the stream as it is read, (channels, t) for a player, at its own rate.
        on_samples: called with the same, (t,) mono at the rate of the window.

    Attributes:
        start: second at which the window that was returned last begins.
    """

    start = 0.0

    def __init__(
        self,
        stream: AudioTrack | InMemoryAudio,
        rate: int | None,
        seconds: float | int,
        on_chunk: Callable[[Float32[np.ndarray, "c t"]], None] = lambda chunk: None,
        on_samples: Callable[[Float32[np.ndarray, " t"]], None] = lambda samples: None,
    ) -> None:
        self._name = str(stream.path)
        self.rate, self._stream_rate = rate or stream.rate, stream.rate
        self.length = max(1, round(seconds * self.rate))
        self._chunks, self._on_samples = self._iter_resampled(stream, on_chunk), on_samples
        self._buffer: deque[Float32[np.ndarray, " t"]] = deque()
        self._first = self._end = 0  # range of the samples in the buffer
        self._is_exhausted, self._num_canceled = False, 0

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
                f"{self._name}: found no sound that can be decoded, expected some. Give the sound as a file of its own",
                "no sound",
            )
        if self._is_exhausted and round((time - HOLD_SECONDS) * self.rate) > self._end:
            self.start = start / self.rate
            return Audio(torch.zeros(self.length), self.rate)
        start = max(0, min(start, self._end - self.length))
        self.start = start / self.rate
        samples = np.concatenate(self._buffer)
        start -= self._first
        return Audio(torch.from_numpy(samples[start : start + self.length].copy()), self.rate)

    def read_to(self, time: float | int) -> None:
        """Read the stream up to a time, so that `on_chunk` is called with all chunks until then.

        Args:
            time: time in seconds from second 0 of the stream.
        """
        self._read_until(round(time * self.rate) - self.length)

    def goes_on_after(self, time: float | int) -> bool:
        """Return whether the stream lasts longer than until a time, by more than half a second.

        Args:
            time: time in seconds from second 0 of the stream.
        """
        self.read_to(time + HOLD_SECONDS)
        return self._end > (time + HOLD_SECONDS) * self.rate

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the channels of what was read so far."""
        return cancellation_notes(self._num_canceled, self._stream_rate)

    def _read_until(self, start: int) -> None:
        """Fill the buffer with the window that begins at sample `start`; the last full window is never dropped."""
        while self._end < start + self.length and not self._is_exhausted:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._is_exhausted = True
            elif len(chunk):
                self._buffer.append(chunk)
                self._end += len(chunk)
                self._on_samples(chunk)
                self._drop(start)
        self._drop(start)

    def _drop(self, start: int) -> None:
        while self._buffer and self._first + len(self._buffer[0]) <= min(start, self._end - self.length):
            self._first += len(self._buffer.popleft())

    def _iter_resampled(
        self, stream: AudioTrack | InMemoryAudio, on_chunk: Callable[[Float32[np.ndarray, "c t"]], None]
    ) -> Iterator[Float32[np.ndarray, " t"]]:
        """Yield the mono samples of the stream, (t,), at the window's rate."""
        resampler = soxr.ResampleStream(stream.rate, self.rate, 1, dtype="float32", quality="HQ")

        def iter_chunks() -> Iterator[tuple[int, Samples]]:
            for position, chunk in stream.iter_chunks():
                on_chunk(stream.layout.for_player(chunk).T)
                yield position, chunk

        def count(num_canceled: int) -> None:
            self._num_canceled += num_canceled

        for _, mono in iter_mono(iter_chunks(), stream.layout, stream.rate, count):
            samples = check_samples(mono, stream.rate, self._name).waveform.numpy()
            yield samples if stream.rate == self.rate else resampler.resample_chunk(samples).clip(-1, 1)
        if stream.rate != self.rate:
            yield resampler.resample_chunk(np.empty(0, np.float32), last=True).clip(-1, 1)
