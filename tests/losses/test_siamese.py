"""Attended sums and SimSiam's loss: written out, at their bounds, and their gradients."""

import pytest
import torch
import torch.nn.functional as F

from soundspot.losses.siamese import attention_weighted_sum, simsiam_loss


def test_a_sum_weighted_by_the_scaled_map_written_out() -> None:
    torch.manual_seed(0)
    grids, maps = torch.randn(2, 3, 4, 2, 5), torch.randn(2, 3, 2, 5)
    one = (maps[1, 2] - maps[1, 2].min()) / (maps[1, 2].max() - maps[1, 2].min() + 1e-10)
    torch.testing.assert_close(attention_weighted_sum(grids, maps)[1, 2], (grids[1, 2] * one).sum(dim=(-2, -1)))
    assert not attention_weighted_sum(grids, torch.ones_like(maps)).any()


def test_both_directions_of_two_views_have_half_each() -> None:
    torch.manual_seed(0)
    z, p = torch.randn(2, 2, 5, 8)
    expected = -0.5 * (F.cosine_similarity(p[0], z[1]).mean() + F.cosine_similarity(p[1], z[0]).mean())
    torch.testing.assert_close(simsiam_loss(z, p), expected)
    assert simsiam_loss(z[:1].expand(3, -1, -1), z[:1].expand(3, -1, -1)).item() == pytest.approx(-1)
    torch.testing.assert_close(simsiam_loss(z[:1], p[:1]), -F.cosine_similarity(p[0], z[0]).mean())


def test_gradients_in_float64() -> None:
    torch.manual_seed(0)
    grids = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    maps = torch.randn(2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(attention_weighted_sum, (grids, maps))
    z = torch.randn(2, 3, 4, dtype=torch.float64)
    p = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: simsiam_loss(z, p), (p,))
    z.requires_grad_()
    simsiam_loss(z, p).backward()
    assert z.grad is None, "what is predicted stands still"
