"""IoU of many maps at once, by `binarise`'s rules, without sorting them: what scoring spends its time in.

A sample of the pixels says roughly where the threshold lies. Two counts of the pixels above two values bracket it, and
only the few pixels inside the bracket are looked at one by one. Masks are packed to bits as soon as they are made, so
that counting, intersecting and finding work on 6 kB instead of 200 kB; rows are taken a few at a time to stay in cache.
The result is exact: where the bracket fails or holds too many equals, that map goes through `binarise` instead.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from whence.evaluation.binarise import Cut, Scaling, cut_iou, scaled

CHUNK = 8  # maps at a time: 1.6 MB of 224 x 224 pixels
SAMPLE = 1024  # pixels of a map that say where its thresholds are
CROWD = 8  # a bracket with more than 1 / CROWD of the pixels is left to the plain rule
Numbers: TypeAlias = NDArray[np.float64]


def overlaps(
    maps: Float[Tensor, "b h w"],
    truths: Bool[Tensor, "b h w"] | Float[Tensor, "b h w"],
    cuts: Sequence[Cut],
    scaling: Scaling = "none",
) -> Float[Tensor, "r b"]:
    """IoU of each map with its truth under each cut, (len(cuts), b) float64; nan where neither has a pixel.

    Args:
        maps: at the size of the truths, before min-max.
        truths: bool is fastest; floats with values between 0 and 1 (annotators who disagree) go the plain way.
        scaling: the min-max before the cut.
    """
    if not len(maps) or not cuts:
        return torch.zeros(len(cuts), len(maps), dtype=torch.float64)
    binary = truths.dtype == torch.bool or bool(((truths == 0) | (truths == 1)).all())
    by_rank = all(isinstance(cut.places, str) for cut in cuts)
    large = maps[0].numel() >= 4 * SAMPLE
    if not (binary and by_rank and large and maps.device.type == "cpu"):
        chunks = zip(maps.split(CHUNK), truths.split(CHUNK), strict=True)
        return torch.cat([_plain(few, theirs, cuts, scaling) for few, theirs in chunks], dim=1)
    values = maps.float().contiguous().flatten(1).numpy()
    masks = truths.bool().contiguous().flatten(1).numpy()
    found, fine = np.empty((2, len(cuts), len(maps)))

    def work(part: slice) -> None:
        room = np.empty((CHUNK, values.shape[1]), bool)
        for start in range(part.start, part.stop, CHUNK):
            few = slice(start, min(start + CHUNK, part.stop))
            found[:, few], fine[:, few] = _narrowed(values[few], masks[few], cuts, scaling, room)

    workers = max(1, min(torch.get_num_threads(), len(maps) // (4 * CHUNK)))
    edges = np.linspace(0, len(maps), workers + 1).astype(int).tolist()
    parts = [slice(start, stop) for start, stop in pairwise(edges)]
    if workers == 1:
        work(parts[0])
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, parts))
    result = torch.from_numpy(found)
    crowded = torch.from_numpy(np.flatnonzero((fine == 0).any(axis=0)))
    for left in crowded.split(CHUNK) if len(crowded) else ():
        result[:, left] = _plain(maps[left], truths[left], cuts, scaling)
    return result


def _plain(maps: Tensor, truths: Tensor, cuts: Sequence[Cut], scaling: Scaling) -> Tensor:
    values = scaled(maps.float(), scaling)
    return torch.stack([cut_iou(values, truths, cut) for cut in cuts]).cpu()


def _narrowed(
    x: NDArray[np.float32], truth: NDArray[np.bool_], cuts: Sequence[Cut], scaling: Scaling, room: NDArray[np.bool_]
) -> tuple[Numbers, NDArray[np.bool_]]:
    """IoU (r, c) of the maps x (c, n) under r cuts, and whether each could be had this way."""
    (c, n), r = x.shape, len(cuts)
    room = room[:c]
    rows = np.arange(c)
    truth_bits = np.packbits(truth, axis=1)
    area = _count(truth_bits)
    wanted = np.array([np.full(c, n / 2) if cut.places == "half" else np.where(area, area, n // 2) for cut in cuts])
    need = np.ceil(wanted).astype(np.int64)  # the threshold is the need-th highest value

    # A first guess out of a sample, and a second on the other side of the threshold.
    sample = _sample(x)
    m = sample.shape[1] - 2
    at = 1 + np.clip((n - need) * m // n, 0, m - 1)
    above = np.empty((2, r, c, truth_bits.shape[1]), np.uint8)
    guesses = np.empty((2, r, c), np.float32)
    guesses[0] = sample[rows, at]
    _above(x, guesses[0], room, out=above[0])
    first = _count(above[0])
    low = first >= need  # the first guess is below the threshold
    off = np.abs(first - need) * (m / n)  # in pixels of the sample; how far it may err grows with its root
    step = (1.2 * off + 2 * np.sqrt(off)).astype(np.int64) + 3
    guesses[1] = sample[rows, np.clip(at + np.where(low, step, -step), 0, m + 1)]
    _above(x, guesses[1], room, out=above[1])
    second = _count(above[1])
    fine = np.where(low, second < need, second >= need)
    below, beyond = np.minimum(*guesses), np.maximum(*guesses)
    sure = np.minimum(first, second)  # pixels above the bracket: kept whatever the threshold in it
    hits = _count(above[0] & above[1] & truth_bits)

    # The pixels inside the bracket, one row for each cut and map.
    inside = above[0] ^ above[1]
    fine &= np.abs(first - second) <= n // CROWD
    inside[~fine] = 0
    cell, place = _set_bits(inside.reshape(r * c, -1))
    values, holds = _ragged(cell, x[cell % c, place], truth[cell % c, place], r * c)
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
    with np.errstate(invalid="ignore"):  # 0 / 0 is nan: neither has a pixel
        return hits / (area + total - hits), fine


def _kept(
    p: NDArray[np.float32], t: NDArray[np.float32], holds: NDArray[np.bool_], left: Numbers, cut: Cut
) -> tuple[Numbers, Numbers]:
    """How many pixels inside the bracket count, and hit; `left` places are not yet taken by those above it."""
    sure = p >= t if cut.ties == "keep" else p > t
    kept, hits = _per_row(sure), _per_row(sure & holds)
    if cut.ties == "share":
        tied = p == t
        share = (left - kept) / np.maximum(_per_row(tied), 1)
        kept, hits = left, hits + share * _per_row(tied & holds)
    return kept, hits


def _per_row(mask: NDArray[np.bool_]) -> Numbers:
    return np.count_nonzero(mask, axis=1).astype(np.float64)


def _sample(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Some pixels of each row, sorted, with -inf before and inf after them."""
    few = x[:, :: max(1, x.shape[1] // SAMPLE)]
    ends = np.full((len(x), 1), np.inf, np.float32)
    return np.sort(np.concatenate([-ends, few, ends], axis=1), axis=1)


def _above(
    x: NDArray[np.float32], guesses: NDArray[np.float32], room: NDArray[np.bool_], out: NDArray[np.uint8]
) -> None:
    for guess, bits in zip(guesses, out, strict=True):
        bits[:] = np.packbits(np.greater(x, guess[:, None], out=room), axis=1)


def _count(bits: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Set bits along the last axis."""
    wide = bits.view(np.uint64) if bits.shape[-1] % 8 == 0 else bits
    return np.bitwise_count(wide).sum(axis=-1, dtype=np.int32).astype(np.int64)


def _set_bits(bits: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(row, position) of each set bit, in order."""
    where = np.flatnonzero(bits != 0)  # of bools: NumPy finds those much faster than bytes
    each = np.flatnonzero(np.unpackbits(bits.reshape(-1)[where]).view(bool))
    row, byte = np.divmod(where[each >> 3], bits.shape[1])
    return row, byte * 8 + (each & 7)


def _ragged(
    row: NDArray[np.int64], values: NDArray[np.float32], holds: NDArray[np.bool_], rows: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values sorted by row as a rectangle (rows, longest), -inf where a row is shorter; `holds` likewise."""
    lengths = np.bincount(row, minlength=rows)
    column = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    padded = np.full((rows, max(1, int(lengths.max(initial=0)))), -np.inf, np.float32)
    padded[row, column] = values
    held = np.zeros(padded.shape, bool)
    held[row, column] = holds
    return padded, held


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
