"""Chance as a pure function of where it is used, never of a worker's stream.

What a sample looks like depends on (seed, epoch, sample, view, ...) alone: not on the number of workers or processes,
not on the batch it falls in, and not on a resume.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN, _M1, _M2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser: neighbouring inputs come out unrelated (Steele, Lea and Flood, OOPSLA 2014)."""
    x = (x ^ (x >> np.uint64(30))) * _M1
    x = (x ^ (x >> np.uint64(27))) * _M2
    return x ^ (x >> np.uint64(31))


def hash_key(part: int | str) -> np.uint64:
    """A number that stands for a part of a key."""
    return np.uint64(zlib.crc32(part.encode()) if isinstance(part, str) else part & 0xFFFFFFFFFFFFFFFF)


def uniform(key: tuple[int | str, ...], samples: NDArray[np.int64] | list[int], n: int = 1) -> NDArray[np.float32]:
    """Numbers in [0, 1), (len(samples), n) float32: row i depends on `key` and `samples[i]` alone."""
    with np.errstate(over="ignore"):
        state = np.zeros(1, np.uint64)
        for part in key:
            state = _mix((state ^ hash_key(part)) + _GOLDEN)
        rows = _mix((state ^ np.asarray(samples, np.int64).astype(np.uint64)) + _GOLDEN)
        bits = _mix(rows[:, None] + _GOLDEN * np.arange(1, n + 1, dtype=np.uint64))
    return ((bits >> np.uint64(40)).astype(np.float64) * 2.0**-24).astype(np.float32)


def make_generator(*key: int | str) -> np.random.Generator:
    """A NumPy generator for one use, seeded by `key` alone; for draws too irregular for `uniform`."""
    return np.random.Generator(
        np.random.Philox(key=np.random.SeedSequence([int(hash_key(k)) for k in key]).generate_state(2, np.uint64))
    )
