"""Intervals cover what they should and respect groups."""

import pytest
import torch
from inputs import score_columns

from soundspot.evaluation import functional as F
from soundspot.evaluation.metrics.bootstrap import (
    GroupedMean,
    GroupWeights,
    RankStatistic,
    compute_difference,
    compute_intervals,
    resample_scores,
)
from soundspot.evaluation.metrics.presence import compute_auroc
from soundspot.evaluation.protocols.presets import PROTOCOLS


def test_values_are_those_of_the_functions() -> None:
    draw = torch.Generator().manual_seed(0)
    iou, adaptive = torch.rand(2, 60, dtype=torch.float64, generator=draw)
    groups = torch.arange(60) // 3
    columns = {"iou": iou, "iou_adaptive": adaptive}
    made = score_columns(PROTOCOLS["corrected"], columns, groups)
    found = compute_intervals(made, GroupWeights(20, num_draws=200, seed=1))
    assert found["ciou"].value == F.success_rate(iou).item()
    assert found["auc_adaptive"].value == pytest.approx(F.auc(adaptive).item())
    assert found["mean_iou"].value == pytest.approx(F.mean_iou(iou).item())
    worst = F.worst_of_groups(iou, groups)
    assert found["iiou"].value == pytest.approx(F.success_rate(worst).item())
    for interval in found.values():
        assert interval.low <= interval.value <= interval.high


def test_the_interval_of_a_mean_is_that_of_statistics() -> None:
    values = torch.randn(400, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = compute_intervals({"x": GroupedMean(values, torch.arange(400))}, GroupWeights(400, num_draws=4000))["x"]
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * values.std().item() / 20, rel=0.08)


def test_copies_of_a_sample_in_its_group_add_no_certainty() -> None:
    values = torch.rand(50, generator=torch.Generator().manual_seed(0))
    weights = GroupWeights(50, num_draws=500)
    once = compute_intervals({"x": GroupedMean(values, torch.arange(50))}, weights)["x"]
    thrice = compute_intervals({"x": GroupedMean(values.repeat(3), torch.arange(50).repeat(3))}, weights)["x"]
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=1e-6)


def test_auroc() -> None:
    values, positive = torch.tensor([3.0, 1.0, 2.0, 0.0, 1.0]), torch.tensor([True, False, True, False, True])
    score = RankStatistic(lambda counts: compute_auroc(values, positive, counts), torch.arange(5))
    found = compute_intervals({"x": score}, GroupWeights(5, num_draws=300))["x"]
    assert found.value == pytest.approx(5.5 / 6)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize("seed", range(3))
def test_draws_are_scores_of_repeated_samples(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    groups = torch.arange(40) // 2
    confidence, iou = torch.rand(2, 40, dtype=torch.float64, generator=draw)
    present = torch.rand(40, generator=draw) > 0.4
    weights = GroupWeights(20, num_draws=3, seed=seed)
    for protocol in (PROTOCOLS["corrected"], PROTOCOLS["slavc"]):
        made = score_columns(protocol, {"iou": iou}, groups)
        made |= score_columns(protocol, {"iou": iou}, groups, present, confidence, ("presence", "detections"))
        assert {"ciou", "auc", "iiou", "ap", "max_f1", "loc_acc", "presence_auroc"} <= made.keys()
        for weight, *drawn in zip(torch.cat([*weights]), *resample_scores(made, weights).values(), strict=True):
            times = weight.long()[groups]
            repeat = torch.repeat_interleave
            many = [repeat(some, times) for some in (confidence, iou, present)]
            again = torch.arange(len(many[0]))  # groups told apart, so that group scores have copies of groups
            for name, found in zip(made, drawn, strict=True):
                if name in ("ap", "max_f1", "loc_acc", "presence_auroc"):
                    wanted = score_columns(protocol, {"iou": many[1]}, again, many[2], many[0])[name].value
                elif name in ("ciou", "auc", "mean_iou"):
                    wanted = score_columns(protocol, {"iou": many[1]}, again)[name].value
                else:
                    worst = repeat(F.worst_of_groups(iou, groups), weight.long())
                    terms = F.group_success(worst) if name == "iiou" else F.group_auc_terms(worst, protocol.auc_grid)
                    wanted = terms.mean().item()
                assert found.item() == pytest.approx(wanted, abs=1e-6), name


def test_a_difference_of_equals_is_nothing() -> None:
    values = torch.rand(30, generator=torch.Generator().manual_seed(0))
    one, shifted = GroupedMean(values, torch.arange(30)), GroupedMean(values + 0.1, torch.arange(30))
    same = compute_difference(one, one, GroupWeights(30, num_draws=100))
    assert (same.value, same.low, same.high) == (0, 0, 0)
    gap = compute_difference(shifted, one, GroupWeights(30, num_draws=100))
    assert (gap.low, gap.high) == pytest.approx((0.1, 0.1), abs=1e-6)


def test_no_draws_no_interval() -> None:
    found = compute_intervals({"x": GroupedMean(torch.ones(3), torch.arange(3))}, GroupWeights(3, num_draws=0))["x"]
    assert found.value == 1
    assert found.low != found.low
