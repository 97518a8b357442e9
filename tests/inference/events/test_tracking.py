"""Events from sound and frames: when they begin and end, what is one source, and what is told apart."""

import numpy as np
import pytest
from PIL import Image

from made_events import INFO, RATE, ToneLocalizer, features, frame, tones
from soundspot.data.media.rle import decode_mask
from soundspot.inference.connected_components import bounding_box
from soundspot.inference.contours.trace import FOLLOWERS
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
    contour: str | None = None,
    **options: object,
) -> VideoEvents:
    """Events of frames a tenth of a second apart; each `every`th is encoded. Chord k has its source at cells[k]."""
    tracker = EventTracker(EventOptions(**options), ToneLocalizer(), RATE, contour)
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


def test_a_track_has_the_frames_of_a_pause_in_which_a_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = (1.0, 4.0, 0), (7.0, 10.0, 0), (16.0, 18.0, 0)
    expected = collect(19.0, *spans, min_duration_off=4)
    assert is_near(expected, (1.0, 10.0), (16.0, 18.0))
    monkeypatch.setattr(tracking, "BLOCK_SECONDS", 5.0)
    monkeypatch.setattr(tracking, "MIN_BLOCK_SECONDS", 2.0)
    events = collect(19.0, *spans, min_duration_off=4)
    assert [event.track.frames.tolist() for event in events] == [event.track.frames.tolist() for event in expected]


def test_a_quiet_sound_is_silence_beside_a_loud_one_of_the_block_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "BLOCK_SECONDS", 5.0)
    monkeypatch.setattr(tracking, "MIN_BLOCK_SECONDS", 2.0)
    waveform = tones(19.0, (1.0, 4.0, 0), (12.0, 15.0, 1))
    for gain, count in ((1, 2), (200, 1)):  # 46 dB
        tracker = EventTracker(EventOptions(), ToneLocalizer(), RATE)
        tracker.add_audio(np.concatenate([waveform[: 11 * RATE] * np.float32(gain), waveform[11 * RATE :]]))
        for number in range(190):
            tracker.add(frame(number / 10, {}), features(LEFT, RIGHT, None))
        assert len(tracker.finish(INFO, 19.0)) == count


def test_frames_between_encoded_ones_have_the_region_of_the_nearest() -> None:
    events = collect(6.0, (1.5, 4.0, 0), every=8)
    assert is_near(events, (1.5, 4.0))
    assert len(events[0].track) == pytest.approx(25, abs=2)
    tracker = EventTracker(EventOptions(), ToneLocalizer(), RATE)
    tracker.add_audio(tones(6.0, (1.0, 5.0, 0)))
    for number in range(60):  # the source moves after 2.4 s; frames are encoded each 0.8 s
        cells = (LEFT if number <= 24 else LOW, RIGHT, None)
        tracker.add(frame(number / 10, {}), None if number % 8 else features(*cells))
    (event,) = tracker.finish(INFO, 6.0)
    rows = dict(zip(event.track.frames.tolist(), (event.track.peaks[:, 1] // 8).tolist(), strict=True))
    assert [rows[number] for number in (24, 27, 29, 32)] == [LEFT[1], LEFT[1], LOW[1], LOW[1]]


def test_a_contour_is_made_of_the_event_s_own_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its left half here; two sources sound at once, and frames have contours of others."""
    images = []

    class LeftHalves:
        def segment_regions(self, image, boxes):
            images.append(image)
            masks = np.zeros((len(boxes), image.height, image.width), bool)
            for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
                mask[y0:y1, x0 : (x0 + x1) // 2] = True
            return [*masks]

    monkeypatch.setitem(FOLLOWERS, "grabcut", lambda *_: LeftHalves())
    events = collect(9.0, (1.0, 7.0, 0), (4.0, 7.0, 1), (4.0, 7.0, 1), colors=(RED, BLUE), contour="grabcut")
    assert is_near(events, (1.0, 7.0), (4.0, 7.0))
    for event in events:
        for (x0, y0, x1, y1), text in zip(event.track.boxes.tolist(), event.track.masks, strict=True):
            mask = decode_mask({"size": [48, 64], "counts": text}, "mask")
            assert bounding_box(mask) == (x0, y0, (x0 + x1) // 2, y1)
    assert len(images) < 60  # key frames alone: 30 of the first, 15 of the second


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
