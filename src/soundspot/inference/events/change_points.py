"""Change points of a sound: when one begins, ends, or gives way to another, by its levels in frequency bands."""

import numpy as np
from jaxtyping import Float32, Float64
from scipy.ndimage import grey_closing, grey_opening

BIN_SECONDS = 0.1
NUM_BANDS = 40
BAND_RANGE = 50.0, 16000.0  # Hz
SPECTRUM_SECONDS = 0.046  # of a window of the spectrum; two for each half of a bin
FLOOR = 1e-11  # power, -110 dB of full scale: digital silence is no infinite change
CLOSING_BINS = 9  # pauses and bursts of a band that are shorter are leveled: barks are one sound
PENALTY = 600.0  # dB² a band that a change point must save: 10 dB in each band between two sounds of 1.2 s
MIN_BINS = 5  # of a segment

Levels = Float64[np.ndarray, "t f"]


def band_levels(waveform: Float32[np.ndarray, " n"], rate: int) -> Levels:
    """Return the level of a sound in frequency bands over time, without short pauses and bursts.

    Args:
        waveform: (n,) mono samples.
        rate: sample rate in Hz.

    Returns:
        (t, f) decibels of full scale in t bins of 0.1 s and up to 40 bands, equally wide in mel; a rest shorter than a
        bin is left out.
    """
    length = 2 ** round(np.log2(SPECTRUM_SECONDS * rate))
    num_bins = int(len(waveform) / (BIN_SECONDS * rate) + 1e-6)
    window = np.hanning(length).astype(np.float32)
    padded = np.pad(waveform, length // 2)
    bands = _bands(length, rate)
    power = np.zeros((num_bins, len(bands)))
    for step in (0.0, 0.25, 0.5, 0.75):  # four spectra in each bin
        starts = np.round((np.arange(num_bins) + step) * BIN_SECONDS * rate).astype(int)
        windows = np.lib.stride_tricks.sliding_window_view(padded, length)[starts] * window
        power += np.square(np.abs(np.fft.rfft(windows, axis=1))) @ bands.T / 4
    levels = 10 * np.log10(power / (length / 4) ** 2 + FLOOR)  # a sine of full scale has a power of 1
    closed = grey_closing(levels, size=(CLOSING_BINS, 1), mode="nearest")
    return np.asarray(grey_opening(closed, size=(CLOSING_BINS, 1), mode="nearest"))


def _bands(length: int, rate: int) -> Float64[np.ndarray, "f k"]:
    """Return the weights of the k frequencies of a spectrum in each band that has any."""
    frequencies = np.fft.rfftfreq(length, 1 / rate)
    low, high = BAND_RANGE
    low_mel, high_mel = _to_mel(np.array([low, min(high, rate / 2)]))
    edges = np.linspace(low_mel, high_mel, NUM_BANDS + 1)
    band = np.digitize(_to_mel(frequencies), edges) - 1
    weights = (band[None] == np.arange(NUM_BANDS)[:, None]).astype(np.float64)
    weights = weights[weights.any(axis=1)]
    return weights / weights.sum(axis=1, keepdims=True)


def _to_mel(frequencies: Float64[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
    return 2595 * np.log10(1 + frequencies / 700)


def find_change_points(levels: Levels) -> list[int]:
    """Divide a sound into segments of constant levels: those of the least squared error, with a penalty for each.

    Found exactly by dynamic programming; time and memory grow with the square of t.

    Args:
        levels: (t, f) levels of t bins.

    Returns:
        First bin of each segment but the first, rising; segments have at least five bins.

    Examples:
        >>> find_change_points(np.repeat([[-60.0, -60.0], [-20.0, -40.0]], 12, axis=0))
        [12]
    """
    num_bins, num_bands = levels.shape
    sums = np.concatenate([np.zeros((1, num_bands)), levels.cumsum(axis=0)])
    squares = np.concatenate([[0.0], np.square(levels).sum(axis=1).cumsum()])
    costs = np.full(num_bins + 1, np.inf)  # of the best segments up to a bin
    costs[0] = 0.0
    starts = np.zeros(num_bins + 1, int)  # first bin of the last of them
    for stop in range(MIN_BINS, num_bins + 1):
        first = np.arange(stop - MIN_BINS + 1)
        errors = squares[stop] - squares[first] - np.square(sums[stop] - sums[first]).sum(axis=1) / (stop - first)
        totals = costs[first] + errors + PENALTY * num_bands
        starts[stop], costs[stop] = totals.argmin(), totals.min()
    points, stop = [], num_bins
    while (stop := int(starts[stop])) > 0:
        points.append(stop)
    return points[::-1]
