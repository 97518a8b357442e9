"""One distribution over locations and nowhere."""

import math

import pytest
import torch

from soundspot.losses.locations import location_log_probabilities, location_loss, nowhere_loss

ABSENCE = torch.tensor(0.3)


def test_probabilities_sum_to_one() -> None:
    locations, nowhere = location_log_probabilities(torch.rand(3, 2, 7) * 2 - 1, ABSENCE, 0.07)
    torch.testing.assert_close(locations.exp().sum(dim=-1) + nowhere.exp(), torch.ones(3, 2))


@pytest.mark.parametrize("count", [4, 400])
def test_a_map_of_the_value_of_absence_is_as_likely_visible_as_not(count: int) -> None:
    _, nowhere = location_log_probabilities(torch.full((count,), 0.3), ABSENCE, 0.07)
    assert nowhere.exp().item() == pytest.approx(0.5)


def test_mass_spread_over_the_annotation_costs_nothing_and_beside_it_much() -> None:
    target = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    on = torch.tensor([[0.5, 0.5, 1e-9, 1e-9]]).log()
    assert location_loss(on, target).item() == pytest.approx(0.0, abs=1e-6)
    peaked = torch.tensor([[1 - 1e-6, 1e-6, 1e-9, 1e-9]]).log()
    assert location_loss(peaked, target) > 1
    assert location_loss(on.flip(-1), target) > 10


def test_without_annotation_the_mass_may_lie_anywhere_in_the_image() -> None:
    probabilities = torch.tensor([[0.1, 0.4], [0.2, 0.1]])
    expected = -(math.log(0.5) + math.log(0.3)) / 2
    assert location_loss(probabilities.log(), None).item() == pytest.approx(expected)
    for nothing in (torch.nan, 0.0):
        assert location_loss(probabilities.log(), torch.full((2, 2), nothing)).item() == pytest.approx(expected)
    first = torch.tensor([[0.0, 1.0], [torch.nan, torch.nan]])
    mixed = -(math.log(0.4) + math.log(0.3)) / 2
    assert location_loss(probabilities.log(), first).item() == pytest.approx(mixed)


def test_gradients_are_finite_where_some_are_not_annotated() -> None:
    maps = torch.zeros(2, 3, requires_grad=True)
    target = torch.tensor([[0.0, 1.0, 0.5], [torch.nan] * 3])
    location_loss(location_log_probabilities(maps, ABSENCE, 0.07)[0], target).backward()
    assert maps.grad is not None
    assert bool(torch.isfinite(maps.grad).all())
    assert bool((maps.grad != 0).all())


def test_only_absent_sounds_must_come_from_nowhere() -> None:
    log_nowhere = torch.tensor([[0.5, 0.25], [0.125, 1.0]]).log()
    absent = torch.tensor([[False, True], [True, False]])
    assert nowhere_loss(log_nowhere, absent).item() == pytest.approx((math.log(4) + math.log(8)) / 2)
    assert nowhere_loss(log_nowhere, torch.zeros_like(absent)).item() == 0
