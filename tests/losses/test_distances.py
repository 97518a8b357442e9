"""Distance ratio and taught attention: as the papers write them, their bounds, and their gradients."""

import math

import pytest
import torch
import torch.nn.functional as F

from soundspot.losses.distances import (
    attention_cross_entropy,
    distance_ratio_loss,
    margin_pair_loss,
    pairwise_distances,
)


def test_the_ratio_written_out_over_every_other_clip() -> None:
    torch.manual_seed(0)
    visual, sounds = torch.randn(2, 5, 7, dtype=torch.float64)
    each = []
    for i in range(5):
        for j in set(range(5)) - {i}:
            pair = torch.stack([F.pairwise_distance(visual[i], sounds[k], eps=0) for k in (i, j)])
            each.append(((pair.softmax(0) - torch.tensor([0.0, 1.0])) ** 2).mean())
    torch.testing.assert_close(
        distance_ratio_loss(pairwise_distances(visual, sounds).double()), torch.stack(each).mean(), rtol=1e-5, atol=0
    )


def test_what_the_ratio_is_where_nothing_or_everything_is_told_apart() -> None:
    assert distance_ratio_loss(torch.full((3, 3), 4.0)).item() == pytest.approx(0.25)
    told = 50.0 * (1 - torch.eye(3))
    assert distance_ratio_loss(told) < 1e-9
    assert distance_ratio_loss(-told).item() == pytest.approx(1.0)
    assert distance_ratio_loss(torch.stack([told, -told])).item() == pytest.approx(1.0), "summed over views"


def test_a_sound_that_is_alike_does_not_count() -> None:
    apart = torch.tensor([[1.0, 0.0, 3.0], [2.0, 1.0, 2.0], [2.0, 2.0, 1.0]])
    alike = torch.zeros(3, 3, dtype=torch.bool)
    alike[0, 1] = True
    expected = torch.sigmoid(torch.tensor([-2.0, -1.0, -1.0])).square().mean()
    torch.testing.assert_close(distance_ratio_loss(apart, alike), expected)
    assert distance_ratio_loss(apart, torch.ones_like(alike)) == 0


def test_the_margin_written_out_over_every_draw_of_another_picture() -> None:
    """For each sound its own picture and one other, as the release draws it: the mean over all draws."""
    torch.manual_seed(0)
    apart = 6 * torch.rand(4, 4, dtype=torch.float64)
    each = []
    for sound in range(4):
        for other in set(range(4)) - {sound}:
            own, pushed = apart[sound, sound].item(), max(0.0, 5 - apart[other, sound].item())
            each.append((0.5 * own**2 + 0.5 * pushed**2) / 2)
    assert margin_pair_loss(apart).item() == pytest.approx(sum(each) / len(each))
    assert margin_pair_loss(torch.stack([apart, apart])).item() == pytest.approx(2 * sum(each) / len(each))


def test_what_the_margin_costs_at_its_ends_and_who_is_pushed() -> None:
    own = torch.eye(3)
    assert margin_pair_loss(9 * (1 - own)) == 0
    assert margin_pair_loss(torch.zeros(3, 3)).item() == pytest.approx(25 / 4)
    assert margin_pair_loss(torch.zeros(3, 3), margin=2.0).item() == pytest.approx(1)
    alike = torch.zeros(3, 3, dtype=torch.bool)
    alike[0, 1] = True  # sound 1 would do for picture 0: of the others of sound 1, picture 2 is left
    apart = torch.full((3, 3), 5.0) * (1 - own)
    apart[0, 1] = 1.0
    assert margin_pair_loss(apart).item() == pytest.approx((4**2 / 2) / 4 / 3)
    assert margin_pair_loss(apart, false_negatives=alike) == 0
    assert margin_pair_loss(apart, false_negatives=torch.ones_like(alike)) == 0


def test_taught_attention_is_minus_log_of_what_was_marked() -> None:
    logits = torch.zeros(2, 8)
    truth = torch.zeros(2, 8)
    truth[0, :2] = 1
    truth[1] = math.nan
    assert attention_cross_entropy(logits, truth).item() == pytest.approx(2 * math.log(8) / 2), (
        "of two clips one is marked"
    )
    assert attention_cross_entropy(logits, torch.full((2, 8), math.nan)) == 0


def test_gradients_in_float64() -> None:
    torch.manual_seed(0)
    apart, logits = (torch.rand(2, 3, n, dtype=torch.float64, requires_grad=True) for n in (3, 6))
    alike = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.bool)
    truth = torch.rand(2, 3, 6, dtype=torch.float64)
    truth[0, 1] = math.nan
    assert torch.autograd.gradcheck(lambda apart: distance_ratio_loss(apart, alike), (apart,))
    assert torch.autograd.gradcheck(lambda apart: margin_pair_loss(apart, 0.7, alike), (apart,))
    assert torch.autograd.gradcheck(lambda logits: attention_cross_entropy(logits, truth), (logits,))
    visual, sounds = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True).unbind()
    assert torch.autograd.gradcheck(lambda v, s: distance_ratio_loss(pairwise_distances(v, s)), (visual, sounds))
