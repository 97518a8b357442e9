"""Sounds: read from any file that has one, resampled, cut. What leaves here is mono float32 in [-1, 1]."""

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
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from soundspot.config.frontend import AudioSpec
from soundspot.data.media.decoding import EXPECTED, REMEDY, open_decoder, read_samples, truncation_error
from soundspot.data.media.file_types import check_readable
from soundspot.errors import InputError
from soundspot.types import Audio

Channels = Literal["mean", "left"]
AudioLike = str | os.PathLike[str] | Audio | tuple[NDArray | Tensor, int]

_EXACT = ("WAV", "FLAC")  # formats whose header tells the length; mp3's estimate
_UNTOLD = 0x7FFF0000  # bytes from which a wav's length stands for "to the end": 0xFFFFFFFF, 0x7FFFF000...
_LOUDEST = 8.0  # beyond this, floats are no waveform in [-1, 1] that overshoots but integers in disguise


def read_audio(
    path: str | os.PathLike[str],
    rate: int | None = None,
    channels: Channels = "mean",
    content: bytes | None = None,
    max_seconds: float | int | None = None,
) -> Audio:
    """The whole sound of a file; of a video, its first sound track.

    Args:
        path: wav, flac, ogg or mp3 (libsndfile), else anything FFmpeg knows.
        rate: samples a second to resample to; None keeps the file's own.
        channels: `mean` of all channels, or the `left` (first) alone, as SSLalignment has it.
        content: the bytes of the file, where they were read from elsewhere; `path` is what messages call it then.
        most: seconds that it may last, whatever its header says: where more come, none of the rest is decoded.

    Raises:
        InputError: missing, empty, not a sound, cut short, a video without sound, no samples, NaN or infinite
            samples, longer than `most`. Silence is no error: see `Sound.is_silent`.
    """
    path = Path(path)
    if content is None:
        check_readable(path, EXPECTED)
    kept, length = [], 0
    with open_decoder(path, content, max_seconds) as (own_rate, pieces):
        for piece in pieces:
            length += len(piece)
            if max_seconds is not None and length > max_seconds * own_rate:
                raise InputError(
                    f"{path}: found a sound that lasts longer than {max_seconds:g} s, expected no more. Cut out a part.",
                    "too long",
                )
            kept.append(_narrow(piece, channels))
    waveform = kept[0] if len(kept) == 1 else np.concatenate([np.empty((0, 1), np.float32), *kept])
    return resample(to_mono(waveform, own_rate, channels, str(path)), rate)


@dataclass(frozen=True)
class AudioFile:
    """A sound of which parts can be had without the rest: of a file in memory, decoded where it is asked for.

    Attributes:
        path: what messages call it. rate: samples a second. length: samples.
        read: (first, count) to samples, (count, channels).
    """

    path: Path
    rate: int
    length: int
    read: Callable[[int, int], NDArray[np.float32]]

    @property
    def seconds(self) -> float:
        return self.length / self.rate

    def read_segment(self, first: int = 0, count: int | None = None) -> Audio:
        """`count` samples from `first` on, mono; None: all.

        Raises:
            InputError: as `read_sound`.
        """
        wanted = self.length - first if count is None else count
        found = self.read(first, wanted)
        if len(found) < wanted:
            raise truncation_error(self.path, first + len(found), self.length, self.rate)
        return to_mono(found, self.rate, "mean", str(self.path))


