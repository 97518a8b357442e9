"""Run-length encoded masks as COCO stores them: columns from left to right, counts of zeros and ones in turn.

COCO API, `common/maskApi.c`: counts from the third on are stored as differences to the count two before, in groups of
five bits, each a character from `0` on.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from soundspot.errors import DataError

_OFFSET, _CHUNK, _SIGN, _MORE = 48, 0x1F, 0x10, 0x20


def encode_mask(mask: Bool[np.ndarray, "h w"]) -> dict[str, Any]:
    """Encode a mask as COCO's compressed run-length encoding.

    Args:
        mask: (h, w) bool.

    Returns:
        `size` [h, w] and `counts`, text.

    Examples:
        >>> mask = np.zeros((6, 8), bool)
        >>> mask[1:4, 2:7] = True
        >>> encode_mask(mask)
        {'size': [6, 8], 'counts': '=3300000005'}
    """
    counts = count_runs(mask.T)
    characters = []
    for position, count in enumerate(counts):
        value = count - counts[position - 2] if position > 2 else count
        while True:
            chunk = value & _CHUNK
            value >>= 5
            has_more = value != (-1 if chunk & _SIGN else 0)
            characters.append(chr(_OFFSET + chunk + (_MORE if has_more else 0)))
            if not has_more:
                break
    return {"size": list(mask.shape), "counts": "".join(characters)}


def decode_mask(rle: dict[str, Any], location: str = "mask") -> Bool[np.ndarray, "h w"]:
    """Decode a mask from COCO's run-length encoding, compressed or not.

    Args:
        rle: `size` [h, w] and `counts`: text, or a list of numbers.
        location: name of the mask, for messages.

    Returns:
        (h, w) bool.

    Raises:
        DataError: the size or the counts are malformed, or the counts do not sum to the pixels.
    """
    size, counts = rle.get("size"), rle.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int and 0 < side < 2**15 for side in size)):
        raise DataError(f"{location}: found the size {size!r:.40}, expected [height, width]. Export the mask again")
    if isinstance(counts, str):
        counts = _parse_counts(counts, location)
    if not isinstance(counts, list) or not all(type(count) is int and count >= 0 for count in counts):
        raise DataError(f"{location}: found the counts {counts!r:.40}, expected text or a list of numbers")
    return expand_runs(counts, size[1], size[0], location).T


def count_runs(mask: Bool[np.ndarray, "h w"]) -> list[int]:
    """Count the pixels of each run of a mask, row by row.

    Args:
        mask: (h, w) bool.

    Returns:
        Number of zeros, of ones, of zeros... in the order of the rows; the first is 0 where the first pixel is set.
    """
    flat = np.concatenate([[False], mask.ravel(), [not mask.ravel()[-1]]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(edges, prepend=0).tolist()


def expand_runs(counts: Sequence[int], height: int, width: int, location: str) -> Bool[np.ndarray, "h w"]:
    """Return the mask whose runs are counted, row by row.

    Args:
        counts: number of zeros, of ones, of zeros...
        height, width: size of the mask in pixels.
        location: name of the mask, for messages.

    Returns:
        (height, width) bool.

    Raises:
        DataError: the counts do not sum to the pixels.
    """
    if sum(counts) != height * width:
        raise DataError(
            f"{location}: found counts that sum to {sum(counts)}, expected {height * width} pixels ({width} x "
            f"{height}). Export the mask again"
        )
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)


def _parse_counts(text: str, location: str) -> list[int]:
    counts: list[int] = []
    value = shift = 0
    for character in text:
        chunk = ord(character) - _OFFSET
        if not 0 <= chunk < 2 * _MORE or shift > 60:
            raise DataError(
                f"{location}: found {character!r} in compressed counts, expected `0` to `o`. Export it again"
            )
        value |= (chunk & _CHUNK) << shift
        shift += 5
        if not chunk & _MORE:
            if chunk & _SIGN:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise DataError(f"{location}: found compressed counts that are cut off, expected all of them. Export it again")
    return counts
