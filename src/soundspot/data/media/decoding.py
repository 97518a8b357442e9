"""Samples of audio files: decoded by libsndfile, and by FFmpeg where libsndfile does not know the format."""

import io
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import soundfile
from jaxtyping import Float32
from numpy import ndarray

from soundspot.errors import InputError

EXPECTED = "a sound file (wav, flac, ogg, mp3, m4a...) or a video with sound"
REMEDY = "Play it to see whether it is whole, and save it again as WAV or FLAC"
CHUNK_SIZE = 2**26  # samples of all channels that are decoded at a time, where a sound may last so long and no longer

Chunks = Iterator[Float32[ndarray, "t c"]]


@contextmanager
def open_decoder(
    path: Path, content: bytes | None, max_seconds: float | int | None, track: int | None = None
) -> Iterator[tuple[int, Chunks]]:
    """Open a sound for decoding in chunks, in a `with` block.

    There are few chunks: libsndfile seeks after each, which an mp3 does not stand.

    Args:
        path: path of the file; messages name it.
        content: bytes of the file, where they were read from elsewhere.
        max_seconds: duration in seconds after which the caller needs no more than one sample; None: libsndfile decodes
            everything as one chunk.
        track: number of the audio track, from 0; None: the first.

    Yields:
        Sample rate in Hz, and an iterator over chunks, (t, channels) float32 in [-1, 1].

    Raises:
        InputError: no decoder knows the file, it has no sound or no such track, or (on iteration) it is broken or cut
            short.
    """
    file = None
    if not track:
        with suppress(soundfile.SoundFileError, RuntimeError):  # a format libsndfile does not know
            file = soundfile.SoundFile(path if content is None else io.BytesIO(content))
    if file is None:
        with _open_with_ffmpeg(path, content, track or 0) as decoder:
            yield decoder
    else:
        with file:
            count = -1 if max_seconds is None else int(max_seconds * file.samplerate) + 1
            yield file.samplerate, _iter_chunks(file, path, min(count, CHUNK_SIZE // file.channels))


def _iter_chunks(file: soundfile.SoundFile, path: Path, count: int) -> Chunks:
    length = 0
    while len(chunk := read_samples(file, path, count)):
        length += len(chunk)
        yield chunk
    if length < 0.9 * file.frames:  # mp3 headers estimate, but not by a tenth
        raise truncation_error(path, length, file.frames, file.samplerate)


def read_samples(file: soundfile.SoundFile, path: Path, count: int) -> Float32[ndarray, "t c"]:
    """Decode samples of an open file from its position on.

    Args:
        file: open file, whose position moves on.
        path: path of the file, for messages.
        count: number of samples of each channel; -1: all that are left.

    Returns:
        (count, channels) float32 in [-1, 1]; fewer samples where the file ends.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return file.read(count, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise InputError(
            f"{path}: found a broken or truncated sound ({error}), expected a whole one. {REMEDY}."
        ) from error


def truncation_error(path: Path, num_samples: int, num_expected: int, rate: int) -> InputError:
    """Build the error of a file that holds fewer samples than its header promises; it is returned, not raised.

    Args:
        path: path of the file.
        num_samples: number of samples that were decoded.
        num_expected: number of samples that the header promises.
        rate: sample rate in Hz, by which the message converts both numbers to seconds.

    Returns:
        The error.
    """
    return InputError(
        f"{path}: found {num_samples / rate:.2f} s of sound (cut short), expected the {num_expected / rate:.2f} s its "
        "header promises. Fetch or write it again."
    )


@contextmanager
def _open_with_ffmpeg(path: Path, content: bytes | None, track: int) -> Iterator[tuple[int, Chunks]]:
    from soundspot.data.media.ffmpeg import DECODE_ERRORS, PcmConverter, av

    try:
        with av.open(os.path.abspath(path) if content is None else io.BytesIO(content)) as container:
            streams = container.streams.audio
            if not streams:
                kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
                raise InputError(
                    f"{path}: found a file without sound (it holds: {kinds}), expected {EXPECTED}. "
                    "Give the sound as a file of its own."
                )
            if not 0 <= track < len(streams):
                raise InputError(
                    f"{path}: found {len(streams)} audio tracks, expected one of number {track}. Count them from 0."
                )
            to_arrays = PcmConverter()
            frames = itertools.chain(container.decode(streams[track]), [None])  # None: what is left in the resampler
            yield int(streams[track].rate), (samples.T for frame in frames for samples in to_arrays(frame))
    except DECODE_ERRORS as error:
        raise InputError(
            f"{path}: found a file that no reader of sounds knows ({error}), expected {EXPECTED}. {REMEDY}."
        ) from error
