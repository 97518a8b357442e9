"""Audio: read from any file that has a sound, resampled, cropped, mixed; always mono float32 in [-1, 1].

PCM and FLAC of one or two channels are read where a window of them is needed; everything else is decoded by FFmpeg
(`soundspot.data.media.audio_track`). Both give the same samples.
"""

import io
import math
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from numpy.typing import NDArray
from torch import Tensor

from soundspot.config.frontend import AudioSpec
from soundspot.data.media.downmix import ChannelLayout, Channels, block_size, cancellation_notes, downmix
from soundspot.data.media.file_types import AUDIO_REMEDY, EXPECTED_AUDIO, check_readable
from soundspot.data.media.riff import WavHeader, read_wav_header, short_wav_notes
from soundspot.errors import InputError
from soundspot.types import Audio
from soundspot.utils.safe_read import convert_read_errors

if TYPE_CHECKING:
    from soundspot.data.media.audio_track import AudioTrack

AudioLike = str | os.PathLike[str] | Audio | tuple[NDArray | Tensor, int]

# wav, w64, aiff, au, caf, flac
_EXACT_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b".snd", b"caff", b"fLaC")
_EXACT_SUBTYPES = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "ALAC")
RATES = range(1_000, 1_000_001)  # Hz: at a lower rate, resampling makes more of a small file than memory holds
_EXPECTED = f"expected {EXPECTED_AUDIO}. {AUDIO_REMEDY}."
_MAX_AMPLITUDE = 8.0  # beyond this, floats are no waveform in [-1, 1] that overshoots but integers in disguise
_LEAST_SHARE = 0.9  # of what a header promises, below which a file is cut short
_MONO, _STEREO = ChannelLayout("mono", (1.0,)), ChannelLayout("stereo", (0.5, 0.5))


def read_audio(
    path: str | os.PathLike[str],
    rate: int | None = None,
    channels: Channels = "mono",
    content: bytes | None = None,
    max_seconds: float | int | None = None,
    track: int | None = None,
) -> Audio:
    """Read the audio of a sound file or a video, in full; in a video, second 0 is the start of the first frame.

    Args:
        path: path of a file of any format that FFmpeg or libsndfile reads.
        rate: sample rate in Hz to resample to; None keeps the file's own.
        channels: `mono` loses no source (`soundspot.data.media.downmix`): the mean of stereo, loudspeakers as a player
            adds them, the omnidirectional channel of a sound field, the loudest where channels cancel. `mean` of all
            channels, or only the `left` (first), as SSLalignment reads files.
        content: bytes of the file, where they were read from elsewhere; `path` is then its name in messages.
        max_seconds: longest accepted duration in seconds, whatever the header promises: of a longer file no more is
            decoded. None: no limit.
        track: number of the audio track, from 0; None: of those that can be decoded the first that the file marks as
            its default, else the first.

    Returns:
        The waveform (t,), float32 in [-1, 1], its rate, and notes on what was chosen or is missing. Silence is no
        error (`Audio.is_silent`).

    Raises:
        InputError: the file is missing, empty, not a sound, cut short, a video without sound, without such a track,
            without samples, with NaN or infinite samples or samples beyond 8 in absolute value, or longer than
            `max_seconds`.
    """
    path = Path(path)
    if content is None:
        check_readable(path, EXPECTED_AUDIO)
    with convert_read_errors(path, _EXPECTED, InputError):
        return _read_audio(path, rate, channels, content, max_seconds, track)


def _read_audio(
    path: Path,
    rate: int | None,
    channels: Channels,
    content: bytes | None,
    max_seconds: float | int | None,
    track: int | None,
) -> Audio:
    if (file := None if track else _open_exact(path, content)) is None:
        from soundspot.data.media.audio_track import AudioTrack

        try:
            with AudioTrack(path, track, content) as audio_track:
                return resample(_read_track(audio_track, channels, max_seconds), rate)
        except InputError as error:
            if error.cause != "unreadable" or (file := _open_with_libsndfile(path, content)) is None:
                raise  # what FFmpeg does not know, such as HTK and MAT5, libsndfile may
    if max_seconds is not None and file.seconds > max_seconds:
        raise _too_long(path, max_seconds)
    return resample(file.read_segment(channels=channels), rate)


