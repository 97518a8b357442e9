"""Connected regions: against a labelling everyone trusts, and at the size of a photograph."""

import time

import numpy as np
import pytest
from scipy import ndimage

from soundspot.inference.connected_components import find_boxes


def trusted(mask: np.ndarray) -> list[tuple[int, int, int, int]]:
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    return [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels)]


@pytest.mark.parametrize("density", [0.02, 0.2, 0.35, 0.5, 0.9])
def test_agrees_with_scipy(density):
    for seed in range(8):
        mask = np.random.default_rng(seed).random((37, 53)) < density
        assert sorted(find_boxes(mask)) == sorted(trusted(mask))


def test_a_spiral_is_one_region():
    mask = np.zeros((9, 9), bool)
    mask[0], mask[:, -1], mask[-1], mask[2:, 0], mask[2, :7], mask[2:7, 6], mask[6, 2:7] = (True,) * 7
    assert find_boxes(mask) == [(0, 0, 9, 9)]


@pytest.mark.parametrize(("fill", "expected"), [(False, []), (True, [(0, 0, 6, 4)])])
def test_nothing_and_everything(fill, expected):
    assert find_boxes(np.full((4, 6), fill)) == expected


def test_a_photograph_takes_no_time():
    y, x = np.ogrid[:1500, :2000]
    mask = (np.sin(x / 90) + np.sin(y / 70)) > 0.9
    start = time.perf_counter()
    found = find_boxes(mask)
    assert time.perf_counter() - start < 3
    assert sorted(found) == sorted(trusted(mask))
