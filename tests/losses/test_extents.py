"""An extent is learned from annotated images alone, whatever their size, and from nothing for absent sources."""

import pytest
import torch
import torch.nn.functional as F

from soundspot.losses.extents import absence_loss, absence_ranking, extent_loss
from soundspot.losses.negatives import peak_weights

OFFSET, WIDTH = torch.tensor(0.3), torch.tensor(0.1)


def test_it_is_its_formula_over_the_annotated_images() -> None:
    torch.manual_seed(0)
    maps, target = torch.rand(2, 1, 3, 4, 4), torch.rand(2, 1, 3, 4, 4).round()
    target[:, :, 1] = torch.nan
    expected = 0.0
    for v in range(2):
        for i in (0, 2):
            logits, truth = (maps[v, 0, i] - 0.3) / 0.1, target[v, 0, i]
            bce = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
            p = logits.sigmoid()
            dice = (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1)
            expected += (bce[truth == 1].mean() + bce[truth == 0].mean()) / 2 + 1 - dice
    torch.testing.assert_close(extent_loss(maps, target, OFFSET, WIDTH), torch.as_tensor(expected / 2))


def test_images_without_annotation_cost_nothing_and_have_finite_gradients() -> None:
    maps = torch.rand(2, 3, 3, requires_grad=True)
    target = torch.full((2, 3, 3), torch.nan)
    loss = extent_loss(maps, target, OFFSET, WIDTH)
    assert loss.item() == 0
    target[0] = 0.0  # annotated, and empty
    (loss + extent_loss(maps, target, OFFSET, WIDTH)).backward()
    assert maps.grad is not None
    assert (maps.grad[0] > 0).all()
    assert (maps.grad[1] == 0).all()


def test_small_and_large_sources_weigh_the_same() -> None:
    small, large = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    small[0, :1, :1], large[0, :6, :6] = 1, 1
    right = [extent_loss(truth, truth, OFFSET, WIDTH).item() for truth in (small, large)]
    wrong = [extent_loss(0.6 - truth, truth, OFFSET, WIDTH).item() for truth in (small, large)]
    assert max(right) < 0.6
    assert wrong[0] == pytest.approx(wrong[1], rel=0.2)


def test_absence_is_cross_entropy_with_nothing() -> None:
    torch.manual_seed(0)
    maps, is_negative = torch.rand(2, 2, 3, 3), torch.tensor([[True, False], [True, True]])
    losses = F.softplus((maps[is_negative] - 0.3) / 0.1).flatten(1)
    expected = (losses.mean() + (peak_weights(maps[is_negative]) * losses).sum(dim=-1).mean()) / 2
    torch.testing.assert_close(absence_loss(maps, is_negative, OFFSET, WIDTH), expected)
    assert absence_loss(maps, torch.zeros_like(is_negative), OFFSET, WIDTH).item() == 0


def test_a_peak_costs_more_than_the_same_spread_out() -> None:
    """Presence is told by the peak: one cell must not hide in the mean of many."""
    peak, flat = torch.zeros(1, 1, 20, 20), torch.full((1, 1, 20, 20), 0.6 / 400)
    peak[0, 0, 3, 4] = 0.6
    is_negative = torch.ones(1, 1, dtype=torch.bool)
    assert absence_loss(peak, is_negative, OFFSET, WIDTH) > 2 * absence_loss(flat, is_negative, OFFSET, WIDTH)


def test_the_ranking_of_absent_sounds_wants_the_object_below_the_rest() -> None:
    target = torch.zeros(3, 2, 2)
    target[0, 0], target[1] = 1.0, torch.nan
    target[2] = 1.0  # nothing is beside it
    on, beside = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    on[0, 0, 0], beside[0, 0, 1] = 0.2, 0.2
    used = torch.ones(1, 3, dtype=torch.bool)
    expected = torch.nn.functional.softplus(torch.tensor(0.2) / WIDTH)
    torch.testing.assert_close(absence_ranking(on, used, target, WIDTH), expected)
    assert absence_ranking(beside, used, target, WIDTH) < absence_ranking(on, used, target, WIDTH)
    assert absence_ranking(on, ~used, target, WIDTH).item() == 0