def _read_track(track: "AudioTrack", channels: Channels, max_seconds: float | int | None) -> Audio:
    if channels == "mono":
        chunks = (samples for _, samples in track.iter_mono())
    else:
        chunks = (_reduce(samples, channels) for _, samples in track.iter_chunks())
    waveforms, length = [np.empty(0, np.float32)], 0
    for samples in chunks:
        waveforms.append(samples)
        length += len(samples)
        if max_seconds is not None and length > max_seconds * track.rate:
            raise _too_long(track.path, max_seconds)
    promised = track.promised_seconds
    is_short = promised is not None and length < _LEAST_SHARE * promised * track.rate
    if promised and is_short and track.damaged:
        raise InputError(
            f"{track.path}: found {length / track.rate:.2f} s of sound (cut short), expected the {promised:.2f} s its "
            "header promises. Fetch or write it again."
        )
    notes = (*track.notes, *track.late_notes)
    if promised and is_short:
        seconds = length / track.rate
        notes += (f"{track.path.name} ends after {seconds:.2f} s, and its header promises {promised:.2f} s.",)
    return replace(check_samples(np.concatenate(waveforms), track.rate, str(track.path)), notes=notes)


def _too_long(path: Path, max_seconds: float | int) -> InputError:
    return InputError(
        f"{path}: found a sound that lasts longer than {max_seconds:g} s, expected no more. Cut it.", "too long"
    )


@dataclass(frozen=True)
class AudioFile:
    """An open sound file, from which segments are decoded on demand.

    Attributes:
        path: name of the file in messages.
        rate: sample rate in Hz.
        length: number of samples of each channel.
        layout: what the channels are.
        read: function of (first sample, number of samples) that returns (count, channels) float32 samples in [-1, 1],
            fewer where the file ends.
        notes: sentences on what is missing.
    """

    path: Path
    rate: int
    length: int
    layout: ChannelLayout
    read: Callable[[int, int], Float32[np.ndarray, "t c"]]
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.length / self.rate

    def read_segment(self, first: int = 0, count: int | None = None, channels: Channels = "mono") -> Audio:
        """Decode a segment of the file and reduce it to a single channel.

        Args:
            first: number of the segment's first sample, from 0.
            count: number of samples; None: all up to the end of the file.
            channels: as in `read_audio`.

        Returns:
            The segment, (count,) float32 in [-1, 1] at the file's own rate; never padded.

        Raises:
            InputError: fewer samples than `count` can be decoded (the segment passes the end, or the file is damaged),
                the segment is empty, or samples are NaN, infinite or beyond 8 in absolute value.
        """
        end = self.length if count is None else first + count
        begin, stop = first, end
        if len(self.layout.weights) > 1 and channels == "mono":  # whole blocks, in which channels are compared
            size = block_size(self.rate)
            begin, stop = first // size * size, min(-(-end // size) * size, self.length)
        with convert_read_errors(self.path, _EXPECTED, InputError):
            samples = self.read(begin, stop - begin)
        if begin + len(samples) < end:
            raise InputError(
                f"{self.path}: found {(begin + len(samples)) / self.rate:.2f} s of sound (cut short), expected "
                f"{end / self.rate:.2f} s. Fetch or write it again."
            )
        mono, canceled = (
            downmix(samples, self.layout, self.rate) if channels == "mono" else (_reduce(samples, channels), 0)
        )
        notes = (*self.notes, *cancellation_notes(canceled, self.rate))
        return replace(check_samples(mono[first - begin : end - begin], self.rate, str(self.path)), notes=notes)


class StreamedAudio:
    """An open sound file that has to be decoded in order; windows are best asked for from front to back.

    Args:
        path: path of a file of any format that FFmpeg reads.

    Attributes:
        rate: sample rate in Hz.
        seconds: duration in seconds; the file is decoded once for it, and nothing kept.
        length: number of samples.
        notes: sentences on what was chosen.

    Raises:
        InputError: the file is missing, empty, not a sound, or without sound.
    """

    def __init__(self, path: Path) -> None:
        from soundspot.data.media.audio_track import AudioReader, AudioTrack

        self.path, self._reader = path, AudioReader(AudioTrack(path))
        self.rate, self.notes = self._reader.rate, self._reader.track.notes
        self.length = sum(len(samples) for _, samples in self._reader.track.iter_chunks())
        self.seconds = self.length / self.rate

    def read_segment(self, first: int, count: int) -> Audio:
        """Decode a segment, mono.

        Args:
            first: number of the segment's first sample, from 0.
            count: number of samples.

        Returns:
            The segment, (count,) float32 in [-1, 1] at the file's own rate; shorter where the file ends.

        Raises:
            InputError: there is nothing of it, or samples are NaN, infinite or beyond 8 in absolute value.
        """
        with convert_read_errors(self.path, _EXPECTED, InputError):
            samples = check_samples(self._reader.read(first, count), self.rate, str(self.path))
        return replace(samples, notes=self.notes)


