"""Overlap of many maps with their targets under many threshold rules: what scoring spends its time in.

It follows the rules of `thresholding` without sorting a map. A sample of the pixels says roughly where a threshold by
rank lies, and two counts of the pixels above two values bracket it. Only the few pixels inside the bracket are compared
individually, and they answer every rule of that rank, whatever its ties and its scaling: scaling keeps the order of
the pixels. Masks are packed to bits as soon as they are made, so that counting and intersecting work on 6 kB instead
of 200 kB; maps are taken in chunks that stay in cache. The result is exact: where the bracket fails or holds too many
equal values, the map goes through `thresholding` instead.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from soundspot.evaluation.protocols.thresholding import MapOverlap, Scaling, ThresholdRule, compute_overlap, scale_maps

CHUNK_SIZE = 16  # maps at a time: 3.2 MB of 224 x 224 pixels
STRIDE = 31  # pixels between two samples; a prime, so that they are not all in a few columns
MIN_PIXELS = 4096  # smaller maps go through `thresholding`
MAX_BRACKET = 8  # a bracket with more than 1 / MAX_BRACKET of the pixels is left to `thresholding`
ScaledRule: TypeAlias = tuple[ThresholdRule, Scaling]
FloatArray: TypeAlias = NDArray[np.float64]
Pixels: TypeAlias = NDArray[np.float32]
Bits: TypeAlias = NDArray[np.uint8]  # masks of n pixels, in rows of whole 64-bit words


def compute_overlaps(
    maps: Float[Tensor, "b h w"],
    target: Bool[Tensor, "b h w"] | Float[Tensor, "b h w"],
    rules: Sequence[ThresholdRule],
    scaling: Scaling | Sequence[Scaling] = "none",
) -> MapOverlap:
    """Compute the overlap of each map with its target under each threshold rule.

    Args:
        maps: (b, h, w) scores at the size of the targets, before scaling; a map expanded to b is thresholded only once.
        target: (b, h, w) ground truth; bool is fastest. Values between 0 and 1 (disagreeing annotators) are slow.
        rules: r threshold rules.
        scaling: scaling of the maps before the threshold (`scale_maps`), for all rules, or r of them, one for each
            rule.

    Returns:
        Intersection, false positives and target area in pixels, each (r, b) float64 on the CPU.
    """
    pairs = [*zip(rules, [scaling] * len(rules) if isinstance(scaling, str) else scaling, strict=True)]
    distinct = [*dict.fromkeys(pairs)]
    result = np.zeros((3, len(distinct), len(maps)))
    exact = np.zeros((len(distinct), len(maps)), bool)
    binary = target.dtype == torch.bool or bool(((target == 0) | (target == 1)).all())
    if len(maps) and binary and maps[0].numel() >= MIN_PIXELS and maps.device.type == "cpu":
        x = (maps[:1] if maps.stride(0) == 0 else maps).float().contiguous().flatten(1).numpy()
        masks = target.bool().contiguous().flatten(1).numpy()

        def score_range(start: int, stop: int) -> None:
            buffer = np.empty((CHUNK_SIZE, masks.shape[1]), bool)
            for first in range(start, stop, CHUNK_SIZE):
                rows = slice(first, min(first + CHUNK_SIZE, stop))
                chunk = _Chunk(x if len(x) == 1 else x[rows], masks[rows], buffer)
                result[:, :, rows], exact[:, rows] = chunk.overlaps(distinct)

        workers = max(1, min(torch.get_num_threads(), len(maps) // (4 * CHUNK_SIZE)))
        edges = np.linspace(0, len(maps), workers + 1).astype(int).tolist()
        if workers == 1:
            score_range(*edges)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(score_range, *zip(*pairwise(edges), strict=True)))
    for i, (rule, scale) in enumerate(distinct):
        for rows in torch.from_numpy(np.flatnonzero(~exact[i])).split(CHUNK_SIZE) if not exact[i].all() else ():
            overlap = compute_overlap(scale_maps(maps[rows].float(), scale), target[rows], rule)
            numbers = overlap.intersection, overlap.false_positives, overlap.target_area
            result[:, i, rows.numpy()] = torch.stack(numbers).cpu().numpy()
    return MapOverlap(*torch.from_numpy(result[:, [distinct.index(pair) for pair in pairs]]))


@dataclass
class _Chunk:
    """Maps x (c, n), or a single one (1, n) for all, against targets (c, n); `buffer` is memory for their masks."""

    x: Pixels
    target: NDArray[np.bool_]
    buffer: NDArray[np.bool_]

    def __post_init__(self) -> None:
        self.target_bits = _pack(self.target)
        self.area = _count(self.target_bits).astype(np.float64)

    @cached_property
    def extremes(self) -> tuple[Pixels, Pixels]:
        """Lowest and highest value of each map, (c, 1)."""
        return self.x.min(axis=1, keepdims=True), self.x.max(axis=1, keepdims=True)

    def scale(self, values: Pixels, scaling: Scaling) -> Pixels:
        """Scale values (c, k) of the maps as `thresholding.scale_maps` does, to the last bit."""
        if scaling == "none":
            return values
        if scaling == "sigmoid":
            return torch.from_numpy(values).sigmoid().numpy()
        low, high = self.extremes
        span: Pixels = np.where(high > low, high - low, np.float32(1))
        if scaling == "forward":
            return (values - np.where(high > low, low, np.float32(0))) / span
        return 1 - (np.where(high > low, high, np.float32(0)) - values) / span

    def overlaps(self, pairs: Sequence[ScaledRule]) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Compute intersection, false positives and target area (3, r, c), and which of them are exact (r, c)."""
        c = len(self.target)
        result, exact = np.zeros((3, len(pairs), c)), np.zeros((len(pairs), c), bool)
        result[2] = self.area
        for scaling in dict.fromkeys(scaling for _, scaling in pairs):
            by_value = [i for i, (rule, of) in enumerate(pairs) if of == scaling and not isinstance(rule.keep, str)]
            values = self.scale(self.x, scaling) if by_value else self.x
            for i in by_value:
                threshold, strict = np.float32(pairs[i][0].keep), pairs[i][0].ties == "drop"
                mask = (np.greater if strict else np.greater_equal)(values, threshold, out=self.buffer[: len(values)])
                selected = _pack(mask)
                hits = _count(selected & self.target_bits)
                result[:2, i], exact[i] = (hits, _count(selected) - hits), True
        ranked = [i for i, (rule, scaling) in enumerate(pairs) if isinstance(rule.keep, str) and scaling != "sigmoid"]
        if ranked:
            result[:2, ranked], exact[ranked] = _overlaps_by_bracket(self, [pairs[i] for i in ranked])
        return result, exact

    def num_selected(self, keep: float | str) -> FloatArray:
        """Number of pixels (c,) that a rule by rank selects; the threshold is the value of the last of them."""
        pixels = self.target.shape[1]
        return np.full(len(self.area), pixels / 2) if keep == "half" else np.where(self.area, self.area, pixels // 2)


def _overlaps_by_bracket(chunk: _Chunk, pairs: Sequence[ScaledRule]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Compute intersection and false positives (2, r, c) of each map from a bracket of each threshold by rank."""
    c, n = chunk.target.shape
    keeps = [*dict.fromkeys(rule.keep for rule, _ in pairs)]
    wanted = np.stack([chunk.num_selected(keep) for keep in keeps])  # (k, c)
    need = np.ceil(wanted).astype(np.int64)  # the threshold is the need-th highest value
    bounds, counts, above = _bracket(chunk.x, need, chunk.buffer)
    lower, upper = bounds.min(axis=0)[..., None], bounds.max(axis=0)[..., None]
    num_above, num_inside = counts.min(axis=0), np.abs(counts[0] - counts[1])
    valid = (num_above < need) & (need <= num_above + num_inside) & (num_inside <= n // MAX_BRACKET)
    num_inside[~valid] = 0
    hits_above = _count(above[0] & above[1] & chunk.target_bits)
    inside = above[0] ^ above[1]
    inside[~valid] = 0
    values, is_target = _gather(inside.reshape(len(keeps) * c, -1), num_inside.ravel(), chunk)
    last = values.shape[1] - 1
    position = np.clip(last + 1 - (need - num_above).reshape(-1, 1), 0, last)
    thresholds = np.take_along_axis(np.sort(values, axis=1), position, axis=1)

    result, exact = np.empty((2, len(pairs), c)), np.tile(valid.all(axis=0), (len(pairs), 1))
    for i, (rule, scaling) in enumerate(pairs):
        k = keeps.index(rule.keep)
        rows = slice(k * c, (k + 1) * c)
        p, t = chunk.scale(values[rows], scaling), chunk.scale(thresholds[rows], scaling)
        mask, target_bits = _pack(p >= t if rule.ties == "keep" else p > t), _pack(is_target[rows])
        selected, hits = _count(mask).astype(np.float64), _count(mask & target_bits).astype(np.float64)
        if rule.ties == "share":
            tied, remaining = _pack(p == t), wanted[k] - num_above[k]
            share = (remaining - selected) / np.maximum(_count(tied), 1)
            selected, hits = remaining, hits + share * _count(tied & target_bits)
        intersection = hits_above[k] + hits
        result[:, i] = intersection, num_above[k] + selected - intersection
        if scaling != "none":  # it may round neighbors together, so the bounds of the bracket must stay apart
            apart = (chunk.scale(upper[k], scaling) > t) & (chunk.scale(lower[k], scaling) < t)
            exact[i] &= apart[:, 0]
        if rule.ties == "fill":
            exact[i] &= t[:, 0] < 1
    return result, exact


def _bracket(x: Pixels, need: NDArray[np.int64], buffer: NDArray[np.bool_]) -> tuple[Pixels, NDArray[np.int64], Bits]:
    """Find two values (2, k, c) that most likely enclose the need-th highest of each map.

    Returns:
        The values, how many pixels are above each (2, k, c), and the bits of those pixels (2, k, c, bytes).
    """
    n, infinity = x.shape[1], np.full((len(x), 1), np.inf, np.float32)
    pixels = np.concatenate([-infinity, np.sort(x[:, ::STRIDE], axis=1), infinity], axis=1) * np.float32(0.5)
    sample = pixels[:, :-1] + pixels[:, 1:]  # between two of them, so that no pixel equals a bound
    m = sample.shape[1] - 1
    bounds, counts = np.empty((2, *need.shape), np.float32), np.empty((2, *need.shape), np.int64)
    above = np.empty((2, *need.shape, -(-n // 64) * 8), np.uint8)
    index = 1 + np.clip((n - need) * m // n, 0, m - 1)
    for side in (0, 1):
        bounds[side] = sample[np.arange(len(x)), index]
        for values, bits in zip(bounds[side], above[side], strict=True):
            bits[:] = _pack(np.greater(x, values[:, None], out=buffer[: len(values)]))
        counts[side] = _count(above[side])
        error = (counts[side] - need) * (m / n)  # in pixels of the sample; how far it may be off grows with its root
        step = (1.2 * np.abs(error) + 2 * np.sqrt(np.abs(error))).astype(np.int64) + 3
        index = np.clip(index + np.where(error >= 0, step, -step), 0, m)  # to the other side of the threshold
    return bounds, counts, above


def _pack(mask: NDArray[np.bool_]) -> Bits:
    """Pack the rows of a mask to bits, in whole 64-bit words."""
    bits = np.packbits(mask, axis=1)
    if bits.shape[1] % 8 == 0:
        return bits
    words = np.zeros((len(bits), bits.shape[1] + -bits.shape[1] % 8), np.uint8)
    words[:, : bits.shape[1]] = bits
    return words


def _count(bits: Bits) -> NDArray[np.int64]:
    """Count the bits that are set along the last axis."""
    return np.bitwise_count(bits.view(np.uint64)).sum(axis=-1, dtype=np.int32).astype(np.int64)


def _set_bits(bits: Bits) -> NDArray[np.int64]:
    """Return the indices of the bits that are set, over all rows: first of words, then of bytes, as there are few."""
    words = bits.reshape(-1).view(np.uint64)
    word = np.flatnonzero(words != 0)  # of bools: NumPy finds those many times faster than numbers
    within = words[word].view(np.uint8)
    byte = np.flatnonzero(within != 0)
    bit = np.flatnonzero(np.unpackbits(within[byte]).view(bool))
    return ((word[byte >> 3] << 6) + ((byte & 7) << 3))[bit >> 3] + (bit & 7)


def _gather(bits: Bits, counts: NDArray[np.int64], chunk: _Chunk) -> tuple[Pixels, NDArray[np.bool_]]:
    """Return the pixels whose bits are set as (rows, most), padded with -inf, and whether each is in the target.

    Row i of `bits`, of which `counts[i]` are set, belongs to map i % c of the chunk.
    """
    (c, n), (rows, width) = chunk.target.shape, bits.shape
    row, most = np.arange(rows), max(1, int(counts.max()))
    source = _set_bits(bits) + np.repeat((row % c) * n - row * width * 8, counts)
    destination = np.arange(len(source)) + np.repeat(row * most - (np.cumsum(counts) - counts), counts)
    values, is_target = np.full(rows * most, -np.inf, np.float32), np.zeros(rows * most, bool)
    values[destination] = chunk.x.reshape(-1)[source % chunk.x.size]
    is_target[destination] = chunk.target.reshape(-1)[source]
    return values.reshape(-1, most), is_target.reshape(-1, most)
