"""Audio: read from any file that has a sound, resampled, cropped, mixed; always mono float32 in [-1, 1]."""

import io
import math
import os
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from numpy.typing import NDArray
from torch import Tensor

from soundspot.config.frontend import AudioSpec
from soundspot.data.media.decoding import EXPECTED, REMEDY, open_decoder, read_samples, truncation_error
from soundspot.data.media.file_types import check_readable
from soundspot.errors import InputError
from soundspot.types import Audio

Channels = Literal["mean", "left"]
AudioLike = str | os.PathLike[str] | Audio | tuple[NDArray | Tensor, int]

_EXACT_LENGTH = ("WAV", "FLAC")  # formats whose header gives the length; mp3's estimates it
_STREAMED_LENGTH = 0x7FFF0000  # bytes from which a wav's length means "to the end": 0xFFFFFFFF, 0x7FFFF000...
_MAX_AMPLITUDE = 8.0  # beyond this, floats are no waveform in [-1, 1] that overshoots but integers in disguise


def read_audio(
    path: str | os.PathLike[str],
    rate: int | None = None,
    channels: Channels = "mean",
    content: bytes | None = None,
    max_seconds: float | int | None = None,
    track: int | None = None,
) -> Audio:
    """Read the audio of a sound file or a video, in full.

    Args:
        path: path of a wav, flac, ogg or mp3 file (libsndfile), or of any file that FFmpeg knows.
        rate: sample rate in Hz to resample to; None keeps the file's own.
        channels: `mean` of all channels, or only the `left` (first), as SSLalignment reads files.
        content: bytes of the file, where they were read from elsewhere; `path` is then its name in messages.
        max_seconds: longest accepted duration in seconds, whatever the header promises: of a longer file no more is
            decoded. None: no limit.
        track: number of the audio track, from 0; None: the first.

    Returns:
        The waveform (t,), float32 in [-1, 1], and its rate. Silence is no error (`Audio.is_silent`).

    Raises:
        InputError: the file is missing, empty, not a sound, cut short, a video without sound, without such a track,
            without samples, with NaN or infinite samples or samples beyond 8 in absolute value, or longer than
            `max_seconds`.
    """
    path = Path(path)
    if content is None:
        check_readable(path, EXPECTED)
    chunks, length = [], 0
    with open_decoder(path, content, max_seconds, track) as (file_rate, decoded):
        for chunk in decoded:
            length += len(chunk)
            if max_seconds is not None and length > max_seconds * file_rate:
                raise InputError(
                    f"{path}: found a sound that lasts longer than {max_seconds:g} s, expected no more. Cut it.",
                    "too long",
                )
            chunks.append(_downmix(chunk, channels))
    waveform = chunks[0] if len(chunks) == 1 else np.concatenate([np.empty((0, 1), np.float32), *chunks])
    return resample(to_mono(waveform, file_rate, channels, str(path)), rate)


@dataclass(frozen=True)
class AudioFile:
    """An open sound file, from which segments are decoded on demand.

    Attributes:
        path: name of the file in messages.
        rate: sample rate in Hz.
        length: number of samples of each channel.
        read: function of (first sample, number of samples) that returns (count, channels) float32 samples in [-1, 1],
            fewer where the file ends.
    """

    path: Path
    rate: int
    length: int
    read: Callable[[int, int], Float32[np.ndarray, "t c"]]

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.length / self.rate

    def read_segment(self, first: int = 0, count: int | None = None) -> Audio:
        """Decode a segment of the file and average its channels.

        Args:
            first: number of the segment's first sample, from 0.
            count: number of samples; None: all up to the end of the file.

        Returns:
            The segment, (count,) float32 in [-1, 1] at the file's own rate; never padded.

        Raises:
            InputError: fewer samples than `count` can be decoded (the segment passes the end, or the file is cut
                short), the segment is empty, or samples are NaN, infinite or beyond 8 in absolute value.
        """
        expected = self.length - first if count is None else count
        samples = self.read(first, expected)
        if len(samples) < expected:
            raise truncation_error(self.path, first + len(samples), self.length, self.rate)
        return to_mono(samples, self.rate, "mean", str(self.path))


def open_audio(path: str | os.PathLike[str], content: bytes | None = None) -> Audio | AudioFile:
    """Open a sound file; formats whose header does not give the exact length are decoded in full instead.

    Args:
        path: path of the file.
        content: bytes of the file, where they were read from elsewhere; `path` is then its name in messages.

    Returns:
        An open file for wav and flac; otherwise the whole audio, mono at the file's own rate.

    Raises:
        InputError: the file is missing, empty, not a sound, or without sound. Broken or invalid samples of wav and flac
            raise it only when a segment is read.
    """
    path = Path(path)
    if content is None:
        check_readable(path, EXPECTED)
    try:
        return _open_wav(path, content)
    except (wave.Error, EOFError):  # not of 16 bits, or no wav
        pass
    try:
        file = soundfile.SoundFile(path if content is None else io.BytesIO(content))
    except (soundfile.SoundFileError, RuntimeError):
        return read_audio(path, content=content)
    if file.format not in _EXACT_LENGTH:
        return read_audio(path, content=content)

    def read(first: int, count: int) -> Float32[np.ndarray, "t c"]:
        file.seek(first)
        return read_samples(file, path, count)

    return AudioFile(path, file.samplerate, file.frames, read)


