"""Batched spectrograms on any device: the audio front ends of every released method.

`tukey` agrees with scipy.signal.spectrogram(x, rate, nperseg=n_fft, noverlap=n_fft - hop) to 3e-7 relative in float32
and is faster; `hann` with torchaudio's Spectrogram and MelSpectrogram; `kaldi` with its compliance.kaldi.fbank as AST's
feature extractor calls it; `magnitude` with VGGish's own; `hann-zeros` and `hann-magnitude` with librosa's.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from soundspot.config.frontend import AudioSpec
from soundspot.data.media.audio import extract_window
from soundspot.errors import InputError
from soundspot.types import Audio

TUKEY_SHAPE = 0.25  # scipy's default
_CPU_CHUNK = 4  # waveforms at a time: the segments of more (16 times their memory) take 2.5 times longer on a CPU


@torch.no_grad()
def spectrogram(waveforms: Float[Tensor, "b t"], spec: AudioSpec, rate: int) -> Float[Tensor, "b 1 f frames"]:
    """Compute scaled spectrograms, without gradients.

    Args:
        waveforms: (b, t) windows of equal length (`soundspot.data.media.audio.extract_window`); half precision is
            computed in float32.
        spec: audio front end.
        rate: sample rate of the waveforms in Hz.

    Returns:
        (b, 1, f, frames), float32, or float64 of float64 waveforms: f is n_fft // 2 + 1 or `spec.n_mels`, frames are
        `spec.hop` samples apart, and their number is `spec.num_frames` unless that is 0.

    Raises:
        InputError: the waveforms are shorter than a segment (`spec.n_fft`), or have fewer frames than `spec.num_frames`
            (`kaldi` spectrograms are padded instead).
    """
    if waveforms.shape[-1] < spec.n_fft:
        raise InputError(
            f"found sounds of {waveforms.shape[-1]} samples, expected at least the {spec.n_fft} of one segment. "
            "Tile them first (`soundspot.data.media.audio.crop_or_tile`), or lengthen `seconds`."
        )
    x = waveforms if waveforms.dtype == torch.float64 else waveforms.float()
    chunks = x.split(_CPU_CHUNK) if x.device.type == "cpu" else (x,)
    return torch.cat([scaled_power(chunk, spec, rate) for chunk in chunks])[:, None].contiguous()


def scaled_power(waveforms: Float[Tensor, "b t"], spec: AudioSpec, rate: int) -> Float[Tensor, "b f frames"]:
    """Compute scaled spectrograms in a form that exporters can trace: in one piece, without branches on values.

    Args:
        waveforms: (b, t) float32 or float64 windows of equal length, at least `spec.n_fft` samples; NaN is padding
            behind the sound, which a `waveform` may have.
        spec: audio front end.
        rate: sample rate of the waveforms in Hz.

    Returns:
        (b, f, frames), as `spectrogram` returns them but without the axis of channels.

    Raises:
        InputError: there are fewer frames than `spec.num_frames`.
    """
    if spec.window_function == "waveform":
        return _samples_and_mask(waveforms, spec)
    x = _min_max(waveforms) if spec.min_max_normalize else waveforms
    if spec.peak_normalize:
        x = x / (x.abs().amax(dim=-1, keepdim=True) + torch.finfo(torch.float64).eps)
    if spec.padded_seconds:
        x = F.pad(x, (0, max(0, round(spec.padded_seconds * rate) - x.shape[-1])))
    return _scale(_power(x, spec, rate), spec)


def preprocess_audio(audios: list[Audio], spec: AudioSpec) -> Float[Tensor, "b 1 f frames"]:
    """Compute the input of the network of `spec` from sounds of any durations and rates.

    Each sound is resampled, and cut or repeated to the window (`soundspot.data.media.audio.extract_window`).

    Args:
        audios: b sounds.
        spec: audio front end.

    Returns:
        (b, 1, f, frames) scaled spectrograms.

    Raises:
        InputError: the sounds have several rates and `spec.rate` is None, the window is too short, or the network takes
            embeddings (`spec.embedding_dim`) in place of sounds.
    """
    if spec.embedding_dim:
        raise InputError(
            f"found recordings, expected vectors of {spec.embedding_dim} numbers that another network made of them: "
            "this model takes nothing else. Give such a vector as the sound; a data set has them by its option "
            "`audio_embeddings`."
        )
    rates = {spec.rate or audio.rate for audio in audios}
    if len(rates) > 1:
        raise InputError(
            f"found sounds of {len(rates)} rates ({', '.join(map(str, sorted(rates)))}) for a front end that keeps "
            "the rate of each, expected one. Set `rate` of its AudioSpec, or preprocess them one by one."
        )
    return spectrogram(torch.stack([extract_window(audio, spec) for audio in audios]), spec, rates.pop())


def _power(x: Float[Tensor, "b t"], spec: AudioSpec, rate: int) -> Float[Tensor, "b f frames"]:
    power = _tukey_density(x, spec, rate) if spec.window_function == "tukey" else _POWERS[spec.window_function](x, spec)
    if spec.n_mels:
        power = _mel_bands(spec, power.shape[1], rate, x.dtype, x.device) @ power
    if 0 < spec.num_frames < power.shape[-1]:
        first = round((power.shape[-1] - spec.num_frames) / 2)  # 235.5 becomes 236, as in torchvision's CenterCrop
        power = power[..., first : first + spec.num_frames]
    if power.shape[-1] < spec.num_frames and spec.window_function != "kaldi":
        raise InputError(
            f"found sounds of {power.shape[-1]} frames, expected at least the {spec.num_frames} that the front end "
            "keeps. Lengthen `seconds`."
        )
    return power


def _min_max(x: Float[Tensor, "b t"]) -> Float[Tensor, "b t"]:
    """Scale each waveform to about [-1, 1] by its minimum and maximum; silence becomes -1, as in the release."""
    above = x - x.amin(dim=-1, keepdim=True)
    return 2 * (above / (above.amax(dim=-1, keepdim=True) + 1e-3) - 0.5)


def _samples_and_mask(waveforms: Float[Tensor, "b t"], spec: AudioSpec) -> Float[Tensor, "b 2 t"]:
    """Return the samples, with zeros for NaN, and 1 where there was a number."""
    is_sound = ~waveforms.isnan()
    x = torch.where(is_sound, waveforms, 0.0)
    if spec.standardize:
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-7).sqrt()
    return torch.stack([x, is_sound.to(x.dtype)], dim=1)


def _scale(power: Float[Tensor, "b f frames"], spec: AudioSpec) -> Float[Tensor, "b f num_frames"]:
    """Apply the logarithm, padding and shift of `spec`; overwrites `power`."""
    x = _LOGS[spec.scaling](power)
    if spec.num_frames > x.shape[-1]:
        x = F.pad(x, (0, spec.num_frames - x.shape[-1]))
    return x if (spec.shift, spec.scale) == (0.0, 1.0) else x.sub_(spec.shift).div_(spec.scale)


def _clamped_log10(power: Float[Tensor, "b f frames"]) -> Float[Tensor, "b f frames"]:
    x = power.clamp_(min=1e-10).log10_()
    return torch.maximum(x, x.amax(dim=(1, 2), keepdim=True) - 8)


_LOGS: dict[str, Callable[[Tensor], Tensor]] = {
    "log/12": lambda power: power.add_(1e-7).log_().div_(12),
    "db": lambda power: power.clamp_(min=1e-10).log10_().mul_(10),
    "log": lambda power: power.clamp_(min=torch.finfo(torch.float32).eps).log_(),
    "log+0.01": lambda power: power.add_(0.01).log_(),
    "log+eps": lambda power: power.add_(torch.finfo(torch.float64).eps).log_(),
    "log10-8": _clamped_log10,
    "log10+1": lambda power: power.mul_(10000).add_(1).log10_(),
}


def silence_value(spec: AudioSpec) -> float:
    """Return the value of a scaled spectrogram where the power is 0; of a `waveform` 0.

    Args:
        spec: audio front end, with its logarithm, shift and scale.

    Returns:
        The value.
    """
    return 0.0 if spec.window_function == "waveform" else float(_scale(torch.zeros(1, 1, 1), spec)[0, 0, 0])


def _tukey_density(x: Float[Tensor, "b t"], spec: AudioSpec, rate: int) -> Float[Tensor, "b f frames"]:
    """Compute the one-sided power density (unit squared per Hz) of segments less their mean."""
    segments = x.unfold(-1, spec.n_fft, spec.hop)
    taper = _tukey(spec.n_fft, rate, x.dtype, x.device)
    density = _squared(torch.fft.rfft((segments - segments.mean(-1, keepdim=True)).mul_(taper)))
    density[..., 0].div_(2)  # 0 Hz and, of an even n_fft, half the rate have only one side
    if spec.n_fft % 2 == 0:
        density[..., -1].div_(2)
    return density.transpose(-1, -2)


def _squared(spectrum: Tensor) -> Tensor:
    return spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)


def _hann_power(x: Float[Tensor, "b t"], spec: AudioSpec) -> Float[Tensor, "b f frames"]:
    taper = _hann(spec.n_fft, x.dtype, x.device)
    power = _squared(_centered_stft(x, spec, "reflect"))
    return power / taper.square().sum() if spec.normalized else power


def _hann_zeros(x: Float[Tensor, "b t"], spec: AudioSpec) -> Float[Tensor, "b f frames"]:
    return _squared(_centered_stft(x, spec, "constant"))


def _hann_magnitude(x: Float[Tensor, "b t"], spec: AudioSpec) -> Float[Tensor, "b f frames"]:
    return _centered_stft(x, spec, "constant").abs()


def _centered_stft(x: Float[Tensor, "b t"], spec: AudioSpec, pad_mode: str) -> Tensor:
    taper = _hann(spec.n_fft, x.dtype, x.device)
    return torch.stft(x, spec.n_fft, spec.hop, window=taper, center=True, pad_mode=pad_mode, return_complex=True)


def _kaldi_power(x: Float[Tensor, "b t"], spec: AudioSpec) -> Float[Tensor, "b f frames"]:
    segments = x.unfold(-1, spec.n_fft, spec.hop)
    segments = segments - segments.mean(-1, keepdim=True)
    before = torch.cat([segments[..., :1], segments[..., :-1]], dim=-1)
    taper = torch.hann_window(spec.n_fft, periodic=False, dtype=torch.float64).to(x.device, x.dtype)
    emphasized = torch.sub(segments, before, alpha=0.97).mul_(taper)
    return _squared(torch.fft.rfft(emphasized, n=_fft_length(spec))).transpose(-1, -2)


def _magnitude(x: Float[Tensor, "b t"], spec: AudioSpec) -> Float[Tensor, "b f frames"]:
    segments = x.unfold(-1, spec.n_fft, spec.hop) * _hann(spec.n_fft, x.dtype, x.device)
    return torch.fft.rfft(segments, n=_fft_length(spec)).abs().transpose(-1, -2)


def _fft_length(spec: AudioSpec) -> int:
    """Return the smallest power of two that holds a segment."""
    return 2 ** math.ceil(math.log2(spec.n_fft))


_POWERS: dict[str, Callable[[Tensor, AudioSpec], Tensor]] = {
    "hann": _hann_power,
    "hann-zeros": _hann_zeros,
    "hann-magnitude": _hann_magnitude,
    "kaldi": _kaldi_power,
    "magnitude": _magnitude,
}


@lru_cache
def _tukey(length: int, rate: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, " length"]:
    """Return a periodic Tukey window: a raised cosine over an eighth of the length at either end, flat between.

    It is scaled so that squares of the spectrum are the density of both its sides together.
    """
    n = torch.arange(length, dtype=torch.float64)
    slope = TUKEY_SHAPE * length / 2
    edge = torch.minimum(n, length - n)  # distance to the nearer end of one period
    taper = torch.where(edge < slope, 0.5 * (1 - torch.cos(math.pi * edge / slope)), 1.0)
    return (taper * (2 / (rate * taper.square().sum())).sqrt()).to(device, dtype)


@lru_cache
def _hann(length: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, " length"]:
    return torch.hann_window(length, dtype=torch.float64).to(device, dtype)


@lru_cache
def _mel_bands(
    spec: AudioSpec, bins: int, rate: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "bands bins"]:
    """Return triangular filters, evenly spaced from `spec.f_min` to `spec.f_max` on the scale of `spec.mel_scale`.

    Where bands are finer than bins (257 of each, as SSL-TIE has it) the lowest hold no bin and stay empty.
    """
    to_mel, to_hertz = _slaney if spec.mel_scale == "slaney" else _htk
    top = rate // 2 if spec.f_max is None else spec.f_max
    low, high = to_mel(torch.tensor([spec.f_min, top], dtype=torch.float64)).tolist()
    edges = torch.linspace(low, high, spec.n_mels + 2, dtype=torch.float64)
    centers = torch.linspace(0, rate // 2, bins, dtype=torch.float64)
    edges, centers = (edges, to_mel(centers)) if spec.mel_scale == "kaldi" else (to_hertz(edges), centers)
    left, peak, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (centers - left) / (peak - left), (right - centers) / (right - peak)
    triangles = torch.minimum(rising, falling).clamp(min=0)
    if spec.mel_scale == "htk-sum":
        triangles = triangles / triangles.sum(1, keepdim=True).clamp(min=1e-12)
    return (triangles * 2 / (right - left) if spec.mel_scale == "slaney" else triangles).to(device, dtype)


# Hertz to mel and back. Kaldi's 1127 log(1 + f / 700) is HTK's 2595 log10(1 + f / 700) but for a factor of 1.00001.
_htk = (
    lambda hertz: 2595 * torch.log10(1 + hertz / 700),
    lambda mel: 700 * (10 ** (mel / 2595) - 1),
)
_STEP = math.log(6.4) / 27  # Slaney's Auditory Toolbox: linear up to 1 kHz, which is 15 mel
_slaney = (
    lambda hertz: torch.where(hertz < 1000, 3 * hertz / 200, 15 + torch.log(hertz.clamp(min=1) / 1000) / _STEP),
    lambda mel: torch.where(mel < 15, 200 * mel / 3, 1000 * torch.exp(_STEP * (mel - 15))),
)
