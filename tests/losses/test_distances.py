"""Distance ratio and taught attention: as the papers write them, their bounds, and their gradients."""

import math

import pytest
import torch
import torch.nn.functional as F

from whence.losses.distances import distance_ratio, distances, taught


def test_the_ratio_written_out_over_every_other_clip() -> None:
    torch.manual_seed(0)
    visual, sounds = torch.randn(2, 5, 7, dtype=torch.float64)
    each = []
    for i in range(5):
        for j in set(range(5)) - {i}:
            pair = torch.stack([F.pairwise_distance(visual[i], sounds[k], eps=0) for k in (i, j)])
            each.append(((pair.softmax(0) - torch.tensor([0.0, 1.0])) ** 2).mean())
    torch.testing.assert_close(
        distance_ratio(distances(visual, sounds).double()), torch.stack(each).mean(), rtol=1e-5, atol=0
    )


def test_what_the_ratio_is_where_nothing_or_everything_is_told_apart() -> None:
    assert distance_ratio(torch.full((3, 3), 4.0)).item() == pytest.approx(0.25)
    told = 50.0 * (1 - torch.eye(3))
    assert distance_ratio(told) < 1e-9
    assert distance_ratio(-told).item() == pytest.approx(1.0)
    assert distance_ratio(torch.stack([told, -told])).item() == pytest.approx(1.0), "summed over views"


def test_a_sound_that_is_alike_does_not_count() -> None:
    apart = torch.tensor([[1.0, 0.0, 3.0], [2.0, 1.0, 2.0], [2.0, 2.0, 1.0]])
    alike = torch.zeros(3, 3, dtype=torch.bool)
    alike[0, 1] = True
    expected = torch.sigmoid(torch.tensor([-2.0, -1.0, -1.0])).square().mean()
    torch.testing.assert_close(distance_ratio(apart, alike), expected)
    assert distance_ratio(apart, torch.ones_like(alike)) == 0


def test_taught_attention_is_minus_log_of_what_was_marked() -> None:
    logits = torch.zeros(2, 8)
    truth = torch.zeros(2, 8)
    truth[0, :2] = 1
    truth[1] = math.nan
    assert taught(logits, truth).item() == pytest.approx(2 * math.log(8) / 2), "of two clips one is marked"
    assert taught(logits, torch.full((2, 8), math.nan)) == 0


def test_gradients_in_float64() -> None:
    torch.manual_seed(0)
    apart, logits = (torch.rand(2, 3, n, dtype=torch.float64, requires_grad=True) for n in (3, 6))
    alike = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.bool)
    truth = torch.rand(2, 3, 6, dtype=torch.float64)
    truth[0, 1] = math.nan
    assert torch.autograd.gradcheck(lambda apart: distance_ratio(apart, alike), (apart,))
    assert torch.autograd.gradcheck(lambda logits: taught(logits, truth), (logits,))
    visual, sounds = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True).unbind()
    assert torch.autograd.gradcheck(lambda v, s: distance_ratio(distances(v, s)), (visual, sounds))
