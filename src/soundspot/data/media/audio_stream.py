"""The sound of a video of any length, in order: chunks of it as they are decoded, and a window that slides over them.

Seconds count from the first picture. Where the track says nothing (it begins later, lost packets, a gap) there is
silence, so that sound and picture stay together whatever the file has lost.
"""

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
import torch
from numpy.typing import NDArray

from soundspot.data.media.audio import to_mono
from soundspot.data.media.file_types import check_readable
from soundspot.data.media.pcm import PcmConverter
from soundspot.data.media.video import VideoError
from soundspot.types import Audio

Chunk = NDArray[np.float32]  # (channels, t)

_EXPECTED = "a sound, or a video with sound"
_SLACK = 0.05  # seconds by which a packet may lie beside its place before it is put there
_AFTER = 0.5  # seconds for which what was heard last still holds when the sound ends before the picture


class AudioStream:
    """The first sound of a file; use it in a `with` block.

    Args:
        path: a video, or a sound alone.
        begin: second of the file at which its pictures begin; None: the sound's own beginning.

    Attributes:
        rate, layout: of the sound: samples a second, and FFmpeg's name of its channels.
        damaged: packets that could not be decoded so far.

    Raises:
        InputError: missing, empty, or may not be read. VideoError: not a sound or video, without sound, or of a codec
            that is not known.
    """

    def __init__(self, path: Path, start_time: float | None = None) -> None:
        self.path = path
        check_readable(path, _EXPECTED)
        try:
            self._container = av.open(os.path.abspath(path))
        except (av.FFmpegError, ValueError, EOFError) as error:
            raise VideoError(
                f"{path}: found a file that no reader of sounds knows ({error}), expected {_EXPECTED}. Play it to see "
                "whether it is whole"
            ) from error
        stream = next(iter(self._container.streams.audio), None)
        if stream is None or stream.codec_context is None or not stream.rate:
            self._container.close()
            raise no_audio_error(path) if stream is None else _unknown(path)
        self._stream: Any = stream
        self._begin = float((stream.start_time or 0) * (stream.time_base or 0)) if start_time is None else start_time
        self.rate, self.layout = int(stream.rate), str(stream.layout.name)
        self.damaged = 0

    def __enter__(self) -> "AudioStream":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def iter_chunks(self) -> Iterator[Chunk]:
        """All of it from second 0 on, without holes: (channels, t) at its own rate, at most a second at a time."""
        samples, given = self._samples(), 0
        for frame in iter_decoded(self._container, self._stream, self):
            at = given if frame.time is None else round((frame.time - self._begin) * self.rate)
            try:
                parts = samples(frame)
            except ValueError:  # the file changes its form on the way
                samples = self._samples()
                parts = samples(frame)
            if at - given > (_SLACK * self.rate if given else 0):
                yield from self._silence(at - given)
                given = at
            late = given - at if at < 0 or given - at > _SLACK * self.rate else 0
            for part in parts:
                kept = part[:, late:]
                late = max(0, late - part.shape[1])
                given += kept.shape[1]
                if kept.shape[1]:
                    yield kept

    def _samples(self) -> PcmConverter:
        return PcmConverter(self.layout, self.rate)

    def _silence(self, count: int) -> Iterator[Chunk]:
        channels = self._stream.codec_context.channels
        for start in range(0, count, self.rate):
            yield np.zeros((channels, min(self.rate, count - start)), np.float32)


class InMemoryAudio:
    """A sound that lies in memory, with the same face."""

    damaged = 0
    layout = "mono"
    path = Path("the sound")

    def __init__(self, audio: Audio) -> None:
        self._sound, self.rate = audio, audio.rate

    def __enter__(self) -> "InMemoryAudio":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def iter_chunks(self) -> Iterator[Chunk]:
        """All of it, a second at a time."""
        for part in self._sound.waveform.split(self.rate):
            yield part[None].numpy()


class SlidingWindow:
    """A window that moves forward over a track: the mean of its channels at `rate`; what lies behind it is forgotten.

    Args:
        rate: samples a second; None: the track's own.
        seconds: length of the window.
    """

    def __init__(self, stream: AudioStream | InMemoryAudio, rate: int | None, seconds: float | int) -> None:
        self.name = str(stream.path)
        self.rate = rate or stream.rate
        self.length = max(1, round(seconds * self.rate))
        self._chunks = self._resampled(stream)
        self._pieces: deque[NDArray[np.float32]] = deque()
        self._first = self._end = 0  # samples that are kept
        self._over = False

    def window_at(self, time: float | int) -> Audio:
        """The window around a moment; moments rise from call to call.

        At the beginning and at the end of the sound the window is moved inward, so that it is always full; a sound
        shorter than the window is given whole. A moment more than half a second behind its end hears silence.

        Raises:
            VideoError: there is no sound at all.
        """
        start = max(0, round(time * self.rate) - self.length // 2)
        self._read(start)
        if not self._end:
            raise VideoError(
                f"{self.name}: found no sound that can be decoded, expected some. Give the sound as a file of its own: "
                "`--sound other.wav`, in Python `sound=`",
                "no sound",
            )
        if self._over and round((time - _AFTER) * self.rate) > self._end:
            return Audio(torch.zeros(self.length), self.rate)
        start = max(0, min(start, self._end - self.length)) - self._first
        kept = np.concatenate(self._pieces)
        return Audio(torch.from_numpy(kept[start : start + self.length].copy()), self.rate)

    def _read(self, start: int) -> None:
        """All of the window that begins at `start`, as far as there is; the last full window is kept in any case."""
        while self._end < start + self.length and not self._over:
            piece = next(self._chunks, None)
            if piece is None:
                self._over = True
            elif len(piece):
                self._pieces.append(piece)
                self._end += len(piece)
                self._forget(start)
        self._forget(start)

    def _forget(self, start: int) -> None:
        while self._pieces and self._first + len(self._pieces[0]) <= min(start, self._end - self.length):
            self._first += len(self._pieces.popleft())

    def _resampled(self, track: AudioStream | InMemoryAudio) -> Iterator[NDArray[np.float32]]:
        """Its samples, (t,), at the window's rate."""
        plain = (to_mono(chunk.T, track.rate, "mean", self.name).waveform.numpy() for chunk in track.iter_chunks())
        if track.rate == self.rate:
            yield from plain
            return
        stream = soxr.ResampleStream(track.rate, self.rate, 1, dtype="float32", quality="HQ")
        for samples in plain:
            yield stream.resample_chunk(samples).clip(-1, 1)
        yield stream.resample_chunk(np.empty(0, np.float32), last=True).clip(-1, 1)


def iter_decoded(container: Any, stream: Any, counter: Any) -> Iterator[Any]:
    """The frames of a stream in order; packets that cannot be decoded are counted (`tally.damaged`) and left out.

    A file that is cut short ends where it is cut.
    """
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.FFmpegError, ValueError, EOFError):
            counter.damaged += 1
            return
        try:
            frames = packet.decode()
        except (av.FFmpegError, ValueError, EOFError):
            counter.damaged += 1
            continue
        yield from frames


def no_audio_error(path: Path) -> VideoError:
    """What to say of a video that has none."""
    return VideoError(
        f"{path}: found a video without sound, expected one with it. Give the sound as a file of its own: "
        "`--sound other.wav`, in Python `sound=`",
        "no sound",
    )


def _unknown(path: Path) -> VideoError:
    return VideoError(
        f"{path}: found sound of a codec that this build of FFmpeg has no decoder for, expected {_EXPECTED}. Give the "
        "sound as a file of its own: `--sound other.wav`, in Python `sound=`",
        "unknown codec",
    )
