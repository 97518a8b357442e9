"""Audibility: pauses of a quarter of a second and more, however the sound comes in."""

import numpy as np
import pytest

from soundspot.inference.video.audibility import AudibilityMeter

RATE = 11025


def sound() -> np.ndarray:
    """Noise with a pause from 1 to 2 s and faint noise from 3 s on, of 5 s; two channels."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(-0.5, 0.5, (2, 5 * RATE)).astype(np.float32)
    noise[:, RATE : 2 * RATE] = 0
    noise[:, 3 * RATE :] *= 0.02
    return noise


@pytest.mark.parametrize("length", [5 * RATE, 1000, 7])
def test_pauses_are_those_of_the_sound_in_whatever_pieces_it_comes(length: int) -> None:
    meter, samples = AudibilityMeter(RATE), sound()[:, : None if length > 7 else RATE * 2]
    for start in range(0, samples.shape[1], length):
        meter.add(samples[:, start : start + length])
    assert [meter.is_audible(time) for time in (0.0, 0.5, 0.95, 1.5, 1.8)] == [True, True, True, False, False]
    if length > 7:
        assert [meter.is_audible(time) for time in (2.5, 3.0, 3.5, 4.9)] == [True, True, False, False]


def test_a_faint_sound_is_audible_where_nothing_is_louder() -> None:
    meter = AudibilityMeter(RATE)
    meter.add(sound()[:, 3 * RATE :])
    assert meter.is_audible(1.0)
    silent = AudibilityMeter(RATE)
    silent.add(np.zeros((1, RATE), np.float32))
    assert not silent.is_audible(0.5)
    assert AudibilityMeter(RATE).is_audible(0.0)  # nothing was read
