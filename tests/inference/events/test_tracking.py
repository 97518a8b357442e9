"""Events from frames: when they begin and end, what is bridged and left out, and what is told apart."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from made_events import INFO, frame
from soundspot.config.presence_calibration import PresenceCalibration
from soundspot.errors import InputError
from soundspot.inference.events.tracking import EventOptions, EventTracker
from soundspot.inference.events.video_events import VideoEvents

LEFT, RIGHT = (1, 1), (6, 4)
RED, BLUE = (220, 30, 30), (30, 30, 220)


def collect(rows: list[dict[tuple[int, int], float]], seconds: float = 0.1, **options: object) -> VideoEvents:
    """Events of frames a tenth of a second apart."""
    tracker = EventTracker(EventOptions(**{"min_duration_on": 0.5, "min_duration_off": 0.5} | options))
    for number, sources in enumerate(rows):
        tracker.add(frame(number * seconds, sources))
    return tracker.finish(INFO, len(rows) * seconds)


def spans(events: VideoEvents) -> list[tuple[float, float, int]]:
    return [(round(event.start, 3), round(event.end, 3), event.identity) for event in events]


def test_an_event_lasts_from_the_first_frame_to_the_first_without() -> None:
    events = collect([{}] * 10 + [{LEFT: 0.8}] * 10 + [{}] * 10)
    assert spans(events) == [(1.0, 2.0, 1)]
    track = events[0].track
    assert track.frames.tolist() == [*range(10, 20)]
    assert track.boxes[0].tolist() == [8, 8, 16, 16]
    assert all(8 <= value < 16 for value in track.peaks[0])
    assert events[0].confidence == pytest.approx(0.8)
    assert str(events[0]).startswith("source 1 sounds from 1.0 to 2.0 s at (")


def test_an_event_ends_with_the_video() -> None:
    assert spans(collect([{}] * 5 + [{LEFT: 0.8}] * 10)) == [(0.5, 1.5, 1)]


def test_a_weaker_score_continues_an_event_but_begins_none() -> None:
    rows = [{LEFT: 0.4}] * 5 + [{LEFT: 0.8}] * 5 + [{LEFT: 0.4}] * 5 + [{LEFT: 0.2}] * 10
    assert spans(collect(rows, onset="score:0.6", offset="score:0.3")) == [(0.5, 1.5, 1)]
    assert spans(collect(rows, onset="score:0.6")) == [(0.5, 1.0, 1)]


def test_thresholds_give_way_by_what_codecs_move_a_peak() -> None:
    """By default an event begins at threshold - spread, and pauses below threshold - 2 spread."""
    tracker = EventTracker(EventOptions())
    for number in range(60):
        score = (0.35, 0.42, 0.35, 0.25)[number // 15]
        located = frame(number / 10, {LEFT: score})
        tracker.add(replace(located, map=replace(located.map, codec_spread=0.1)))
    assert spans(tracker.finish(INFO, 6.0)) == [(1.5, 4.5, 1)]


def test_short_pauses_are_bridged_and_short_events_left_out() -> None:
    rows = [{LEFT: 0.8}] * 6 + [{}] * 4 + [{LEFT: 0.8}] * 6 + [{}] * 10 + [{LEFT: 0.8}] * 4 + [{}] * 6
    assert spans(collect(rows)) == [(0.0, 1.6, 1)]
    assert spans(collect(rows, min_duration_off=0.0)) == [(0.0, 0.6, 1), (1.0, 1.6, 1)]
    assert spans(collect(rows, min_duration_on=0.0)) == [(0.0, 1.6, 1), (2.6, 3.0, 1)]


def test_by_default_a_second_is_the_shortest_event_and_pause() -> None:
    rows = [{LEFT: 0.8}] * 8 + [{}] * 7 + [{LEFT: 0.8}] * 3 + [{}] * 8 + [{LEFT: 0.8}] * 7 + [{}] * 8
    tracker = EventTracker(EventOptions())
    for number, sources in enumerate(rows):
        tracker.add(frame(number / 8, sources))
    assert spans(tracker.finish(INFO, len(rows) / 8)) == [(0.0, 2.25, 1)]


def test_a_pause_of_the_sound_has_no_source_whatever_the_window_hears() -> None:
    tracker = EventTracker(EventOptions())
    for number in range(40):
        tracker.add(replace(frame(number / 10, {LEFT: 0.8}), is_audible=number < 15))
    assert spans(tracker.finish(INFO, 4.0)) == [(0.0, 1.5, 1)]


def test_sources_that_sound_at_once_are_told_apart() -> None:
    rows = [{LEFT: 0.8}] * 10 + [{LEFT: 0.8, RIGHT: 0.7}] * 10 + [{RIGHT: 0.7}] * 10
    events = collect(rows)
    assert spans(events) == [(0.0, 2.0, 1), (1.0, 3.0, 2)]
    assert [event.track.boxes[-1].tolist() for event in events] == [[8, 8, 16, 16], [48, 32, 56, 40]]


def test_a_box_is_followed_as_it_moves() -> None:
    tracker = EventTracker(EventOptions())
    for number in range(24):  # two cells of eight pixels, a cell in eight frames
        sources = {(1 + number // 8, 1): 0.8, (2 + number // 8, 1): 0.8}
        tracker.add(frame(number / 10, sources))
    events = tracker.finish(INFO, 2.4)
    assert spans(events) == [(0.0, 2.4, 1)]
    assert events[0].track.boxes[[0, -1]].tolist() == [[8, 8, 24, 16], [24, 8, 40, 16]]


def test_identities_outlast_pauses_by_place_and_by_looks() -> None:
    """Two things that have changed their places keep their identities, and a third has a new one."""
    pixels = np.full((48, 64, 3), 128, np.uint8)
    tracker = EventTracker(EventOptions(min_duration_on=0.5, min_duration_off=0.5))
    rows = [(LEFT, RED), (RIGHT, BLUE), (RIGHT, RED), (LEFT, BLUE), (LEFT, (30, 220, 30))]
    for number in range(10 * len(rows) * 2):
        at, color = rows[number // 20]
        drawn = pixels.copy()
        x, y = at
        drawn[8 * y : 8 * y + 8, 8 * x : 8 * x + 8] = color
        tracker.add(frame(number / 10, {at: 0.8} if number % 20 < 12 else {}, image=Image.fromarray(drawn)))
    assert [event.identity for event in tracker.finish(INFO, 10.0)] == [1, 2, 1, 2, 3]


def test_without_events_there_is_an_empty_table() -> None:
    events = collect([{}] * 10)
    assert (len(events), len(events.videos), events.videos[0].size) == (0, 1, (48, 64))


def test_thresholds_may_be_probabilities() -> None:
    calibration = PresenceCalibration("logistic", 10.0, -5.0)  # one half at 0.5, 0.95 at 0.79
    found = {}
    for onset in (0.5, 0.95):
        tracker = EventTracker(EventOptions(onset=onset))
        for number in range(20):
            tracker.add(frame(number / 10, {LEFT: 0.7}, calibration=calibration))
        found[onset] = tracker.finish(INFO, 2.0)
    assert [len(events) for events in found.values()] == [1, 0]
    assert found[0.5].videos[0].is_calibrated
    assert found[0.5][0].confidence == pytest.approx(calibration.probability_of(0.7))


@pytest.mark.parametrize(
    ("options", "threshold", "words"),
    [
        ({}, None, "no fitted threshold"),
        ({"onset": 0.5}, 0.5, "no calibrated probability"),
        ({"onset": "score:0.3", "offset": "score:0.4"}, 0.5, "above the onset"),
        ({"onset": "loud"}, 0.5, "onset: found 'loud', expected a probability"),
        ({"offset": 1.5}, 0.5, "offset: found 1.5"),
        ({"min_duration_on": -1}, 0.5, "min_duration_on: found -1, expected seconds"),
        ({"min_duration_off": float("nan")}, 0.5, "min_duration_off"),
    ],
)
def test_what_cannot_be_is_refused(options: dict, threshold: float | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        EventTracker(EventOptions(**options)).add(frame(0.0, {LEFT: 0.8}, threshold))
