"""Duplicates among the images of a benchmark, and files of it that are in lists which models were trained on."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt64
from PIL import Image

from soundspot.benchmark.records import Source
from soundspot.data.datasets.annotation_files import read_unique_ids

NEAR_BITS = 3  # of 64, in which the hashes of near duplicates differ at most
BLOCK = 512  # images compared at once


def hash_image(image: Image.Image) -> int:
    """Compute a hash that changes little when an image is scaled, compressed or brightened (difference hash).

    Args:
        image: image of any size.

    Returns:
        64 bits: whether each of 8 x 8 cells is darker than the cell to its right.
    """
    cells = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    return int.from_bytes(np.packbits(cells[:, :-1] < cells[:, 1:]).tobytes(), "big")


def find_near_duplicates(hashes: Mapping[str, int], max_bits: int = NEAR_BITS) -> list[tuple[str, str]]:
    """Find images whose hashes are nearly equal.

    Args:
        hashes: name of an image -> its hash.
        max_bits: number of bits in which the hashes may differ.

    Returns:
        Names of each two such images, in their order.
    """
    names = list(hashes)
    values: UInt64[np.ndarray, " n"] = np.array([hashes[name] for name in names], np.uint64)
    pairs = []
    for start in range(0, len(names), BLOCK):
        counts = np.bitwise_count(values[start : start + BLOCK, None] ^ values[None, :])
        rows, columns = np.nonzero(counts <= max_bits)
        pairs += [
            (names[start + r], names[c]) for r, c in zip(rows.tolist(), columns.tolist(), strict=True) if start + r < c
        ]
    return pairs


def find_leaks(sources: Mapping[str, Iterable[Source]], lists: Sequence[Path]) -> list[tuple[str, str, str]]:
    """Find files of a benchmark whose origin is in a list that models were trained on.

    A line of a list names a file by its id, its group or its path in its source; folders and suffixes do not count.

    Args:
        sources: file of the benchmark -> origins of what is in it.
        lists: text files, one id in the first cell of each row.

    Returns:
        (file of the benchmark, id, list) of each leak.

    Raises:
        DataError: a list is missing or empty.
    """
    leaks = []
    for path in lists:
        listed = {_stem(id) for id in read_unique_ids(path, verbatim=True)}
        for file, origins in sources.items():
            names = {_stem(name) for origin in origins for name in _list_names(origin)} - {""}
            leaks += [(file, name, path.name) for name in sorted(names & listed)]
    return leaks


def _list_names(source: Source) -> Iterable[str]:
    yield from source.origin.split(", ")
    yield from source.group.split("+")
    for entry in source.details.get("images", ()):
        yield from (entry.get("group", ""), entry.get("file", ""))


def _stem(name: str) -> str:
    name = name.strip().replace("\\", "/").rpartition("/")[2]
    head, dot, suffix = name.rpartition(".")
    return head if dot and len(suffix) <= 4 else name
