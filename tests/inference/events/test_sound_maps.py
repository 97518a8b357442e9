"""Maps of several sounds in the same frames."""

import pytest
import torch

from made_events import ToneLocalizer, features
from soundspot.inference.events import sound_maps
from soundspot.inference.events.sound_maps import SoundMaps


def test_a_relative_map_leaves_out_what_scores_high_whatever_sounds() -> None:
    encoded = torch.full((1, 3, 6, 8), -0.1)
    encoded[0, :, 1, 1] = 0.9  # a place that answers to all tones
    encoded[0, 0, 4, 6] = 0.8  # and one that answers to the first
    maps = SoundMaps(ToneLocalizer(), [encoded, encoded], [*torch.eye(3)], (48, 64))
    assert maps.maps.shape == (3, 2, 6, 8)
    assert maps.maps[0, 0].argmax() == 1 * 8 + 1
    assert maps.relative(0, torch.tensor([True, False]))[0].argmax() == 4 * 8 + 6
    assert maps.similarity(0, 0) == 1
    assert maps.similarity(0, 1) == 0


def test_maps_of_blocks_of_frames_are_those_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [features((n % 6, n % 5), (1, 2), (6, 4)) for n in range(7)]
    maps = SoundMaps(ToneLocalizer(), frames, [*torch.eye(3)], (48, 64)).maps
    sizes = []

    class Counting(ToneLocalizer):
        def maps(self, encoded_images, encoded_audio):
            sizes.append(len(encoded_images))
            return super().maps(encoded_images, encoded_audio)

    monkeypatch.setattr(sound_maps, "BLOCK", 3)
    assert torch.equal(SoundMaps(Counting(), frames, [*torch.eye(3)], (48, 64)).maps, maps)
    assert set(sizes) == {3, 1}


def test_positions_are_compared_in_the_chosen_frames() -> None:
    frames = [features((1, 1), (1, 2), (6, 4))] * 2 + [features((1, 1), (7, 5), (1, 1))] * 2
    maps = SoundMaps(ToneLocalizer(), frames, [*torch.eye(3)], (48, 64))
    early = torch.tensor([True, True, False, False])
    assert maps.is_same_position(0, 1, early)
    assert not maps.is_same_position(0, 1, ~early)
    assert not maps.is_same_position(0, 2, early)
    assert not maps.is_same_position(0, 1, early & ~early)
