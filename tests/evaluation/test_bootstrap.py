"""Intervals cover what they should, respect groups, and take no time."""

import time

import pytest
import torch

from whence.evaluation import functional as F
from whence.evaluation import tallies
from whence.evaluation.bootstrap import auroc_interval, group_weights, intervals
from whence.evaluation.protocols import PROTOCOLS
from whence.evaluation.tallies import Tally


def test_values_are_those_of_the_functions() -> None:
    draw = torch.Generator().manual_seed(0)
    iou, adaptive = torch.rand(2, 60, dtype=torch.float64, generator=draw)
    groups = torch.arange(60) // 3
    found = intervals(
        tallies.localisation(iou, adaptive, groups, PROTOCOLS["corrected"]), group_weights(20, draws=200, seed=1)
    )
    assert found["ciou"].value == F.success_rate(iou).item()
    assert found["auc_adaptive"].value == pytest.approx(F.auc(adaptive).item())
    assert found["mean_iou"].value == pytest.approx(F.mean_iou(iou).item())
    worst = F.worst_of_groups(iou, groups)
    assert found["iiou"].value == pytest.approx(F.success_rate(worst).item())
    for interval in found.values():
        assert interval.low <= interval.value <= interval.high


def test_the_interval_of_a_mean_is_that_of_statistics() -> None:
    values = torch.randn(400, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = intervals({"x": Tally(values, torch.arange(400))}, group_weights(400, draws=4000))["x"]
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * values.std().item() / 20, rel=0.08)


def test_copies_of_a_sample_in_its_group_add_no_certainty() -> None:
    values = torch.rand(50, generator=torch.Generator().manual_seed(0))
    weights = group_weights(50, draws=500)
    once = intervals({"x": Tally(values, torch.arange(50))}, weights)["x"]
    thrice = intervals({"x": Tally(values.repeat(3), torch.arange(50).repeat(3))}, weights)["x"]
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=1e-6)


def test_auroc() -> None:
    present, absent = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([1.0, 0.0])
    found = auroc_interval(present, absent, torch.arange(3), torch.arange(3, 5), group_weights(5, draws=300))
    assert found.value == pytest.approx(5.5 / 6)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_no_draws_no_interval() -> None:
    found = intervals({"x": Tally(torch.ones(3), torch.arange(3))}, group_weights(3, draws=0))["x"]
    assert found.value == 1
    assert found.low != found.low


def test_five_thousand_samples_take_less_than_two_seconds() -> None:
    iou, adaptive = torch.rand(2, 5000, dtype=torch.float64)
    scores = tallies.localisation(iou, adaptive, torch.arange(5000) // 2, PROTOCOLS["corrected"])
    start = time.process_time()
    intervals(scores, group_weights(2500, draws=1000))
    assert time.process_time() - start < 2 * torch.get_num_threads()
