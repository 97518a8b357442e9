"""Events from sound and frames: when they begin and end, what is one source, and what is told apart."""

import numpy as np
import pytest
from PIL import Image

from made_events import INFO, RATE, ToneLocalizer, features, frame, tones
from soundspot.inference.events import tracking
from soundspot.inference.events.options import EventOptions
from soundspot.inference.events.tracking import EventTracker
from soundspot.inference.events.video_events import VideoEvents

LEFT, RIGHT, LOW = (1, 1), (6, 4), (1, 4)
RED, BLUE = (220, 30, 30), (30, 30, 220)


def collect(
    seconds: float,
    *spans: tuple[float, float, int],
    cells: tuple = (LEFT, RIGHT, None),
    colors: tuple = (),
    every: int = 2,
    **options: object,
) -> VideoEvents:
    """Events of frames a tenth of a second apart; each `every`th is encoded. Chord k has its source at cells[k]."""
    tracker = EventTracker(EventOptions(**options), ToneLocalizer(), RATE)
    tracker.add_audio(tones(seconds, *spans))
    pixels = np.full((48, 64, 3), 128, np.uint8)
    for color, (x, y) in zip(colors, cells, strict=False):
        pixels[8 * y : 8 * y + 8, 8 * x : 8 * x + 8] = color
    image = Image.fromarray(pixels) if colors else None
    for number in range(round(seconds * 10)):
        tracker.add(frame(number / 10, {}, image=image), None if number % every else features(*cells))
    return tracker.finish(INFO, seconds)


def rounded(events: VideoEvents) -> list[tuple[float, float]]:
    return [(round(event.start, 1), round(event.end, 1)) for event in events]


def is_near(events: VideoEvents, *spans: tuple[float, float]) -> bool:
    return len(events) == len(spans) and np.allclose([(e.start, e.end) for e in events], spans, atol=0.21)


def test_an_event_lasts_as_long_as_its_sound() -> None:
    events = collect(6.0, (1.5, 4.0, 0))
    assert is_near(events, (1.5, 4.0))
    track = events[0].track
    assert track.frames.tolist() == [number for number in range(60) if events[0].start <= number / 10 < events[0].end]
    assert track.boxes[0].tolist() == pytest.approx([8, 8, 16, 16], abs=4)
    assert (track.peaks // 8 == LEFT).all()
    assert events[0].confidence == pytest.approx(0.9, abs=0.01)
    assert str(events[0]).startswith("source 1 sounds from 1.")


def test_sources_take_turns_without_a_pause() -> None:
    events = collect(8.0, (1.0, 4.0, 0), (4.0, 7.0, 1))
    assert is_near(events, (1.0, 4.0), (4.0, 7.0))
    assert [(event.track.peaks[0] // 8).tolist() for event in events] == [[*LEFT], [*RIGHT]]


def test_a_source_that_joins_another_is_told_apart() -> None:
    events = collect(9.0, (1.0, 7.0, 0), (4.0, 7.0, 1), (4.0, 7.0, 1))
    assert is_near(events, (1.0, 7.0), (4.0, 7.0))


def test_a_sound_from_off_the_screen_is_no_event() -> None:
    assert is_near(collect(8.0, (1.0, 4.0, 0), (4.0, 7.0, 2)), (1.0, 4.0))
    assert len(collect(4.0)) == 0
    assert len(collect(4.0).videos) == 1


def test_short_pauses_are_bridged() -> None:
    assert is_near(collect(7.0, (1.0, 3.0, 0), (3.6, 6.0, 0)), (1.0, 6.0))
    assert is_near(collect(8.0, (1.0, 3.0, 0), (5.0, 7.0, 0)), (1.0, 3.0), (5.0, 7.0))
    assert is_near(collect(8.0, (1.0, 3.0, 0), (5.0, 7.0, 0), min_duration_off=3), (1.0, 7.0))


def test_an_event_ends_with_the_video() -> None:
    assert is_near(collect(4.0, (1.5, 4.0, 0)), (1.5, 4.0))


def test_events_need_not_end_with_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at block by block is what is looked at as one, and a steady sound is one event."""
    spans = (1.0, 3.0, 0), (3.0, 5.0, 1), (6.0, 15.0, 0), (16.5, 18.0, 1)
    expected = collect(19.0, *spans, every=3)
    monkeypatch.setattr(tracking, "BLOCK_SECONDS", 5.0)
    monkeypatch.setattr(tracking, "MIN_BLOCK_SECONDS", 2.0)
    events = collect(19.0, *spans, every=3)
    assert is_near(events, *((event.start, event.end) for event in expected))
    assert len(events) == 4
    assert [len(event.track) for event in events] == pytest.approx([len(event.track) for event in expected], abs=3)


def test_frames_between_encoded_ones_have_the_region_of_the_one_before() -> None:
    events = collect(6.0, (1.5, 4.0, 0), every=8)
    assert is_near(events, (1.5, 4.0))
    assert len(events[0].track) == pytest.approx(25, abs=2)


def test_identities_outlast_pauses() -> None:
    events = collect(12.0, (1.0, 3.0, 0), (4.5, 6.5, 1), (8.0, 10.0, 0), colors=(RED, BLUE))
    assert [event.identity for event in events] == [1, 2, 1]


def test_blocks_end_also_where_the_sound_ended_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "BLOCK_SECONDS", 6.0)
    monkeypatch.setattr(tracking, "MIN_BLOCK_SECONDS", 3.0)
    tracker = EventTracker(EventOptions(), ToneLocalizer(), RATE)
    tracker.add_audio(tones(4.0, (1.0, 4.0, 0)))
    for number in range(300):
        tracker.add(frame(number / 10, {}), features(LEFT, RIGHT, None))
        assert len(tracker._keys) <= 51  # of a block and its context
    assert is_near(tracker.finish(INFO, 30.0), (1.0, 4.0))
