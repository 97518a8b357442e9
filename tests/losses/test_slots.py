"""Losses of slots against formulas written out, their gradients, and their limits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundspot.errors import RecipeError
from soundspot.losses.contrastive import unit_norm
from soundspot.losses.slots import attention_matching_loss, divergence_loss, reciprocal_neighbors, reconstruction_loss


def vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    return unit_norm(torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


@settings(max_examples=25, deadline=None)
@given(b=st.integers(1, 9), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_reciprocal_neighbours_are_the_rule_written_out(b: int, share: float, seed: int) -> None:
    k = 1 + round(share * (b - 1))
    pictures, sounds = vectors(b, 5, seed=seed), vectors(b, 5, seed=seed + 100)
    near = [[set((x @ x.T)[i].argsort(descending=True)[:k].tolist()) for i in range(b)] for x in (pictures, sounds)]
    both = [near[0][i] & near[1][i] for i in range(b)]
    expected = [[i != j and j in both[i] and i in both[j] for j in range(b)] for i in range(b)]
    found = reciprocal_neighbors(pictures, sounds, k)
    assert found.tolist() == expected
    assert (found == found.T).all()
    if k in (1, b):
        assert int(found.sum()) == (0 if k == 1 else b * (b - 1))


def test_more_neighbours_than_clips_is_a_recipes_mistake() -> None:
    with pytest.raises(RecipeError, match=r"method.k: found 20, expected at most .* this one holds 8; lower method.k"):
        reciprocal_neighbors(vectors(8, 4), vectors(8, 4))


def test_neighbours_get_no_gradient() -> None:
    assert not reciprocal_neighbors(vectors(4, 3).requires_grad_(), vectors(4, 3), 2).requires_grad


def test_divergence_written_out_and_its_limits() -> None:
    slots = vectors(3, 4, 5)
    expected = sum(
        max(0.0, float(slots[i, s] @ slots[i, t])) for i in range(3) for s in range(4) for t in range(4) if s != t
    )
    assert divergence_loss(slots).item() == pytest.approx(expected / (3 * 4 * 3), rel=1e-12)
    assert divergence_loss(slots[:, :1].expand(-1, 3, -1)).item() == pytest.approx(1.0)
    assert divergence_loss(torch.eye(4)[None]).item() == 0.0
    assert divergence_loss(slots[:, :1]).item() == 0.0, "a single slot has nothing to differ from"


def test_gradients() -> None:
    slots = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    fixed = torch.randn(2, 3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: divergence_loss(unit_norm(x)), slots)
    assert torch.autograd.gradcheck(lambda x: reconstruction_loss(x, fixed), slots)
    assert torch.autograd.gradcheck(lambda x: attention_matching_loss(x, fixed[0]), fixed[1].clone().requires_grad_())


@pytest.mark.parametrize("loss", [reconstruction_loss, attention_matching_loss])
def test_what_is_aimed_at_gets_no_gradient(loss) -> None:
    shape = (2, 3, 4) if loss is reconstruction_loss else (2, 3)
    one, two = (torch.randn(shape, requires_grad=True) for _ in range(2))
    loss(one, two).backward()
    assert one.grad is not None
    assert two.grad is None
    assert loss(one, one).item() == 0.0


def test_zero_vectors_have_zero_gradients_and_not_nan() -> None:
    zero = torch.zeros(2, 2, 4, requires_grad=True)
    divergence_loss(unit_norm(zero)).backward()
    assert zero.grad is not None
    assert bool(zero.grad.isfinite().all())
