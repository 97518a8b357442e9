"""Audibility of each moment of a sound: a pause is silent, though the model's window around it is not."""

from array import array

import numpy as np
from jaxtyping import Float32

BIN_SECONDS = 0.05
NEAR_BINS = 2  # on both sides of a moment, so that pauses below a quarter of a second do not count
AROUND_BINS = 50  # on both sides, whose loudest bin a moment is compared with
QUIET = 0.05  # of the root mean square of that bin: 26 dB below it is a pause
SILENT = 1e-4  # root mean square below which a moment is silent whatever is around it


class AudibilityMeter:
    """Measure the level of a sound in bins of 50 ms as it is read; of each second 20 numbers are held in memory.

    Args:
        rate: sample rate in Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._levels = array("f")
        self._rest = np.zeros(0, np.float32)

    def add(self, chunk: Float32[np.ndarray, "c t"]) -> None:
        """Add the next samples.

        Args:
            chunk: (c, t) samples of all channels.
        """
        power = np.concatenate([self._rest, np.square(chunk).mean(axis=0)])
        edges = self._edges(len(self._levels), len(power))
        if len(edges) > 1:
            sums = np.add.reduceat(power[: edges[-1]], edges[:-1])
            self._levels.extend(np.sqrt(sums / np.diff(edges)).tolist())
        self._rest = power[edges[-1] :]

    def is_audible(self, time: float | int) -> bool:
        """Return whether there is sound around a time, within what was read.

        Args:
            time: time in seconds.

        Returns:
            False in a pause of the sound; True where nothing was read yet.
        """
        center = min(int(time / BIN_SECONDS), len(self._levels) - 1)
        near, around = (
            max(self._levels[max(0, center - bins) : center + bins + 1], default=1.0)
            for bins in (NEAR_BINS, AROUND_BINS)
        )
        return near > max(SILENT, QUIET * around)

    def _edges(self, first: int, length: int) -> list[int]:
        """Return the bounds of the bins from `first` on that lie in samples which begin with that bin."""
        origin = round(first * BIN_SECONDS * self._rate)
        count = int(length / (BIN_SECONDS * self._rate)) + 2
        edges = [round(index * BIN_SECONDS * self._rate) - origin for index in range(first, first + count)]
        return [edge for edge in edges if edge <= length]