def open_windows(path: Path) -> AudioFile | StreamedAudio:
    """Open a sound file of any length, of which windows are read from front to back in little memory.

    Args:
        path: path of the file.

    Returns:
        The open file.

    Raises:
        InputError: the file is missing, empty, not a sound, or without sound.
    """
    check_readable(path, EXPECTED_AUDIO)
    with convert_read_errors(path, _EXPECTED, InputError):
        try:
            return _open_exact(path, None) or StreamedAudio(path)
        except InputError as error:
            if error.cause != "unreadable" or (file := _open_with_libsndfile(path, None)) is None:
                raise
            return file


def open_audio(path: str | os.PathLike[str], content: bytes | None = None) -> Audio | AudioFile:
    """Open a sound file; what is not PCM or FLAC of one or two channels is decoded in full instead.

    Args:
        path: path of the file.
        content: bytes of the file, where they were read from elsewhere; `path` is then its name in messages.

    Returns:
        An open file for wav, aiff, flac and the like; otherwise the whole audio, mono at the file's own rate.

    Raises:
        InputError: the file is missing, empty, not a sound, or without sound. Broken or invalid samples of an open file
            raise it only when a segment is read.
    """
    path = Path(path)
    if content is None:
        check_readable(path, EXPECTED_AUDIO)
    with convert_read_errors(path, _EXPECTED, InputError):
        return _open_exact(path, content) or read_audio(path, content=content)


def _open_exact(path: Path, content: bytes | None) -> AudioFile | None:
    """Open PCM and FLAC whose length is certain, for random access; None for everything else."""
    header = read_wav_header(path, content)
    if header is not None and (header.is_pcm16 or not header.size):
        return _open_wav(path, content, header)
    if header is not None and (header.num_channels > 2 or header.promised > header.size or not header.promised):
        return None
    with nullcontext(io.BytesIO(content)) if content is not None else path.open("rb") as beginning:
        magic = beginning.read(4)
    if magic == b"fLaC" and not _tells_length(path, content):
        return None
    return _open_with_libsndfile(path, content) if magic in _EXACT_MAGIC else None


def _tells_length(path: Path, content: bytes | None) -> bool:
    """Return whether the frames of a FLAC add up to the length that its header promises."""
    from soundspot.data.media.audio_track import AudioTrack

    with AudioTrack(path, content=content) as track:
        promised = track.promised_seconds or 0
        return round(promised * track.rate) == round(track.estimated_seconds * track.rate)


def _open_with_libsndfile(path: Path, content: bytes | None) -> AudioFile | None:
    """Open a file whose samples stand by themselves and whose last one is there; None for everything else."""
    with suppress(soundfile.SoundFileError, RuntimeError):
        file = soundfile.SoundFile(path if content is None else io.BytesIO(content))
        if file.subtype.startswith(_EXACT_SUBTYPES) and file.channels <= 2 and _has_end(file):

            def read(first: int, count: int) -> Float32[np.ndarray, "t c"]:
                try:
                    file.seek(first)
                    return file.read(count, dtype="float32", always_2d=True)
                except (soundfile.SoundFileError, RuntimeError) as error:
                    problem = f"a broken or truncated sound ({error}), expected a whole one"
                    raise InputError(f"{path}: found {problem}. {AUDIO_REMEDY}.") from error

            return AudioFile(path, file.samplerate, file.frames, (_MONO, _STEREO)[file.channels - 1], read)
        file.close()
    return None


def _has_end(file: soundfile.SoundFile) -> bool:
    """Return whether the last sample that the header promises is there; one that does not say promises 2^63."""
    if not 0 < file.frames < 1 << 40:
        return False
    file.seek(file.frames - 1)
    return len(file.read(1)) == 1