def open_audio(path: str | os.PathLike[str], content: bytes | None = None) -> Audio | AudioFile:
    """The sound of a file, or of its bytes: opened where its header tells its length (wav, flac), else read.

    Raises:
        InputError: as `read_sound`; of an opened one, when it is cut.
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
    if file.format not in _EXACT:
        return read_audio(path, content=content)

    def read(first: int, count: int) -> NDArray[np.float32]:
        file.seek(first)
        return read_samples(file, path, count)

    return AudioFile(path, file.samplerate, file.frames, read)


def _open_wav(path: Path, content: bytes | None) -> AudioFile:
    """By the standard library, which hands out a part of the bytes in a quarter of libsndfile's time."""
    file = wave.open(str(path) if content is None else io.BytesIO(content))  # noqa: SIM115 (as long-lived as the Recording)
    if file.getsampwidth() != 2 or not file.getframerate():
        raise wave.Error("not of 16 bits, or of no rate")
    frame = 2 * file.getnchannels()
    if not 0 < file.getnframes() * frame < _UNTOLD:
        raise wave.Error("written to a pipe: its header does not tell the length")

    def read(first: int, count: int) -> NDArray[np.float32]:
        file.setpos(first)
        content = file.readframes(count)
        samples = np.frombuffer(content[: len(content) // frame * frame], "<i2").reshape(-1, file.getnchannels())
        return np.divide(samples, np.float32(32768), dtype=np.float32)

    return AudioFile(path, file.getframerate(), file.getnframes(), read)


def as_audio(audio: AudioLike | object) -> Audio:
    """A Sound from a path, a Sound, or a pair (waveform, rate).

    Waveforms are arrays or tensors of shape (t,), (channels, t) or (t, channels): the shorter axis is the channels,
    which are averaged. Floats lie in [-1, 1]; integers are scaled by the range of their type.
    """
    if isinstance(audio, Audio):
        return audio
    if isinstance(audio, str | os.PathLike):
        return read_audio(audio)
    if not (isinstance(audio, tuple | list) and len(audio) == 2):
        raise InputError(
            f"found a sound given as {type(audio).__name__}, expected a path, a Sound or a pair (waveform, rate). "
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
        raise InputError(
            f"found a rate of {rate}, expected whole samples a second such as 16000. Pass (waveform, rate)."
        )
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
    """The sound at `rate` samples a second (soxr, high quality); itself where it has that already or rate is None."""
    if rate is None or rate == audio.rate:
        return audio
    waveform = torch.from_numpy(soxr.resample(audio.waveform.numpy(), audio.rate, rate, quality="HQ"))
    if not len(waveform):  # a handful of samples at a high rate
        waveform = audio.waveform[:1]
    return Audio(waveform.clamp(-1, 1), rate)  # filters overshoot


def max_start(audio: Audio, seconds: float) -> float:
    """How late a window of `seconds` may start: draw `start` of `cut` from 0 to this.

    A sound too short for the window is tiled, so its window may start anywhere in it.
    """
    spare = audio.seconds - seconds
    return spare if spare >= 0 else audio.seconds


def crop_or_tile(audio: Audio | AudioFile, seconds: float, start: float | None = None) -> Float[Tensor, " t"]:
    """`seconds` of the sound, (t,), from `start` (in seconds); repeated end to end where it is too short.

    `start` None takes the middle of a long sound and the beginning of a short one. A long sound is never wrapped: a
    start later than `available_seconds` means the last window there is.
    """
    length = audio.length if isinstance(audio, AudioFile) else len(audio.waveform)
    wanted = max(1, round(seconds * audio.rate))
    if length >= wanted:
        last = length - wanted
        first = last // 2 if start is None else min(max(round(start * audio.rate), 0), last)
        if isinstance(audio, AudioFile):
            return audio.read_segment(first, wanted).waveform
        return audio.waveform[first : first + wanted]
    waveform = audio.read_segment().waveform if isinstance(audio, AudioFile) else audio.waveform
    first = 0 if start is None else round(start * audio.rate) % length
    return waveform.repeat(math.ceil((first + wanted) / length))[first : first + wanted]


def extract_window(audio: Audio, spec: AudioSpec) -> Float[Tensor, " t"]:
    """The samples of the sound that the network of `spec` hears at test time, at `spec.rate` (None: the sound's)."""
    whole = resample(audio, spec.rate)
    clip = Audio(crop_or_tile(whole, spec.clip_seconds, 0.0), whole.rate) if spec.clip_seconds else whole
    part = crop_or_tile(clip, spec.seconds, None if spec.window == "center" else 0.0)
    if spec.window == "rolled":
        return part.roll(len(part) // 2 - len(clip.waveform) // 2)
    return part


def pad_to_window(audio: Audio, spec: AudioSpec) -> Audio:
    """A sound in which the network of `spec` hears exactly `part`, at test time: silence around it where the front end
    takes a window out of a longer clip. A part shorter than that window is left to the front end, which tiles it."""
    clip, length = round((spec.clip_seconds or 0) * audio.rate), len(audio.waveform)
    if length < max(1, round(spec.seconds * audio.rate)) or clip <= length:
        return audio
    ahead = (clip - length) // 2 if spec.window == "center" else 0
    return Audio(F.pad(audio.waveform, (ahead, clip - length - ahead)), audio.rate)


def mix_audio(audios: Sequence[Audio]) -> Audio:
    """Several sounds at once, each as loud as the others.

    All are resampled to the highest of their rates and repeated to the longest of their lengths, and each is brought to
    the root mean square that they have together: no recording hides another by its level, and of n sounds that have
    nothing to do with each other the sum over sqrt(n) is as loud as one of them. Silence stays silent. A sum that
    overshoots [-1, 1] is scaled down.

    Raises:
        InputError: there is none.
    """
    if not audios:
        raise InputError("found no sounds to mix, expected one or more. Pass them as a list.")
    rate, seconds = max(one.rate for one in audios), max(one.seconds for one in audios)
    parts = torch.stack([crop_or_tile(resample(one, rate), seconds, 0.0) for one in audios])
    power = parts.square().mean(dim=1, keepdim=True)
    gain = torch.where(power > 0, power.mean() / power, 0.0).sqrt()
    mixed = (gain * parts).sum(dim=0) / math.sqrt(len(audios))
    return Audio(mixed / mixed.abs().max().clamp(min=1), rate)


def to_mono(waveform: NDArray[np.float32], rate: int, channels: Channels, name: str) -> Audio:
    """A Sound from (t, channels) samples of the source called `name`, once they are seen to be a sound."""
    if 0 in waveform.shape:
        raise InputError(f"{name}: found a sound of no samples (zero length), expected at least one. {REMEDY}.")
    mono = _narrow(waveform, channels)[:, 0]
    peak = max(mono.max(), -mono.min())
    if not np.isfinite(peak):
        bad = int((~np.isfinite(mono)).sum())
        raise InputError(
            f"{name}: found NaN or infinite values in {bad} of {len(mono)} samples, expected numbers in [-1, 1]. "
            "Export the sound again, or replace them: numpy.nan_to_num."
        )
    if peak > _LOUDEST:
        raise InputError(
            f"{name}: found samples as large as {peak:.6g}, expected values in [-1, 1]. "
            "Divide by the full scale (32768 for 16-bit sound)."
        )
    if peak > 1:
        mono = mono.clip(-1, 1)
    return Audio(torch.from_numpy(np.ascontiguousarray(mono)), rate)


def _narrow(waveform: NDArray[np.float32], channels: Channels) -> NDArray[np.float32]:
    """(t, channels) as (t, 1); where there are no channels, as it is."""
    return waveform[:, :1] if channels == "left" or waveform.shape[1] < 2 else waveform.mean(axis=1, keepdims=True)
