"""The division of a source's track into events."""

import numpy as np
import pytest

from made_events import frame
from soundspot.inference.events.options import EventOptions, ScoreRule
from soundspot.inference.events.regions import Region
from soundspot.inference.events.track_draft import TrackDraft, find_runs


def divide(scores: list[float], start: float, end: float, **options: object) -> list[tuple[float, float]]:
    """Events of frames a tenth of a second apart, the first at second 1."""
    draft = TrackDraft()
    for number, score in enumerate(scores):
        draft.add(number, 1 + number / 10, Region((0, 0, 8, 8), (4, 4), score), "")
    draft.add_appearance(np.ones(108) / 108)
    rule = ScoreRule(EventOptions(**options), frame(0.0, {(1, 1): 0.8}).map)
    return [
        (round(event.start, 3), round(event.end, 3))
        for event in draft.divide(start, end, EventOptions(**options), rule)
    ]


def test_a_source_that_is_in_the_picture_sounds_from_bound_to_bound() -> None:
    assert divide([0.8] * 20, 0.95, 3.02) == [(0.95, 3.02)]


def test_a_source_out_of_the_picture_is_no_event_and_divides_one() -> None:
    assert divide([0.3] * 20, 1.0, 3.0) == []
    assert divide([0.8] * 20 + [0.1] * 15 + [0.8] * 20, 1.0, 6.5) == [(1.0, 3.0), (4.5, 6.5)]
    assert divide([0.8] * 20 + [0.1] * 5 + [0.8] * 20, 1.0, 5.5) == [(1.0, 5.5)]


def test_onset_holds_on_average_and_short_events_are_left_out() -> None:
    assert divide([0.4, 0.7] * 10, 1.0, 3.0, onset="score:0.5", offset="score:0.1") == [(1.0, 3.0)]
    assert divide([0.4, 0.5] * 10, 1.0, 3.0, onset="score:0.5", offset="score:0.1") == []
    assert divide([0.8] * 8, 1.0, 1.8) == []
    assert divide([0.8] * 8, 1.0, 1.8, min_duration_on=0.5) == [(1.0, 1.8)]


@pytest.mark.parametrize(
    ("present", "runs"), [("0000", []), ("1111", [(0, 4)]), ("0110", [(1, 3)]), ("1001", [(0, 1), (3, 4)])]
)
def test_runs_are_bridged_below_the_shortest_pause(present: str, runs: list[tuple[int, int]]) -> None:
    mask = np.array([*present]) == "1"
    assert find_runs(np.arange(4.0), mask, 0.0, 4.0, 0.5) == runs
    assert find_runs(np.arange(4.0), mask, 0.0, 4.0, 9.0) == ([(0, 4)] if mask.any() else [])
