"""The tri-map against its formula, where it would underflow, and its gradients."""

import pytest
import torch

from soundspot.losses.maps import background_mean, foreground_mean, joint_log_probability


@pytest.mark.parametrize("weighted", [foreground_mean, background_mean])
def test_the_formula_written_out(weighted) -> None:
    torch.manual_seed(0)
    maps = torch.rand(2, 3, 50, dtype=torch.float64)
    weights = (
        torch.sigmoid((maps - 0.65) / 0.03) if weighted is foreground_mean else 1 - torch.sigmoid((maps - 0.4) / 0.03)
    )
    expected = (weights * maps).sum(-1) / weights.sum(-1)
    torch.testing.assert_close(weighted(maps), expected)


def test_a_map_far_below_the_threshold_has_a_mean_and_a_gradient() -> None:
    """The weights themselves would all be 0 here, and their mean 0 / 0."""
    maps = torch.linspace(-1, -0.9, 9, requires_grad=True)
    assert torch.sigmoid((maps - 5.0) / 0.03).sum() == 0
    foreground_mean(maps, threshold=5.0).backward()
    assert maps.grad is not None
    assert torch.isfinite(maps.grad).all()


@pytest.mark.parametrize("weighted", [foreground_mean, background_mean])
def test_gradients(weighted) -> None:
    maps = torch.rand(2, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(weighted, (maps,))


def test_which_times_where_written_out() -> None:
    torch.manual_seed(0)
    which, where = torch.randn(2, 1, 3, 3, 5, dtype=torch.float64)
    expected = torch.log((torch.softmax(which, dim=-2) * torch.softmax(where, dim=-1)).sum(-1))
    torch.testing.assert_close(joint_log_probability(which, where), expected)


def test_a_sound_that_is_no_rival_does_not_compete() -> None:
    torch.manual_seed(0)
    which, where = torch.randn(2, 1, 3, 3, 5, dtype=torch.float64)
    rivals = torch.ones(3, 3, dtype=torch.bool)
    rivals[0, 1] = False
    rest = torch.tensor([0, 2])
    expected = joint_log_probability(*(x[:, rest][:, :, rest] for x in (which, where)))
    torch.testing.assert_close(joint_log_probability(which, where, rivals)[0, 0, rest], expected[0, 0])


def test_gradients_of_which_and_where() -> None:
    inputs = [torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(joint_log_probability, inputs)
