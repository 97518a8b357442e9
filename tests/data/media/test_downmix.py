"""No channel is lost in mono, and what a layout says of its channels decides their weights."""

import av
import numpy as np
import pytest

from soundspot.data.media.downmix import cancellation_notes, describe_channels, downmix, iter_mono

RATE = 100
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE).astype(np.float32)


@pytest.mark.parametrize("name", ["stereo", "2.1", "3.0", "quad", "5.0", "5.1", "7.1", "6 channels", "8 channels"])
def test_a_source_in_one_channel_is_heard(name: str) -> None:
    layout = describe_channels(av.AudioLayout(name), is_b_format=False)
    for channel in range(len(layout.weights)):
        samples = np.zeros((len(NOISE), len(layout.weights)), np.float32)
        samples[:, channel] = NOISE
        level = np.sqrt(np.square(downmix(samples, layout, RATE)[0]).mean() / np.square(NOISE).mean())
        assert 0.35 < level < 1.01, (name, channel)


@pytest.mark.parametrize(("name", "b_format"), [("ambisonic 1", False), ("ambisonic 2", False), ("4 channels", True)])
def test_a_sound_field_is_as_loud_from_everywhere(name: str, b_format: bool) -> None:
    layout = describe_channels(av.AudioLayout(name), is_b_format=b_format)
    field = np.zeros((len(NOISE), len(layout.weights)), np.float32)
    field[:, 0] = NOISE * (np.sqrt(0.5) if b_format else 1)
    for channel in range(1, 4):
        for sign in (1, -1):
            directed = field.copy()
            directed[:, channel] = sign * NOISE
            assert np.abs(downmix(directed, layout, RATE)[0] - NOISE).max() < 1e-6
    assert layout.player_layout == "mono"


def test_a_stream_is_mixed_as_the_whole_whatever_its_chunks() -> None:
    layout = describe_channels(av.AudioLayout("stereo"), is_b_format=False)
    samples = np.stack([NOISE, np.where(np.arange(len(NOISE)) < RATE, -NOISE, NOISE)], axis=1)
    whole, num_canceled = downmix(samples, layout, RATE)
    assert num_canceled == RATE
    assert np.array_equal(whole, NOISE)
    for size in (1, 7, 100, 250):
        chunks = ((start, samples[start : start + size]) for start in range(0, len(samples), size))
        mixed = list(iter_mono(chunks, layout, RATE))
        assert [position for position, _ in mixed] == list(np.cumsum([0, *(len(mono) for _, mono in mixed[:-1])]))
        assert np.array_equal(np.concatenate([mono for _, mono in mixed]), whole)
    quarter = RATE // 4
    behind = ((start, samples[start : start + 30]) for start in range(30, len(samples), 30))  # after a seek
    position, mono = next(iter_mono(behind, layout, RATE))
    assert position == 2 * quarter
    assert np.array_equal(mono, whole[position : position + len(mono)])


def test_a_weak_source_does_not_hide_a_loud_one_of_opposite_phase() -> None:
    """Opposite phase 11 dB above what is in phase, and a channel that changes its phase on the way."""
    layout = describe_channels(av.AudioLayout("stereo"), is_b_format=False)
    loud, weak = NOISE, 0.28 * np.roll(NOISE[::-1], 7)
    mono, num_canceled = downmix(np.stack([weak + loud, weak - loud], axis=1), layout, RATE)
    assert np.abs(np.corrcoef(mono, loud)[0, 1]) > 0.5
    assert num_canceled == len(NOISE)
    assert "cancel each other for 3.0 s" in cancellation_notes(num_canceled, RATE)[0]
    flipped = NOISE * np.where(np.arange(len(NOISE)) < 1.5 * RATE, -1, 1)
    mono, _ = downmix(np.stack([NOISE, flipped.astype(np.float32)], axis=1), layout, RATE)
    assert np.array_equal(mono, NOISE)