def _open_wav(path: Path, content: bytes | None) -> AudioFile:
    """Open a 16-bit wav by the standard library, which reads a segment in a quarter of libsndfile's time."""
    file = wave.open(str(path) if content is None else io.BytesIO(content))  # noqa: SIM115 (as long-lived as the AudioFile)
    if file.getsampwidth() != 2 or not file.getframerate():
        raise wave.Error("not of 16 bits, or of no rate")
    frame_size = 2 * file.getnchannels()
    if not 0 < file.getnframes() * frame_size < _STREAMED_LENGTH:
        raise wave.Error("written to a pipe: its header does not give the length")

    def read(first: int, count: int) -> Float32[np.ndarray, "t c"]:
        file.setpos(first)
        content = file.readframes(count)
        samples = np.frombuffer(content[: len(content) // frame_size * frame_size], "<i2")
        return np.divide(samples.reshape(-1, file.getnchannels()), np.float32(32768), dtype=np.float32)

    return AudioFile(path, file.getframerate(), file.getnframes(), read)


def as_audio(audio: AudioLike | object) -> Audio:
    """Return an Audio from a path, an Audio, or a pair (waveform, rate).

    Args:
        audio: path of a sound file or video; an Audio, returned as it is; or (waveform, rate in Hz). Waveforms are
            arrays or tensors of shape (t,), (channels, t) or (t, channels): the shorter axis is the channels, which are
            averaged. Floats lie in [-1, 1]; integers are scaled by the range of their type.

    Returns:
        The audio, mono float32 in [-1, 1].

    Raises:
        InputError: `audio` is none of these, the rate is no whole number above 0, the waveform is empty, has other
            axes, or has NaN, infinite or far too large values, or the file cannot be read.
    """
    if isinstance(audio, Audio):
        return audio
    if isinstance(audio, str | os.PathLike):
        return read_audio(audio)
    if not (isinstance(audio, tuple | list) and len(audio) == 2):
        raise InputError(
            f"found audio given as {type(audio).__name__}, expected a path, an Audio or a pair (waveform, rate). "
            "An array alone does not say its rate: pass (array, 16000)."
        )
    waveform, rate = audio
    array = waveform.detach().cpu().numpy() if isinstance(waveform, Tensor) else np.asarray(waveform)
    if array.ndim not in (1, 2) or array.dtype.kind not in "iuf":
        raise InputError(
            f"found a waveform of shape {array.shape} and type {array.dtype}, expected numbers of shape (t,), "
            "(channels, t) or (t, channels). Pass one sound at a time."
        )
    if int(rate) != rate or rate < 1:
        raise InputError(f"found a rate of {rate}, expected a whole number of Hz such as 16000. Pass (waveform, rate).")
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        middle = (limits.max + limits.min + 1) / 2  # 0, or 128 for unsigned 8 bit
        array = (array - middle) / (limits.max - middle + 1)
    if array.ndim == 1:
        array = array[:, None]
    elif array.shape[0] < array.shape[1]:
        array = array.T
    return to_mono(array.astype(np.float32), int(rate), "mean", "the waveform")


def resample(audio: Audio, rate: int | None) -> Audio:
    """Resample audio by soxr in high quality.

    Args:
        audio: waveform and its rate.
        rate: sample rate in Hz; None, or the audio's own rate, changes nothing.

    Returns:
        The audio at `rate`, clipped to [-1, 1]; at least one sample.
    """
    if rate is None or rate == audio.rate:
        return audio
    waveform = torch.from_numpy(soxr.resample(audio.waveform.numpy(), audio.rate, rate, quality="HQ"))
    if not len(waveform):  # a handful of samples at a high rate
        waveform = audio.waveform[:1]
    return Audio(waveform.clamp(-1, 1), rate)  # filters overshoot


def crop_or_tile(audio: Audio | AudioFile, seconds: float, start: float | None = None) -> Float[Tensor, " t"]:
    """Return a window of the waveform; a sound shorter than the window is repeated end to end.

    Args:
        audio: a sound in memory, or an open file, of which only the window is decoded.
        seconds: duration of the window in seconds.
        start: beginning of the window in seconds. None: the middle of a long sound, the beginning of a short sound. In
            a long sound it is clamped, so that the window lies inside; in a short sound it is taken modulo the
            duration.

    Returns:
        (t,) with t = max(1, round(seconds * rate)) samples, at the audio's own rate.

    Raises:
        InputError: a segment of an open file cannot be decoded.
    """
    length = audio.length if isinstance(audio, AudioFile) else len(audio.waveform)
    count = max(1, round(seconds * audio.rate))
    if length >= count:
        last = length - count
        first = last // 2 if start is None else min(max(round(start * audio.rate), 0), last)
        if isinstance(audio, AudioFile):
            return audio.read_segment(first, count).waveform
        return audio.waveform[first : first + count]
    waveform = audio.read_segment().waveform if isinstance(audio, AudioFile) else audio.waveform
    first = 0 if start is None else round(start * audio.rate) % length
    return waveform.repeat(math.ceil((first + count) / length))[first : first + count]


def extract_window(audio: Audio, spec: AudioSpec) -> Float[Tensor, " t"]:
    """Return the samples that the network of `spec` is given at test time.

    The audio is resampled, cut from its beginning or repeated to `spec.clip_seconds`, and then cut or repeated to the
    window.

    Args:
        audio: the whole sound of a file, of any duration and rate.
        spec: audio front end.

    Returns:
        (t,) waveform of `spec.seconds` at `spec.rate` (None: the rate of the audio).
    """
    audio = resample(audio, spec.rate)
    if spec.clip_seconds:
        audio = Audio(crop_or_tile(audio, spec.clip_seconds, 0.0), audio.rate)
    window = crop_or_tile(audio, spec.seconds, None if spec.window == "center" else 0.0)
    return window.roll(len(window) // 2 - len(audio.waveform) // 2) if spec.window == "rolled" else window


def pad_to_window(audio: Audio, spec: AudioSpec) -> Audio:
    """Pad with silence so that the window that `spec` takes at test time is exactly `audio`.

    Only front ends that take a window out of a longer clip need that; audio shorter than the window is returned
    unchanged, since the front end repeats it, and so is audio as long as the clip.

    Args:
        audio: the samples that the network is to be given.
        spec: audio front end.

    Returns:
        The audio with silence around it (window `center`) or behind it, `spec.clip_seconds` long.
    """
    clip_length, length = round((spec.clip_seconds or 0) * audio.rate), len(audio.waveform)
    if length < max(1, round(spec.seconds * audio.rate)) or clip_length <= length:
        return audio
    before = (clip_length - length) // 2 if spec.window == "center" else 0
    return Audio(F.pad(audio.waveform, (before, clip_length - length - before)), audio.rate)


def mix_audio(audios: Sequence[Audio]) -> Audio:
    """Mix several sounds at equal loudness.

    All are resampled to the highest of their rates and repeated to the longest of their durations, and each is scaled
    to the root mean square of all together: no recording masks another by its level, and of n uncorrelated sounds the
    sum over sqrt(n) is as loud as each. Silence stays silent. A sum that overshoots [-1, 1] is scaled down.

    Args:
        audios: one or more sounds of any rates and durations.

    Returns:
        Their mixture, at the highest rate and of the longest duration.

    Raises:
        InputError: the sequence is empty.
    """
    if not audios:
        raise InputError("found no sounds to mix, expected one or more. Pass them as a list.")
    rate, seconds = max(audio.rate for audio in audios), max(audio.seconds for audio in audios)
    waveforms = torch.stack([crop_or_tile(resample(audio, rate), seconds, 0.0) for audio in audios])
    power = waveforms.square().mean(dim=1, keepdim=True)
    gain = torch.where(power > 0, power.mean() / power, 0.0).sqrt()
    mixed = (gain * waveforms).sum(dim=0) / math.sqrt(len(audios))
    return Audio(mixed / mixed.abs().max().clamp(min=1), rate)


def to_mono(waveform: Float32[np.ndarray, "t c"], rate: int, channels: Channels, name: str) -> Audio:
    """Check samples and reduce them to a single channel.

    Args:
        waveform: (t, channels) float32 samples; values beyond [-1, 1] and up to 8 are clipped.
        rate: sample rate in Hz.
        channels: `mean` of all channels, or only the `left` (first).
        name: name of the source, for messages.

    Returns:
        The audio, (t,) float32 in [-1, 1], at the same rate.

    Raises:
        InputError: no samples, NaN or infinite values, or values beyond 8 in absolute value.
    """
    if 0 in waveform.shape:
        raise InputError(f"{name}: found a sound of no samples (zero length), expected at least one. {REMEDY}.")
    mono = _downmix(waveform, channels)[:, 0]
    peak = max(mono.max(), -mono.min())
    if not np.isfinite(peak):
        bad = int((~np.isfinite(mono)).sum())
        raise InputError(
            f"{name}: found NaN or infinite values in {bad} of {len(mono)} samples, expected numbers in [-1, 1]. "
            "Export the sound again, or replace them: numpy.nan_to_num."
        )
    if peak > _MAX_AMPLITUDE:
        raise InputError(
            f"{name}: found samples as large as {peak:.6g}, expected values in [-1, 1]. "
            "Divide by the full scale (32768 for 16-bit sound)."
        )
    if peak > 1:
        mono = mono.clip(-1, 1)
    return Audio(torch.from_numpy(np.ascontiguousarray(mono)), rate)


def _downmix(waveform: Float32[np.ndarray, "t c"], channels: Channels) -> Float32[np.ndarray, "t 1"]:
    """Return (t, 1) samples; an array without channels is returned as it is."""
    return waveform[:, :1] if channels == "left" or waveform.shape[1] < 2 else waveform.mean(axis=1, keepdims=True)
