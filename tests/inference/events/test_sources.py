"""Links between the segments of a sound."""

import numpy as np
import pytest

from soundspot.inference.events.sources import Segment, SoundSource, is_silent, link_segments

A, B, MIXED = 0, 1, 2
LOUD, QUIET = -20.0, -100.0
LEVELS = {A: (LOUD, QUIET), B: (QUIET, LOUD), MIXED: (LOUD, LOUD), None: (QUIET, QUIET)}


def link(*sounds: int | None, cosines: dict | None = None, min_pause: float = 0.9) -> list[tuple[float, float]]:
    """Spans of the sources of a sound whose segments last a second."""
    levels = np.repeat([LEVELS[sound] for sound in sounds], 10, axis=0)
    segments = [Segment(0, 1), *(Segment(10 * n, 10 * n + 10) for n in range(len(sounds)))]
    rows = {n + 1: n for n, sound in enumerate(sounds) if sound is not None}

    def similarity(first: int, second: int) -> float:
        return float(sounds[first] == sounds[second]) if cosines is None else cosines[first, second]

    ended, active = link_segments(
        levels, segments, rows, [], 5.0, min_pause, similarity, lambda first, second, segment: False
    )
    return sorted((source.start, source.end) for source in (*ended, *active))


@pytest.mark.parametrize(
    ("sounds", "spans"),
    [
        ((A, A), [(5, 7)]),
        ((A, B), [(5, 6), (6, 7)]),
        ((A, None, A), [(5, 6), (7, 8)]),
        ((A, MIXED), [(5, 7), (6, 7)]),
        ((A, MIXED, None), [(5, 7), (6, 7)]),
        ((A, MIXED, A), [(5, 8), (6, 7)]),
        ((None, None), []),
    ],
)
def test_sources_go_on_end_and_join(sounds: tuple, spans: list[tuple[float, float]]) -> None:
    assert link(*sounds) == spans


def test_a_short_silence_is_bridged() -> None:
    assert link(A, None, A, min_pause=2.0) == [(5, 8)]
    assert link(A, None, None, A, min_pause=2.0) == [(5, 6), (8, 9)]  # two silent segments are one pause
    assert link(A, None, None, A, min_pause=2.1) == [(5, 9)]


def test_a_pause_goes_on_from_the_block_before() -> None:
    source, levels = SoundSource(0.0, 4.5, 0, 4.5), np.full((20, 2), QUIET)
    segments = [Segment(0, 10), Segment(10, 15), Segment(15, 20)]
    for min_pause, is_over in ((1.0, True), (1.6, False)):
        ended, _ = link_segments(levels, segments, {}, [source], 4.0, min_pause, lambda a, b: 1.0, lambda a, b, s: True)
        assert (ended == [source]) == is_over


def test_a_silent_segment_is_so_beside_the_loudest() -> None:
    levels = np.repeat([[-20.0], [-65.0], [-50.0]], 10, axis=0)
    assert [is_silent(levels, Segment(n, n + 10), -20.0) for n in (0, 10, 20)] == [False, True, False]
    assert is_silent(levels, Segment(20, 30), -5.0)  # beside a louder moment of another block
    assert is_silent(np.full((10, 2), -80.0), Segment(0, 10), -80.0)


def test_a_source_has_the_sound_of_its_longest_pure_segment() -> None:
    levels = np.repeat([LEVELS[A], LEVELS[A]], 10, axis=0)
    source = SoundSource(4.0, 5.0, 0, 0.5)
    _, (after,) = link_segments(
        levels, [Segment(0, 10), Segment(10, 20)], {1: 1}, [source], 4.0, 0.9, lambda a, b: 1.0, lambda a, b, s: True
    )
    assert (after is source, after.row, after.seconds, after.end) == (True, 1, 1.0, 6.0)
