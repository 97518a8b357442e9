"""Small facts about the scores that a reader would doubt."""

import math

import pytest
import torch

from whence.evaluation import functional as F


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


def test_confidence_is_the_mean_of_the_top_quarter() -> None:
    assert F.confidence(torch.arange(16.0).view(1, 4, 4)).item() == 13.5
