"""Simulated annotators click where they should, and a better click makes a better mask."""

import numpy as np
from PIL import Image

from soundspot.benchmark.annotation import Action
from soundspot.benchmark.simulate import place_click, simulate_annotator
from soundspot.inference.contours.segmenters import Click


class Discs:
    """A segmenter that gives a disc around each click on the object, less those on the background."""

    name = "discs"

    def segment(self, image, clicks, box) -> np.ndarray:
        y, x = np.mgrid[: image.height, : image.width] + 0.5
        mask = np.zeros((image.height, image.width), bool)
        for click in clicks:
            mask[np.hypot(x - click.x, y - click.y) < 12] = click.is_object
        return mask


def squares() -> np.ndarray:
    target = np.zeros((60, 80), bool)
    target[10:31, 10:31] = True
    target[35:50, 50:65] = True
    return target


def test_a_click_lies_in_the_middle_of_the_largest_error() -> None:
    target = squares()
    assert place_click(np.zeros_like(target), target) == Click(20.5, 20.5, True)
    mask = target.copy()
    mask[10:31, 10:31] = False
    mask[52:55, 5:10] = True
    click = place_click(mask, target)
    assert (click.x, click.is_object) == (20.5, True)
    mask = target | (np.arange(80) < 5)[None]
    click = place_click(mask, target)
    assert not click.is_object
    assert click.x < 5
    assert place_click(target, target).is_object


def test_clicks_go_on_until_it_is_enough() -> None:
    target, image = squares(), Image.new("RGB", (80, 60))
    results = simulate_annotator(image, target, Discs(), 3)
    assert [len(result.actions) for result in results] == [1, 2, 3, 4]
    assert results[0].actions == (Action("box", ((10, 10), (65, 50))),)
    assert 0 == results[0].iou < results[1].iou < results[2].iou
    assert len(simulate_annotator(image, target, Discs(), 5, enough=results[1].iou)) == 2
    assert [len(result.actions) for result in simulate_annotator(image, target, Discs(), 2, with_box=False)] == [1, 2]
