"""Spectrograms of many waveforms at once, on any device: the front ends of every released method.

`tukey` agrees with scipy.signal.spectrogram(x, rate, nperseg=n_fft, noverlap=n_fft - hop) to 3e-7 relative in float32
and is faster; `hann` with torchaudio's Spectrogram and MelSpectrogram.
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from whence.data.audio import window
from whence.errors import InputError
from whence.frontend import AudioSpec
from whence.types import Sound

TUKEY_SHAPE = 0.25  # scipy's default
_CHUNK = 4  # waveforms at a time on a CPU: the segments of more (16 times their length in memory) take 2.5 times longer


@torch.no_grad()
def spectrogram(waveforms: Float[Tensor, "b t"], spec: AudioSpec, rate: int) -> Float[Tensor, "b 1 f frames"]:
    """Scaled spectrograms of waveforms at `rate` samples a second.

    f is n_fft // 2 + 1, or `spec.n_mels`; frames lie `spec.hop` samples apart. Which part of a sound to pass is
    `whence.data.audio.window`'s affair. Half precision is computed in float32.
    """
    if waveforms.shape[-1] < spec.n_fft:
        raise InputError(
            f"found sounds of {waveforms.shape[-1]} samples, expected at least the {spec.n_fft} of one segment. "
            "Tile them first (`whence.data.audio.cut`), or lengthen `seconds`."
        )
    x = waveforms if waveforms.dtype == torch.float64 else waveforms.float()
    chunks = x.split(_CHUNK) if x.device.type == "cpu" else (x,)
    return torch.cat([_scaled(_power(chunk, spec, rate), spec.scaling) for chunk in chunks])[:, None].contiguous()


def prepare_sounds(sounds: list[Sound], spec: AudioSpec) -> Float[Tensor, "b 1 f frames"]:
    """Sounds of any lengths and rates, as the network of `spec` takes them."""
    rates = {spec.rate or sound.rate for sound in sounds}
    if len(rates) > 1:
        raise InputError(
            f"found sounds of {len(rates)} rates ({', '.join(map(str, sorted(rates)))}) for a front end that keeps "
            "each one's own, expected one. Set `rate` of its AudioSpec, or prepare them one by one."
        )
    return spectrogram(torch.stack([window(sound, spec) for sound in sounds]), spec, rates.pop())


def _power(x: Float[Tensor, "b t"], spec: AudioSpec, rate: int) -> Float[Tensor, "b f frames"]:
    power = _tukey_density(x, spec, rate) if spec.function == "tukey" else _hann_power(x, spec)
    if spec.n_mels:
        power = _mel_bands(spec.n_mels, power.shape[1], rate, x.dtype, x.device) @ power
    if spec.frames:
        first = round((power.shape[-1] - spec.frames) / 2)  # 235.5 becomes 236, as in torchvision's CenterCrop
        assert first >= 0, f"{spec.frames} frames asked of {power.shape[-1]}"
        power = power[..., first : first + spec.frames]
    return power


def _scaled(power: Float[Tensor, "b f frames"], scaling: str) -> Float[Tensor, "b f frames"]:
    """Overwrites `power`."""
    if scaling == "log/12":
        return power.add_(1e-7).log_().div_(12)
    return power.clamp_(min=1e-10).log10_().mul_(10)


def silence(spec: AudioSpec) -> float:
    """What a scaled spectrogram holds where there is no power at all."""
    return float(_scaled(torch.zeros(1, 1, 1), spec.scaling))


def _tukey_density(x: Float[Tensor, "b t"], spec: AudioSpec, rate: int) -> Float[Tensor, "b f frames"]:
    """One-sided power density (a unit squared per Hz) of segments less their mean."""
    taper = _tukey(spec.n_fft, x.dtype, x.device)
    segments = x.unfold(-1, spec.n_fft, spec.hop)
    power = _squared(torch.fft.rfft((segments - segments.mean(-1, keepdim=True)).mul_(taper)))
    density = power.div_(rate * taper.square().sum())
    density[..., 1 : (spec.n_fft + 1) // 2].mul_(2)  # all but 0 Hz and, of an even n_fft, half the rate
    return density.transpose(-1, -2)


def _squared(spectrum: Tensor) -> Tensor:
    return spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)


def _hann_power(x: Float[Tensor, "b t"], spec: AudioSpec) -> Float[Tensor, "b f frames"]:
    taper = _hann(spec.n_fft, x.dtype, x.device)
    spectrum = torch.stft(x, spec.n_fft, spec.hop, window=taper, center=True, pad_mode="reflect", return_complex=True)
    power = _squared(spectrum)
    return power / taper.square().sum() if spec.normalised else power


@lru_cache
def _tukey(length: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, " length"]:
    """Flat in the middle, a raised cosine over an eighth of the length at either end; periodic, as for spectra."""
    n = torch.arange(length, dtype=torch.float64)
    slope = TUKEY_SHAPE * length / 2
    edge = torch.minimum(n, length - n)  # distance to the nearer end of one period
    taper = torch.where(edge < slope, 0.5 * (1 - torch.cos(math.pi * edge / slope)), 1.0)
    return taper.to(device, dtype)


@lru_cache
def _hann(length: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, " length"]:
    return torch.hann_window(length, dtype=torch.float64).to(device, dtype)


@lru_cache
def _mel_bands(
    bands: int, bins: int, rate: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "bands bins"]:
    """Triangles of height 1, evenly spaced on HTK's mel scale, 2595 log10(1 + f / 700), from 0 Hz to half the rate.

    Where bands are finer than bins (257 of each, as SSL-TIE has it) the lowest hold no bin and stay empty.
    """
    top = 2595 * math.log10(1 + rate // 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, bands + 2, dtype=torch.float64) / 2595) - 1)
    frequencies = torch.linspace(0, rate // 2, bins, dtype=torch.float64)
    low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (frequencies - low) / (peak - low), (high - frequencies) / (high - peak)
    return torch.minimum(rising, falling).clamp(min=0).to(device, dtype)
