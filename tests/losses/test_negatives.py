"""Own peaks rise above those of silence, noise and off-screen sounds, in all images at once."""

import math

import pytest
import torch
import torch.nn.functional as F

from soundspot.losses.negatives import negative_audio_nce, soft_peak


def test_a_soft_peak_lies_between_mean_and_maximum_in_units_of_the_map() -> None:
    torch.manual_seed(0)
    maps = torch.rand(5, 4, 6)
    peaks = soft_peak(maps)
    assert (peaks > maps.mean((-2, -1))).all()
    assert (peaks < maps.amax((-2, -1))).all()
    torch.testing.assert_close(soft_peak(1e-3 * maps + 2), 1e-3 * peaks + 2)
    torch.testing.assert_close(soft_peak(maps, 1e6), maps.amax((-2, -1)))
    assert soft_peak(torch.full((1, 2, 2), 0.3)).item() == pytest.approx(0.3)


def test_it_is_infonce_over_the_negatives_of_all_images() -> None:
    torch.manual_seed(0)
    own, negatives = torch.rand(3, 4, 4), torch.rand(2, 3, 4, 4)
    is_negative = torch.tensor([[True, True, True], [True, False, True]])
    others = soft_peak(negatives)[is_negative] / 0.1
    logits = torch.cat([soft_peak(own)[:, None] / 0.1, others.expand(3, -1)], 1)
    expected = F.cross_entropy(logits, torch.zeros(3, dtype=torch.long))
    torch.testing.assert_close(negative_audio_nce(own, negatives, is_negative, 0.1), expected)
    alike = negative_audio_nce(torch.ones(3, 2, 2), torch.ones(2, 3, 2, 2), is_negative)
    assert alike.item() == pytest.approx(math.log(6))
    assert negative_audio_nce(own, negatives, torch.zeros_like(is_negative)).item() == 0


def test_gradients() -> None:
    torch.manual_seed(0)
    own, negatives = (torch.rand(*shape, 2, 2, dtype=torch.float32, requires_grad=True) for shape in ((3,), (2, 3)))
    negative_audio_nce(own, negatives, torch.ones(2, 3, dtype=torch.bool)).backward()
    assert own.grad is not None
    assert negatives.grad is not None
    assert (own.grad <= 0).all()
    assert (negatives.grad >= 0).all()
