"""Run-length encodings are COCO's: its own strings, and back to the pixel."""

import numpy as np
import pytest

from soundspot.data.media.rle import count_runs, decode_mask, encode_mask
from soundspot.errors import DataError
from soundspot.utils.hash_rng import make_generator


def test_counts_are_those_of_pycocotools() -> None:
    """Text that pycocotools 2.0.11 gave for a ring, and for two corners."""
    y, x = np.mgrid[:37, :53]
    distance = (x - 20) ** 2 + (y - 15) ** 2
    ring = encode_mask((distance < 140) & (distance >= 20))
    assert ring["counts"] == "h:9j04M2N2N2N2O0OED0;NI070I07OK050K050K051I070I072E0<;101N2N2N2N3LPh0"
    corners = np.zeros((200, 300), bool)
    corners[150:, 200:] = corners[0, 0] = True
    assert encode_mask(corners)["counts"] == "01eVW1a1QnhN" + "0" * 197


def test_masks_come_back_to_the_pixel() -> None:
    rng = make_generator(0)
    for _ in range(30):
        mask = rng.random(tuple(rng.integers(1, 90, 2))) < rng.random() ** 2
        rle = encode_mask(mask)
        assert (decode_mask(rle) == mask).all()


@pytest.mark.parametrize("value", [True, False])
def test_masks_of_one_value(value: bool) -> None:
    mask = np.full((300, 400), value)
    assert (decode_mask(encode_mask(mask)) == mask).all()


def test_lists_of_counts_are_read() -> None:
    mask = decode_mask({"size": [2, 3], "counts": [1, 2, 3]})
    assert mask.tolist() == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ({"size": [2, 3], "counts": [1, 2]}, "sum to 3, expected 6 pixels"),
        ({"size": [2, 3], "counts": [7, -1]}, "expected text or a list of numbers"),
        ({"size": [2, 3], "counts": "é"}, "in compressed counts"),
        ({"size": [2, 3], "counts": "o"}, "cut off"),
        ({"size": [2], "counts": "06"}, "expected \\[height, width\\]"),
        ({"size": [10**9, 10**9], "counts": "06"}, "expected \\[height, width\\]"),
        ({}, "expected \\[height, width\\]"),
    ],
)
def test_what_is_no_mask_is_said(rle: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode_mask(rle)


def test_runs_begin_with_what_is_not_set() -> None:
    assert count_runs(np.array([[True, False], [True, True]]).T) == [0, 2, 1, 1]
    assert count_runs(np.zeros((2, 3), bool)) == [6]
