"""A threshold from labeled peaks: what it keeps is what is expected of it."""

import math

import pytest
import torch

from soundspot.evaluation.functional.thresholds import (
    best_thresholds,
    expected_scores,
    fit_logistic_map,
    leave_one_out,
    scores_at,
)

POPULATION = torch.tensor([0.9] + [0.5] * 10, dtype=torch.float64)
LOGISTIC = torch.tensor([[100.0, -50.0 + math.log(4)]], dtype=torch.float64)  # 0.8 at 0.5, and 1 at 0.9


def test_equal_peaks_are_taken_together() -> None:
    """A part of the tied peaks would reach a precision of 0.85, and all of them 0.82."""
    assert expected_scores(POPULATION, LOGISTIC)[1][0, 2] > 0.85 > scores_at(0.5, POPULATION, LOGISTIC[0])["precision"]
    assert best_thresholds(POPULATION, LOGISTIC, 0.85).tolist() == [0.9]
    assert best_thresholds(POPULATION, LOGISTIC, 0.8).tolist() == [0.5]
    assert best_thresholds(POPULATION, LOGISTIC).tolist() == [0.5]


def test_no_threshold_is_precise_enough() -> None:
    never = torch.tensor([[0.0, 0.0]], dtype=torch.float64)
    assert best_thresholds(POPULATION, never, 0.9).tolist() == [0.9]


def test_a_weight_of_two_is_a_label_twice() -> None:
    peaks, present = torch.tensor([0.1, 0.4, 0.6, 0.9]), torch.tensor([False, True, False, True])
    weighted = fit_logistic_map(torch.cat([peaks, peaks]), present.repeat(2), torch.ones(1, 8))
    doubled = fit_logistic_map(peaks, present, torch.full((1, 4), 2.0))
    torch.testing.assert_close(weighted, doubled)


def test_a_label_is_predicted_by_the_others_alone() -> None:
    peaks, present = torch.linspace(0, 1, 6), torch.tensor([False, False, False, True, True, True])
    weights = torch.ones(6)
    before = leave_one_out(peaks, present, weights)
    flipped = present.clone()
    flipped[0] = True
    assert leave_one_out(peaks, flipped, weights)[0] == pytest.approx(before[0])
    assert leave_one_out(peaks, flipped, weights)[1] > before[1]
