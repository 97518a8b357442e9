"""The draw: spread over the range of peaks, by a seed, and further draws that keep what was drawn."""

import numpy as np

from soundspot.review.draw import NUM_STRATA, assign_strata, draw_moments


def test_rare_high_peaks_are_drawn_as_often_as_frequent_low_ones() -> None:
    peaks = np.concatenate([np.linspace(0, 0.5, 950), np.linspace(0.5, 1, 50)])
    drawn = draw_moments(peaks, np.arange(1000), 50)
    assert len(set(drawn)) == 50
    counts = np.bincount(assign_strata(peaks)[drawn], minlength=NUM_STRATA)
    assert counts.tolist() == [5] * NUM_STRATA
    assert len(set(assign_strata(peaks)[drawn[:NUM_STRATA]])) == NUM_STRATA  # and so is any beginning of them


def test_a_seed_decides_and_a_second_draw_adds() -> None:
    peaks = np.random.default_rng(0).normal(size=300)
    files = np.arange(300) // 10
    first = draw_moments(peaks, files, 30, seed=3)
    assert first == draw_moments(peaks, files, 30, seed=3) != draw_moments(peaks, files, 30, seed=4)
    more = draw_moments(peaks, files, 50, seed=3, drawn=first)
    assert len(more) == 20
    assert not set(more) & set(first)
    assert draw_moments(peaks, files, 20, drawn=first) == []


def test_few_moments_are_all_drawn_and_equal_peaks_are_no_error() -> None:
    assert sorted(draw_moments(np.array([0.1, 0.5, 0.2]), np.arange(3), 60)) == [0, 1, 2]
    assert sorted(draw_moments(np.full(4, 0.3), np.arange(4), 60)) == [0, 1, 2, 3]
    assert draw_moments(np.array([]), np.array([], np.int64), 60) == []


def test_a_long_file_has_no_more_clips_than_short_ones() -> None:
    """Nine recordings of twenty moments, one of two thousand, all over the range of peaks."""
    files = np.concatenate([np.repeat(np.arange(9), 20), np.full(2000, 9)])
    peaks = np.random.default_rng(1).random(len(files))
    drawn = draw_moments(peaks, files, 50)
    assert np.bincount(assign_strata(peaks)[drawn]).tolist() == [5] * NUM_STRATA
    assert np.bincount(files[drawn]).max() <= 7
    more = draw_moments(peaks, files, 100, drawn=drawn)
    assert np.bincount(files[drawn + more]).max() <= 13
