"""Random numbers as a pure function of where they are used, never of a worker's stream.

What a sample looks like depends on (seed, epoch, sample, view, ...) alone: not on the number of workers or processes,
not on the batch it falls in, and not on a resume.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN, _M1, _M2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Key:
    """Words that stand in keys of random numbers; their values are data, as another value gives other numbers."""

    # training
    ORDER = "order"
    SHARDS = "shards"
    AUDIO_WINDOW = "window"
    AUGMENTATION = "augment"
    BAND_MASKS = "bands"
    BASE_VIEW = "plain"
    AUGMENTED_VIEW = "augmented"
    NEIGHBOR_VIEW = "neighbour"
    NEGATIVE_NOISE = "negative noise"
    NEGATIVE_OFFSCREEN = "negative offscreen"
    STORED_VARIANT = "variant"
    # data sets
    PAIRING = "pair"
    AUDIO_DECK = "deck"
    VALIDATION = "validation"
    GROUND_TRUTH = "truths"
    FRAME = "frame"
    NEIGHBOR = "neighbour"
    NEIGHBOR_IMAGES = "images"
    NEIGHBOR_AUDIO = "sounds"
    # scenes
    SCENES = "scenes"
    SCENE_PLAN = "plan"
    SCENE_IMAGE = "picture"
    SCENE_AUDIO = "sound"
    SCENE_MOTION = "motion"
    VIDEO_SCENE = "moving"
    BACKGROUND = "background"
    OBJECT = "object"
    # evaluation
    NOISE = "noise"
    REPORT = "report"
    # benchmarks
    BENCHMARK = "benchmark"


def uniform(key: tuple[int | str, ...], samples: NDArray[np.int64] | list[int], n: int = 1) -> NDArray[np.float32]:
    """Draw uniform random numbers for samples, as a pure function of the key and the sample.

    Args:
        key: words that say what the numbers are for, such as (seed, epoch, `Key.ORDER`).
        samples: (s,) integers that identify the samples, such as their positions.
        n: number of draws for each sample.

    Returns:
        (s, n) float32 in [0, 1), multiples of 2^-24; row i depends on `key` and `samples[i]` alone.
    """
    with np.errstate(over="ignore"):
        state = np.zeros(1, np.uint64)
        for word in key:
            state = _mix((state ^ hash_key(word)) + _GOLDEN)
        rows = _mix((state ^ np.asarray(samples, np.int64).astype(np.uint64)) + _GOLDEN)
        bits = _mix(rows[:, None] + _GOLDEN * np.arange(1, n + 1, dtype=np.uint64))
    return ((bits >> np.uint64(40)).astype(np.float64) * 2.0**-24).astype(np.float32)


def make_generator(*key: int | str) -> np.random.Generator:
    """Make a NumPy generator for one use, for draws too irregular for `uniform`.

    Args:
        key: integers and words that say what it is for; equal keys give equal streams.

    Returns:
        A Philox generator, seeded by `key` alone.
    """
    words = np.random.SeedSequence([int(hash_key(word)) for word in key]).generate_state(2, np.uint64)
    return np.random.Generator(np.random.Philox(key=words))


def hash_key(word: int | str) -> np.uint64:
    """Convert one word of a key to the 64-bit number that is mixed into the random state.

    Args:
        word: a string or an integer.

    Returns:
        CRC-32 of the UTF-8 bytes of a string; an integer modulo 2^64.
    """
    return np.uint64(zlib.crc32(word.encode()) if isinstance(word, str) else word & 0xFFFFFFFFFFFFFFFF)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Apply SplitMix64's finalizer: inputs one apart come out unrelated (Steele, Lea and Flood, OOPSLA 2014)."""
    x = (x ^ (x >> np.uint64(30))) * _M1
    x = (x ^ (x >> np.uint64(27))) * _M2
    return x ^ (x >> np.uint64(31))
