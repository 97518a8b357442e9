"""Samples out of files with a sound: by libsndfile, and by FFmpeg where that does not know the format."""

import io
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from soundspot.errors import InputError

EXPECTED = "a sound file (wav, flac, ogg, mp3, m4a...) or a video with sound"
REMEDY = "Play it to see whether it is whole, and save it again as WAV or FLAC"
CHUNK_SIZE = 2**26  # samples of all channels that are decoded at a time, where a sound may last so long and no longer


@contextmanager
def open_decoder(
    path: Path, content: bytes | None, max_seconds: float | int | None
) -> Iterator[tuple[int, Iterator[NDArray[np.float32]]]]:
    """The rate of a sound, and its samples in pieces, each (t, channels).

    Few pieces: libsndfile seeks after each, which an mp3 does not stand. `most`: seconds after which no more of them
    are wanted than one sample.
    """
    try:
        file = soundfile.SoundFile(path if content is None else io.BytesIO(content))
    except (soundfile.SoundFileError, RuntimeError):  # a format libsndfile does not know
        file = None
    if file is None:
        with _opened_with_ffmpeg(path, content) as inside:
            yield inside
    else:
        with file:
            count = (
                -1 if max_seconds is None else min(int(max_seconds * file.samplerate) + 1, CHUNK_SIZE // file.channels)
            )
            yield file.samplerate, _pieces(file, path, count)


def _pieces(file: soundfile.SoundFile, path: Path, count: int) -> Iterator[NDArray[np.float32]]:
    found = 0
    while len(piece := read_samples(file, path, count)):
        found += len(piece)
        yield piece
    if found < 0.9 * file.frames:  # mp3 headers estimate, but not by a tenth
        raise truncation_error(path, found, file.frames, file.samplerate)


def read_samples(file: soundfile.SoundFile, path: Path, count: int) -> NDArray[np.float32]:
    """Samples of an open file, (t, channels), from where it stands; -1: all of them."""
    try:
        waveform: NDArray[np.float32] = file.read(count, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise InputError(
            f"{path}: found a broken or truncated sound ({error}), expected a whole one. {REMEDY}."
        ) from error
    return waveform


def truncation_error(path: Path, num_found: int, num_expected: int, rate: int) -> InputError:
    """The error of a file that holds fewer samples than its header promises."""
    return InputError(
        f"{path}: found {num_found / rate:.2f} s of sound (cut short), expected the {num_expected / rate:.2f} s its header "
        "promises. Fetch or write it again."
    )


@contextmanager
def _opened_with_ffmpeg(path: Path, content: bytes | None) -> Iterator[tuple[int, Iterator[NDArray[np.float32]]]]:
    """The rate of the first sound track, and its samples as (t, channels) float32 in [-1, 1]."""
    import av  # 0.1 s to import, and most sounds do without it

    from soundspot.data.media.pcm import PcmConverter

    try:
        with av.open(os.path.abspath(path) if content is None else io.BytesIO(content)) as container:
            if not container.streams.audio:
                kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
                raise InputError(
                    f"{path}: found a file without sound (it holds: {kinds}), expected {EXPECTED}. "
                    "Give the sound as a file of its own."
                )
            stream = container.streams.audio[0]
            samples = PcmConverter()
            frames = itertools.chain(container.decode(stream), [None])  # None: what is left in the resampler
            yield int(stream.rate), (part.T for frame in frames for part in samples(frame))
    except (av.FFmpegError, ValueError, EOFError) as error:
        raise InputError(
            f"{path}: found a file that no reader of sounds knows ({error}), expected {EXPECTED}. {REMEDY}."
        ) from error
