"""Identities: quickly over many events, and in bounded memory."""

import time

import numpy as np
import pytest

from made_events import event
from soundspot.inference.events.identities import Tracklet, describe_region, link_identities
from soundspot.inference.events.regions import box_iou


def tracklet(start: float, end: float, *, looks: int = 0) -> Tracklet:
    appearance = np.zeros(108)
    appearance[looks] = 1.0
    return Tracklet(float(start), float(end), event(start, end).track, appearance)


def test_events_that_overlap_are_of_two_sources() -> None:
    assert link_identities([tracklet(0, 2), tracklet(1, 3), tracklet(4, 5)]) == [1, 2, 1]


def test_sources_that_sounded_long_ago_are_forgotten() -> None:
    rows = [tracklet(number, number + 1, looks=number % 64) for number in range(64)]
    again = [tracklet(100, 101, looks=0), tracklet(102, 103, looks=1)]
    assert link_identities([*rows, *again])[-2:] == [1, 2]
    crowd = [tracklet(200 + number, 300 + number, looks=0) for number in range(64)]  # all at once
    assert link_identities([*rows, *crowd, tracklet(400, 401, looks=1)])[-1] == 128


def test_of_two_candidates_the_more_alike_is_taken() -> None:
    rows = [tracklet(0, 1, looks=1), tracklet(2, 3, looks=2), tracklet(4, 5, looks=1), tracklet(6, 7, looks=2)]
    assert link_identities(rows) == [1, 2, 1, 2]


@pytest.mark.slow
def test_ten_thousand_events_are_linked_quickly() -> None:
    rows = [tracklet(number, number + 1, looks=number % 64) for number in range(10_000)]
    begun = time.process_time()
    assert max(link_identities(rows)) == 64
    assert time.process_time() - begun < 10


def test_without_an_image_the_position_decides() -> None:
    nothing = describe_region(None, (0, 0, 1, 1))
    still = [Tracklet(start, start + 0.1, event(start, start + 0.1).track, nothing) for start in (0.0, 2.0)]
    far = Tracklet(4.0, 5.0, event(4, 5).track, np.zeros(108))
    far.track.boxes[:] += 40
    assert link_identities([*still, far]) == [1, 1, 2]


def test_boxes_that_do_not_meet_have_nothing_in_common() -> None:
    assert (box_iou((0, 0, 2, 2), (2, 0, 4, 2)), box_iou((0, 0, 2, 2), (0, 0, 2, 2))) == (0.0, 1.0)