def _open_wav(path: Path, content: bytes | None, header: WavHeader) -> AudioFile | None:
    """Open a 16-bit wav of one or two channels, a segment of which takes a quarter of libsndfile's time."""
    length = header.size // header.frame_size if header.frame_size else 0
    if header.num_channels not in (1, 2) or (header.size and not length):
        return None

    def read(first: int, count: int) -> Float32[np.ndarray, "t c"]:
        with path.open("rb") if content is None else io.BytesIO(content) as file:
            file.seek(header.offset + first * header.frame_size)
            samples = np.frombuffer(file.read(count * header.frame_size), "<i2")
        return np.divide(samples.reshape(-1, header.num_channels), np.float32(32768), dtype=np.float32)

    notes = short_wav_notes(path, header)
    return AudioFile(path, header.rate, length, (_MONO, _STEREO)[header.num_channels - 1], read, notes)


def as_audio(audio: AudioLike | object) -> Audio:
    """Return an Audio from a path, an Audio, or a pair (waveform, rate).

    Args:
        audio: path of a sound file or video; an Audio, returned as it is; or (waveform, rate in Hz). Waveforms are
            arrays or tensors of shape (t,), (channels, t) or (t, channels): the shorter axis is the channels, which are
            averaged (where they cancel, the loudest is taken). Floats lie in [-1, 1]; integers are scaled by the range
            of their type.

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
    if array.ndim == 0 and np.ndim(rate):
        raise InputError("found a pair (rate, waveform), expected (waveform, rate). Exchange the two.")
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
    samples = array.astype(np.float32)
    if 0 in samples.shape:
        return check_samples(samples[:0].ravel(), int(rate), "the waveform")
    layout = ChannelLayout("waveform", (1 / samples.shape[1],) * samples.shape[1])
    return check_samples(downmix(samples, layout, int(rate))[0], int(rate), "the waveform")


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
    return replace(audio, waveform=waveform.clamp(-1, 1), rate=rate)  # filters overshoot


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
    window, or filled up with NaN, which becomes silence, where `spec.fill` is not `repeat`.

    Args:
        audio: the whole sound of a file, of any duration and rate.
        spec: audio front end.

    Returns:
        (t,) waveform of `spec.seconds` at `spec.rate` (None: the rate of the audio).
    """
    audio = resample(audio, spec.rate)
    if spec.clip_seconds:
        audio = Audio(crop_or_tile(audio, spec.clip_seconds, 0.0), audio.rate)
    if (missing := round(spec.seconds * audio.rate) - len(audio.waveform)) > 0 and spec.fill != "repeat":
        return F.pad(audio.waveform, (0, missing), value=math.nan)
    window = crop_or_tile(audio, spec.seconds, None if spec.window == "center" else 0.0)
    return window.roll(len(window) // 2 - len(audio.waveform) // 2) if spec.window == "rolled" else window


def find_window(seconds: float, spec: AudioSpec) -> tuple[float, float]:
    """Find the span of a sound that `extract_window` takes.

    Args:
        seconds: duration of the sound in seconds.
        spec: audio front end.

    Returns:
        Beginning and length in seconds; all of a sound that is repeated or filled up.

    Examples:
        >>> find_window(10.0, AudioSpec(seconds=3.0)), find_window(2.0, AudioSpec(seconds=3.0))
        ((3.5, 3.0), (0.0, 2.0))
    """
    slack = max(0.0, (spec.clip_seconds or seconds) - spec.seconds)
    start = slack / 2 if spec.window == "center" else 0.0
    return (start, spec.seconds) if start + spec.seconds <= seconds else (0.0, seconds)


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


def check_samples(mono: Float32[np.ndarray, " t"], rate: int, name: str) -> Audio:
    """Check samples.

    Args:
        mono: (t,) float32 samples; values beyond [-1, 1] and up to 8 are clipped.
        rate: sample rate in Hz.
        name: name of the source, for messages.

    Returns:
        The audio, (t,) float32 in [-1, 1], at the same rate.

    Raises:
        InputError: no samples, NaN or infinite values, values beyond 8 in absolute value, or a rate outside of `RATES`.
    """
    if rate not in RATES:
        raise InputError(f"{name}: found a rate of {rate} Hz, expected 1,000 to 1,000,000. {AUDIO_REMEDY}.")
    if not len(mono):
        raise InputError(f"{name}: found a sound of no samples (zero length), expected at least one. {AUDIO_REMEDY}.")
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


def _reduce(samples: Float32[np.ndarray, "t c"], channels: Channels) -> Float32[np.ndarray, " t"]:
    """Return the first channel or the plain mean of all."""
    return samples[:, 0] if channels == "left" or samples.shape[1] < 2 else samples.mean(axis=1)
