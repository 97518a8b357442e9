"""FNAC's terms: what they compare, and their gradients."""

import pytest
import torch

from soundspot.losses.contrastive import unit_norm
from soundspot.losses.false_negatives import false_negative_losses


def features(b: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return unit_norm(torch.randn(1, b, 5, 3, 2, dtype=torch.float64), dim=2), unit_norm(
        torch.randn(1, b, 5, dtype=torch.float64)
    )


def test_the_terms_written_out_for_one_view() -> None:
    grids, vectors = features()
    maps = torch.einsum("ichw,jc->ijhw", grids[0], vectors[0])
    own = torch.stack([maps[i, i] for i in range(4)]).flatten(1)
    own = (own - own.amin(1, True)) / (own.amax(1, True) - own.amin(1, True) + 1e-5)
    front = (grids[0].flatten(2) * (own > 0.6)[:, None]).sum(-1) / 6
    whole = grids[0].mean((-2, -1))
    pairs, sounds, fronts, inside = (
        torch.softmax(x / 0.03, -1)
        for x in (maps.amax((-2, -1)), vectors[0] @ vectors[0].T, front @ front.T, whole @ whole.T)
    )
    expected = [(a - b).abs().mean().item() for a, b in ((sounds, pairs), (sounds, fronts), (inside, pairs))]
    assert [term.item() for term in false_negative_losses(grids, vectors)] == pytest.approx(expected, rel=1e-9)


def test_views_are_summed() -> None:
    grids, vectors = features()
    once, four = (false_negative_losses(grids.expand(n, -1, -1, -1, -1), vectors.expand(n, -1, -1)) for n in (1, 2))
    assert [x.item() for x in four] == pytest.approx([4 * x.item() for x in once])


def test_gradients() -> None:
    grids, vectors = (x.clone().requires_grad_() for x in features(b=3))
    assert torch.autograd.gradcheck(
        lambda g, a: torch.stack(false_negative_losses(unit_norm(g, dim=2), unit_norm(a), tau=0.5)), (grids, vectors)
    )
