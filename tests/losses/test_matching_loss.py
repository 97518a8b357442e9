"""Pairs asked one by one: written out, at their bounds, and their gradients."""

import math

import pytest
import torch

from soundspot.losses.classes import matching_loss


def written_out(logits: torch.Tensor, alike: torch.Tensor, cells: int) -> float:
    """One pair of views, in loops."""
    b, h, w = len(logits), *logits.shape[-2:]
    own, others = [], []
    for i in range(b):
        own.append(math.log1p(math.exp(-logits[i, i].max())))
        for j in range(b):
            if i == j or alike[i, j]:
                continue
            parts = [
                logits[i, j, y * h // cells : -(-(y + 1) * h // cells), x * w // cells : -(-(x + 1) * w // cells)].max()
                for y in range(cells)
                for x in range(cells)
            ]
            others.append(sum(math.log1p(math.exp(one)) for one in parts) / len(parts))
    return 0.5 * (sum(own) / b + sum(others) / max(1, len(others)))


@pytest.mark.parametrize("cells", [1, 2, 3])
def test_written_out(cells: int) -> None:
    torch.manual_seed(0)
    logits = 3 * torch.randn(2, 1, 4, 4, 5, 6)
    alike = torch.zeros(4, 4, dtype=torch.bool)
    alike[0, 3] = alike[2, 1] = True
    expected = sum(written_out(logits[view, 0], alike, cells) for view in range(2))
    assert matching_loss(logits, alike, cells).item() == pytest.approx(expected, rel=1e-5)


def test_where_nothing_is_known_it_costs_log_two_and_told_apart_nothing() -> None:
    assert matching_loss(torch.zeros(1, 1, 3, 3, 2, 2)).item() == pytest.approx(math.log(2))
    apart = 80 * torch.eye(3)[None, None, :, :, None, None].expand(-1, -1, -1, -1, 2, 2) - 40
    assert matching_loss(apart).item() == pytest.approx(0, abs=1e-6)


def test_one_clip_has_its_own_pair_alone() -> None:
    assert matching_loss(torch.zeros(1, 1, 1, 1, 2, 2)).item() == pytest.approx(math.log(2) / 2)


def test_gradients_in_float64() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 2, 3, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    alike = torch.eye(3, dtype=torch.bool)
    alike[0, 1] = True
    for cells in (1, 2):
        assert torch.autograd.gradcheck(lambda x, n=cells: matching_loss(x, alike, n), (logits,))
