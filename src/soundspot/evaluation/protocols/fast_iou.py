"""Overlap of many maps with their truths, by `binarise`'s rules, without sorting: what scoring spends its time in.

A sample of the pixels says roughly where the threshold lies. Two counts of the pixels above two values bracket it, and
only the few pixels inside the bracket are looked at one by one. Masks are packed to bits as soon as they are made, so
that counting, intersecting and finding work on 6 kB instead of 200 kB; rows are taken a few at a time to stay in cache.
The result is exact: where the bracket fails or holds too many equals, that map goes through `binarise` instead.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from soundspot.evaluation.protocols.thresholding import MapOverlap, Scaling, ThresholdRule, compute_overlap, scale_maps

CHUNK_SIZE = 16  # maps at a time: 3.2 MB of 224 x 224 pixels
STRIDE = 31  # every so many pixels say where the thresholds are; a prime, so that they are not all in a few columns
MIN_PIXELS = 4096  # maps of fewer pixels go the plain way
MAX_BRACKET = 8  # a bracket with more than 1 / CROWD of the pixels is left to the plain rule
FloatArray: TypeAlias = NDArray[np.float64]


def compute_overlaps(
    maps: Float[Tensor, "b h w"],
    target: Bool[Tensor, "b h w"] | Float[Tensor, "b h w"],
    rules: Sequence[ThresholdRule],
    scaling: Scaling = "none",
) -> MapOverlap:
    """Overlap of each map with its truth under each cut: (len(cuts), b) float64.

    Args:
        maps: at the size of the truths, before min-max.
        truths: bool is fastest; floats with values between 0 and 1 (annotators who disagree) go the plain way.
        scaling: the min-max before the cut.
    """
    if not len(maps) or not rules:
        return MapOverlap(*torch.zeros(3, len(rules), len(maps), dtype=torch.float64))
    binary = target.dtype == torch.bool or bool(((target == 0) | (target == 1)).all())
    by_rank = [isinstance(cut.keep, str) for cut in rules]
    fast = binary and maps[0].numel() >= MIN_PIXELS and maps.device.type == "cpu"
    if not fast or scaling == "sigmoid" or not all(by_rank):
        way = _counted if fast and not any(by_rank) else _plain
        chunks = zip(maps.split(CHUNK_SIZE), target.split(CHUNK_SIZE), strict=True)
        return MapOverlap(*torch.cat([way(few, theirs, rules, scaling) for few, theirs in chunks], dim=2))
    values = maps.float().contiguous().flatten(1).numpy()
    masks = target.bool().contiguous().flatten(1).numpy()
    *found, fine = np.empty((4, len(rules), len(maps)))

    def work(part: slice) -> None:
        room = _Room.of(CHUNK_SIZE, values.shape[1], len(rules))
        for start in range(part.start, part.stop, CHUNK_SIZE):
            few = slice(start, min(start + CHUNK_SIZE, part.stop))
            *numbers, fine[:, few] = _narrowed(values[few], masks[few], rules, scaling, room)
            for column, number in zip(found, numbers, strict=True):
                column[:, few] = number

    workers = max(1, min(torch.get_num_threads(), len(maps) // (4 * CHUNK_SIZE)))
    edges = np.linspace(0, len(maps), workers + 1).astype(int).tolist()
    parts = [slice(start, stop) for start, stop in pairwise(edges)]
    if workers == 1:
        work(parts[0])
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, parts))
    result = torch.from_numpy(np.stack(found))
    crowded = torch.from_numpy(np.flatnonzero((fine == 0).any(axis=0)))
    for left in crowded.split(CHUNK_SIZE) if len(crowded) else ():
        result[:, :, left] = _plain(maps[left], target[left], rules, scaling)
    return MapOverlap(*result)


def _plain(maps: Tensor, truths: Tensor, cuts: Sequence[ThresholdRule], scaling: Scaling) -> Float[Tensor, "3 r b"]:
    values = scale_maps(maps.float(), scaling)
    each = [compute_overlap(values, truths, cut) for cut in cuts]
    return torch.stack(
        [torch.stack([one.intersection, one.false_positives, one.target_area]) for one in each], dim=1
    ).cpu()


def _counted(maps: Tensor, truths: Tensor, cuts: Sequence[ThresholdRule], scaling: Scaling) -> Float[Tensor, "3 r b"]:
    """The same where all cuts are at values: one comparison each, counted as bits."""
    values, masks = scale_maps(maps.float(), scaling).flatten(1).numpy(), truths.bool().flatten(1).numpy()
    truth, kept = (np.zeros((len(values), _width(values.shape[1])), np.uint8) for _ in range(2))
    _pack(masks, truth)
    found = np.empty((3, len(cuts), len(values)))
    for i, cut in enumerate(cuts):
        _pack(values >= np.float32(cut.keep) if cut.ties == "keep" else values > np.float32(cut.keep), kept)
        hits = _count(kept & truth)
        found[:, i] = hits, _count(kept) - hits, _count(truth)
    return torch.from_numpy(found)


@dataclass(frozen=True)
class _Room:
    """Memory that is used again for each chunk: a mask, and the bits of masks in rows of whole 64-bit words."""

    mask: NDArray[np.bool_]
    above: NDArray[np.uint8]
    truth: NDArray[np.uint8]

    @classmethod
    def of(cls, c: int, n: int, r: int) -> "_Room":
        bits = np.zeros((2 * r + 1, c, _width(n)), np.uint8)
        return cls(np.empty((c, n), bool), bits[1:].reshape(2, r, c, -1), bits[0])


def _narrowed(
    x: NDArray[np.float32], truth: NDArray[np.bool_], cuts: Sequence[ThresholdRule], scaling: Scaling, room: "_Room"
) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.bool_]]:
    """Hit, spill and area (r, c) of the maps x (c, n) under r cuts, and whether each could be had this way."""
    (c, n), r = x.shape, len(cuts)
    mask, above, truth_bits = room.mask[:c], room.above[:, :, :c], room.truth[:c]
    _pack(truth, truth_bits)
    area = _count(truth_bits).astype(np.float64)
    wanted = np.array([np.full(c, n / 2) if cut.keep == "half" else np.where(area, area, n // 2) for cut in cuts])
    need = np.ceil(wanted).astype(np.int64)  # the threshold is the need-th highest value

    guesses, counts = _bracketed(x, need, mask, above)
    below, beyond = guesses.min(axis=0), guesses.max(axis=0)
    sure, crowd = counts.min(axis=0), np.abs(counts[0] - counts[1])  # above the bracket, and inside it
    fine = (sure < need) & (need <= sure + crowd) & (crowd <= n // MAX_BRACKET)
    crowd[~fine] = 0
    hits = _count(above[0] & above[1] & truth_bits)
    inside = above[0] ^ above[1]
    inside[~fine] = 0
    values, holds = _gathered(inside.reshape(r * c, -1), crowd.ravel(), x, truth)
    last = values.shape[1] - 1
    which = np.clip(last + 1 - (need - sure).reshape(-1, 1), 0, last)
    threshold = np.take_along_axis(np.sort(values, axis=1), which, axis=1)

    # Who is kept, after min-max: which may round neighbours together, so those just outside are checked.
    lows, highs = (np.tile(side, r)[:, None] for side in _range(x, scaling))
    p, t = _scaled(values, lows, highs, scaling), _scaled(threshold, lows, highs, scaling)
    sides = (np.split(side, r) for side in (p, t, holds))
    each = (_kept(*few) for few in zip(*sides, wanted - sure, cuts, strict=True))
    kept, kept_hits = (np.stack(column) for column in zip(*each, strict=True))
    total, hits = sure + kept, hits + kept_hits
    if scaling != "none":
        apart = _scaled(beyond.reshape(-1, 1), lows, highs, scaling) > t
        apart &= _scaled(below.reshape(-1, 1), lows, highs, scaling) < t
        fine &= apart.reshape(r, c)
    fine &= np.array([cut.ties != "fill" for cut in cuts])[:, None] | (t.reshape(r, c) < 1)
    return hits, total - hits, np.broadcast_to(area, hits.shape), fine


def _bracketed(
    x: NDArray[np.float32], need: NDArray[np.int64], mask: NDArray[np.bool_], above: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Two values (2, r, c) around the need-th highest of each map, most likely, and how many pixels are above each.

    `above` is filled with the bits of those pixels.
    """
    sample, rows, n = _sample(x), np.arange(len(x)), x.shape[1]
    m = sample.shape[1] - 1
    guesses, counts = np.empty((2, *need.shape), np.float32), np.empty((2, *need.shape), np.int64)
    at = 1 + np.clip((n - need) * m // n, 0, m - 1)
    for guess in (0, 1):
        guesses[guess] = sample[rows, at]
        for values, bits in zip(guesses[guess], above[guess], strict=True):
            _pack(np.greater(x, values[:, None], out=mask), bits)
        counts[guess] = _count(above[guess])
        off = (counts[guess] - need) * (m / n)  # in pixels of the sample; how far it may err grows with its root
        step = (1.2 * np.abs(off) + 2 * np.sqrt(np.abs(off))).astype(np.int64) + 3
        at = np.clip(at + np.where(off >= 0, step, -step), 0, m)  # to the other side of the threshold
    return guesses, counts


def _kept(
    p: NDArray[np.float32], t: NDArray[np.float32], holds: NDArray[np.bool_], left: FloatArray, cut: ThresholdRule
) -> tuple[FloatArray, FloatArray]:
    """How many pixels inside the bracket count, and hit; `left` places are not yet taken by those above it."""
    sure = p >= t if cut.ties == "keep" else p > t
    kept, hits = _per_row(sure), _per_row(sure & holds)
    if cut.ties == "share":
        tied = p == t
        share = (left - kept) / np.maximum(_per_row(tied), 1)
        kept, hits = left, hits + share * _per_row(tied & holds)
    return kept, hits


def _per_row(mask: NDArray[np.bool_]) -> FloatArray:
    bits = np.zeros((len(mask), _width(mask.shape[1])), np.uint8)
    _pack(mask, bits)
    return _count(bits).astype(np.float64)


def _width(pixels: int) -> int:
    """Bytes that hold so many bits in whole 64-bit words."""
    return -(-pixels // 64) * 8


def _sample(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values between some pixels of each row, ascending from -inf to inf; between, so that no pixel is at a bracket."""
    few = x[:, ::STRIDE]
    sample = np.empty((len(x), few.shape[1] + 2), np.float32)
    sample[:, 0], sample[:, 1:-1], sample[:, -1] = -np.inf, few, np.inf
    sample.sort(axis=1)
    sample *= 0.5
    return sample[:, :-1] + sample[:, 1:]


def _pack(mask: NDArray[np.bool_], bits: NDArray[np.uint8]) -> None:
    """Rows of a mask as bits, in rows of whole 64-bit words."""
    bits[:, : -(-mask.shape[1] // 8)] = np.packbits(mask, axis=1)


def _count(bits: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Set bits along the last axis."""
    return np.bitwise_count(bits.view(np.uint64)).sum(axis=-1, dtype=np.int32).astype(np.int64)


def _set_bits(bits: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where bits are set, counted over all rows. Few are: words, then bytes, then bits are looked for."""
    words = bits.reshape(-1).view(np.uint64)
    word = np.flatnonzero(words != 0)  # of bools: NumPy finds those many times faster than numbers
    within = words[word].view(np.uint8)
    byte = np.flatnonzero(within != 0)
    bit = np.flatnonzero(np.unpackbits(within[byte]).view(bool))
    return ((word[byte >> 3] << 6) + ((byte & 7) << 3))[bit >> 3] + (bit & 7)


def _gathered(
    bits: NDArray[np.uint8], counts: NDArray[np.int64], x: NDArray[np.float32], truth: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The pixels whose bits are set, row by row: (rows of bits, most), -inf where a row has fewer; truths likewise.

    Row i of `bits`, of which `counts[i]` are set, is about map i % len(x).
    """
    rows, most = np.arange(len(bits)), max(1, int(counts.max()))
    skipped = (rows % len(x)) * x.shape[1] - rows * bits.shape[1] * 8
    source = _set_bits(bits) + np.repeat(skipped, counts)
    target = np.arange(len(source)) + np.repeat(rows * most - (np.cumsum(counts) - counts), counts)
    values = np.full(len(bits) * most, -np.inf, np.float32)
    values[target] = x.reshape(-1)[source]
    holds = np.zeros(len(values), bool)
    holds[target] = truth.reshape(-1)[source]
    return values.reshape(-1, most), holds.reshape(-1, most)


def _range(x: NDArray[np.float32], scaling: Scaling) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if scaling == "none":
        return np.zeros(len(x), np.float32), np.ones(len(x), np.float32)
    return x.min(axis=1), x.max(axis=1)


def _scaled(
    x: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32], scaling: Scaling
) -> NDArray[np.float32]:
    """`binarise.scaled` of single values, to the last bit; constant maps never come here with a good bracket."""
    if scaling == "none":
        return x
    span: NDArray[np.float32] = np.where(high > low, high - low, np.float32(1))
    return (x - low) / span if scaling == "forward" else 1 - (high - x) / span
