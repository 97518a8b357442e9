"""Polygons: pixels whose centers lie inside, and outlines that give a mask back exactly, holes included."""

import numpy as np
import pytest

from soundspot.benchmark.polygons import check_polygon, rasterize_polygon, trace_polygons
from soundspot.errors import DataError
from soundspot.utils.hash_rng import make_generator


def union(mask: np.ndarray) -> np.ndarray:
    drawn = np.zeros_like(mask)
    for polygon in trace_polygons(mask):
        pixels = rasterize_polygon(polygon, (mask.shape[1], mask.shape[0]))
        assert not (drawn & pixels).any()
        drawn |= pixels
    return drawn


def test_corners_lie_between_pixels() -> None:
    pixels = rasterize_polygon([(2, 1), (7, 1), (7, 4), (2, 4)], (10, 8))
    assert pixels[1:4, 2:7].all()
    assert pixels.sum() == 15
    triangle = rasterize_polygon([(0.0, 0.0), (8.0, 0.0), (0.0, 8.0)], (8, 8))
    assert triangle.sum() == 28  # centers on the diagonal belong to the other half
    assert rasterize_polygon([(-5, -5), (5, -5), (5, 5), (-5, 5)], (8, 8)).sum() == 25


def test_outlines_of_noise_give_it_back() -> None:
    rng = make_generator(0)
    for share in (0.2, 0.5, 0.7, 0.95):
        mask = rng.random((23, 31)) < share
        assert (union(mask) == mask).all()


def test_holes_within_holes_and_pieces() -> None:
    y, x = np.mgrid[:60, :80]
    distance = np.hypot(x - 40, y - 30)
    mask = ((distance < 28) & (distance > 18)) | (distance < 9) & (distance > 3)
    mask[2:6, 2:5] = True
    polygons = trace_polygons(mask)
    assert len(polygons) >= 5
    assert (union(mask) == mask).all()
    assert trace_polygons(np.ones((3, 4), bool)) == [[(0, 0), (4, 0), (4, 3), (0, 3)]]
    assert trace_polygons(np.zeros((3, 4), bool)) == []


@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        ([(1.0, 1.0), (2.0, 2.0)], "a polygon of 2 points"),
        ([], "a polygon of 0 points"),
        ([(1.0, 1.0), (99.0, 2.0), (3.0, 3.0)], "outside the image, expected it within 20 x 10 pixels"),
        ([(1.0, 1.0), (float("nan"), 2.0), (3.0, 3.0)], "outside the image"),
    ],
)
def test_what_is_no_polygon_is_said(polygon, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_polygon(polygon, (20, 10), "a.xml")
