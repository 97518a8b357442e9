"""Measurements of audio and images, held against the plain numbers of `media_cases`."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from media_writers import chord, read_number

Right = Mapping[str, Any]


def in_window(right: Right, begin: float, seconds: float) -> dict[str, Any]:
    """What is right for `seconds` of a file from `begin` on, of what is right for all of it."""
    total = right.get("audio_seconds", begin + seconds)
    end = min(begin + seconds, total)
    same = ("audio_rate", "audio_seconds_tolerance", "hertz", "rms", "least_mono_rms", "most_mono_rms")
    window = {name: value for name, value in right.items() if name in same or name.startswith("amplitude_at")}
    window["audio_seconds"] = end - begin
    if end == total and "hertz_at_end" in right:
        window["hertz_at_end"] = right["hertz_at_end"]
    if "click_seconds" in right:
        window["click_seconds"] = [click - begin for click in right["click_seconds"] if begin <= click < end - 0.1]
    if "least_correlation" in right:
        until = min(end, total - 0.1) - begin  # the coder's last frames fade
        window |= {"chord_from": begin, "chord_seconds": until, "least_correlation": right["least_correlation"]}
    return window


def check_audio(samples: Any, rate: int, right: Right) -> None:
    """Hold mono samples against what is right, by each number that is about audio."""
    samples = np.asarray(samples, np.float64)
    seconds = len(samples) / rate
    tolerance = right.get("audio_seconds_tolerance", 0.06) + 1e-3
    assert seconds == pytest.approx(right["audio_seconds"], abs=tolerance)
    assert rate == right.get("audio_rate", rate)
    middle = samples[round(0.1 * rate) : -round(0.1 * rate)]
    if "hertz" in right:
        assert pitch(middle, rate) == pytest.approx(right["hertz"], abs=3)
    if "hertz_at_end" in right:
        assert pitch(samples[-round(0.9 * rate) : -round(0.1 * rate)], rate) == pytest.approx(
            right["hertz_at_end"], abs=3
        )
    if "rms" in right:
        assert rms(middle) == pytest.approx(right["rms"], abs=0.02)
    if "least_mono_rms" in right:
        assert right["least_mono_rms"] <= rms(middle) <= right["most_mono_rms"]
    if "click_seconds" in right:
        starts = click_starts(samples, rate)
        assert starts == pytest.approx(right["click_seconds"], abs=0.035)
    for name in right:
        if name.startswith("amplitude_at"):
            assert amplitude(middle, rate, int(name.split("_")[2])) == pytest.approx(right[name], abs=0.03), name
    if "chord_from" in right:
        begin = max(right["chord_from"], 0.06)  # the coder's first frame rises
        first, last = round((begin - right["chord_from"]) * rate), round(right["chord_seconds"] * rate)
        shift, least = chord_correlation(samples[first:last], rate, begin)
        assert least >= right["least_correlation"], f"at a shift of {1000 * shift:.1f} ms"


def pitch(samples: NDArray, rate: int) -> float:
    """Frequency in Hz of the highest peak of the spectrum."""
    padded = 4 * len(samples)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), padded))
    return float(spectrum[1:].argmax() + 1) * rate / padded


def amplitude(samples: NDArray, rate: int, hertz: float) -> float:
    """Amplitude of a steady tone of that frequency."""
    t = np.arange(len(samples)) / rate
    return float(2 * np.abs(np.mean(samples * np.exp(-2j * np.pi * hertz * t))))


def rms(samples: NDArray) -> float:
    """Root mean square of samples."""
    return float(np.sqrt(np.mean(np.square(samples))))


def rms_of_seconds(samples: Any, rate: int) -> list[float]:
    """Root mean square of each whole second, away from its ends."""
    samples, edge = np.asarray(samples, np.float64), round(0.1 * rate)
    return [rms(samples[n * rate + edge : (n + 1) * rate - edge]) for n in range(round(len(samples) / rate))]


def click_starts(samples: NDArray, rate: int, level: float = 0.1) -> list[float]:
    """Seconds at which a sound beyond that level begins after at least 0.1 s below it."""
    loud = np.flatnonzero(np.abs(samples) > level) / rate
    return [float(now) for before, now in pairwise([-1.0, *loud]) if now - before > 0.1]


def chord_correlation(samples: NDArray, rate: int, begin: float, reach: float = 0.03) -> tuple[float, float]:
    """The shift in seconds at which a window of `chord` fits best, and the least correlation of its 20 ms pieces."""
    margin = round(reach * rate)
    true = chord(begin + np.arange(-margin, len(samples) + margin) / rate)
    size = 1 << (len(true) + len(samples)).bit_length()
    fit = np.fft.irfft(np.fft.rfft(true, size) * np.conj(np.fft.rfft(samples, size)), size)[: 2 * margin + 1]
    shift = int(fit.argmax())
    length = round(0.02 * rate)
    count = len(samples) // length
    pieces = samples[: count * length].reshape(count, length)
    true_pieces = true[shift : shift + count * length].reshape(count, length)
    norms = np.linalg.norm(pieces, axis=1) * np.linalg.norm(true_pieces, axis=1)
    return (margin - shift) / rate, float(((pieces * true_pieces).sum(axis=1) / np.maximum(norms, 1e-9)).min())


def read_numbers(images: Iterable[Image.Image]) -> list[int]:
    """Numbers of number images; -1 for an image that has none."""
    numbers = []
    for image in images:
        try:
            numbers.append(read_number(image))
        except ValueError:
            numbers.append(-1)
    return numbers


def red_center(image: Image.Image) -> tuple[float, float]:
    """(x, y) of the middle of all pixels that are clearly red."""
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB"), np.int16), -1, 0)
    y, x = np.nonzero((red > 160) & (green < 110) & (blue < 110))
    assert len(x), "no red pixels"
    return float(x.mean()), float(y.mean())


def mean_color(image: Image.Image, box: tuple[int, int, int, int]) -> tuple[float, ...]:
    """Mean color of a rectangle (x0, y0, x1, y1) of an image."""
    pixels = np.asarray(image.convert("RGB").crop(box), np.float64).reshape(-1, 3)
    return tuple(pixels.mean(axis=0).tolist())
