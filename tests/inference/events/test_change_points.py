"""Change points of a sound."""

import numpy as np

from made_events import RATE, tones
from soundspot.inference.events.change_points import band_levels, find_change_points


def test_a_sound_changes_where_another_begins_joins_and_ends() -> None:
    waveform = tones(8.0, (1.0, 3.0, 0), (3.0, 6.0, 1), (4.5, 6.0, 2))
    points = find_change_points(band_levels(waveform, RATE))
    assert np.allclose(points, [10, 30, 45, 60], atol=1)


def test_levels_are_of_full_scale_and_short_pauses_are_leveled() -> None:
    levels = band_levels(tones(4.0, (0.0, 2.0, 0), (2.6, 4.0, 0)), RATE)
    assert levels.shape[0] == 40
    assert levels[20:26].max(axis=1).min() > -70  # a pause of 0.6 s
    assert -60 < levels.max() < -30  # a sine of 0.02 in a band of several frequencies
    assert band_levels(np.zeros(RATE, np.float32), RATE).max() < -100
    assert find_change_points(levels) == []
    assert len(find_change_points(band_levels(tones(5.0, (0.0, 2.0, 0), (3.2, 5.0, 0)), RATE))) == 2


def test_a_rate_of_few_bands_and_a_sound_of_no_bin_have_levels() -> None:
    assert band_levels(np.zeros(4000, np.float32), 2000).shape[0] == 20
    assert find_change_points(band_levels(np.zeros(10, np.float32), RATE)) == []
