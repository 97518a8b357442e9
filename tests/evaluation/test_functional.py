"""Small facts about the scores that a reader would doubt."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from soundspot.evaluation import functional as F


def drawn(seed: int, soft: bool = False, n: int = 7) -> tuple[Tensor, Tensor]:
    """Predictions and truths (0, 0.5 and 1 where soft), some of them empty."""
    draw = torch.Generator().manual_seed(seed)
    preds = torch.rand(n, 4, 5, generator=draw) > torch.rand(n, 1, 1, generator=draw)
    truths = torch.rand(n, 4, 5, generator=draw) > torch.rand(n, 1, 1, generator=draw)
    preds[0] = truths[0] = truths[1] = preds[2] = False
    return preds, (truths * torch.randint(1, 3, (n, 4, 5), generator=draw) / 2 if soft else truths)


def test_iou_counts_spill_only_where_the_truth_is_nothing() -> None:
    truth = torch.tensor([[[1.0, 0.5], [0.0, 0.0]]])
    pred = torch.tensor([[[True, True], [True, False]]])
    assert F.iou(pred, truth).item() == 1.5 / 2.5
    assert F.iou(~pred, torch.zeros_like(truth)).item() == 0
    assert math.isnan(F.iou(torch.zeros_like(pred), torch.zeros_like(truth)).item())


def test_auc_on_its_own_thresholds() -> None:
    """The released products 0.05 * k exceed 0.15, 0.3, 0.35... by a hair, so an IoU of exactly that misses them."""
    assert F.auc(torch.tensor([0.0]), "float").item() == pytest.approx(0.025)
    assert F.auc(torch.tensor([1.0])).item() == pytest.approx(1)
    exactly = torch.tensor([0.15], dtype=torch.float64)
    assert F.auc(exactly, "integer").item() == pytest.approx(F.auc(exactly, "float").item() + 0.05)


def test_a_group_with_nan_is_nan() -> None:
    worst = F.worst_of_groups(torch.tensor([0.6, math.nan, 0.7, 0.2]), torch.tensor([4, 4, 9, 9]))
    assert worst.isnan().tolist() == [True, False]
    assert F.group_success(worst).isnan().tolist() == [True, False]
    assert F.success_rate(torch.tensor([math.nan, 0.5])).item() == 0.5


def test_recall_by_category_and_its_chance() -> None:
    torch.manual_seed(0)
    labels = torch.randint(0, 5, (300,))
    relevant = labels[:, None] == labels[None, :]
    random = torch.rand(300, 300)
    for k in (1, 5, 10):
        chance = F.chance_recall(relevant.sum(dim=1), 300, k).mean().item()
        assert F.recall_at(random, relevant, k).item() == pytest.approx(chance, abs=0.06)
    assert F.recall_at(relevant.float(), relevant).item() == 1
    assert F.chance_recall(torch.tensor([3]), 3, 1).item() == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_iou_pixel_by_pixel(seed: int, soft: bool) -> None:
    preds, truths = drawn(seed, soft)
    got = F.iou(preds, truths)
    for value, pred, truth in zip(got.tolist(), preds.flatten(1).tolist(), truths.flatten(1).tolist(), strict=True):
        hit = sum(t for p, t in zip(pred, truth, strict=True) if p)
        union = sum(truth) + sum(p and t == 0 for p, t in zip(pred, truth, strict=True))
        assert value == pytest.approx(hit / union if union else math.nan, nan_ok=True)
    assert bool((got[~got.isnan()] <= 1).all())
    order = torch.randperm(len(preds), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(F.iou(preds[order], truths[order]).nan_to_num(-1), got[order].nan_to_num(-1))
    parts = torch.cat([F.iou(*few) for few in zip(preds.split(2), truths.split(2), strict=True)])
    torch.testing.assert_close(parts, got, rtol=0, atol=0, equal_nan=True)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=30), st.integers(0, 10**6))
def test_rates_areas_and_groups_of_a_list(fortieths: list[int], seed: int) -> None:
    """Written out with exact fractions; half of the values lie on thresholds. In any order."""
    values = torch.tensor(fortieths, dtype=torch.float64) / 40
    groups = torch.randint(0, 6, (len(fortieths),), generator=torch.Generator().manual_seed(seed))
    weight = [0.025, *[0.05] * 19, 0.025]
    areas = [sum(w for k, w in enumerate(weight) if value >= 2 * k) for value in fortieths]
    assert F.success_rate(values).item() == pytest.approx(np.mean([value >= 20 for value in fortieths]))
    assert F.auc_terms(values).tolist() == pytest.approx(areas)
    assert 0.025 - 1e-12 <= F.auc(values, "float") <= F.auc(values) + 1e-12 <= 1 + 2e-12
    names = sorted(set(groups.tolist()))
    members = [[v for v, g in zip(fortieths, groups.tolist(), strict=True) if g == name] for name in names]
    worst = F.worst_of_groups(values, groups)
    assert worst.tolist() == [min(some) / 40 for some in members]
    assert F.group_sizes(groups).tolist() == [len(some) for some in members]
    assert F.group_success(worst).tolist() == [float(min(some) >= 20) for some in members]
    torch.testing.assert_close(F.group_auc_terms(worst), F.auc_terms(worst))
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(F.worst_of_groups(values[order], groups[order]), worst)
    torch.testing.assert_close(F.auc(values[order]), F.auc(values))
    assert F.success_rate(values[order]) == F.success_rate(values)


def test_published_and_corrected_areas_agree_between_the_thresholds() -> None:
    values = (torch.arange(20, dtype=torch.float64) + 0.5) / 20
    torch.testing.assert_close(F.auc_terms(values, "float"), F.auc_terms(values))
    assert F.auc_terms(torch.tensor([math.nan])).item() == 0
