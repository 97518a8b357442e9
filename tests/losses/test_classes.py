"""Cross-entropy with soft and missing labels, and with a teacher's classes: written out, at their bounds, gradients."""

import math

import pytest
import torch
import torch.nn.functional as F

from soundspot.losses.classes import distillation_divergence, soft_cross_entropy


def test_one_hot_labels_have_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, names = torch.randn(5, 4), torch.tensor([3, 0, 1, 1, 2])
    torch.testing.assert_close(soft_cross_entropy(logits, F.one_hot(names, 4).float()), F.cross_entropy(logits, names))


def test_soft_labels_are_scaled_to_one_and_unknown_clips_left_out() -> None:
    logits = torch.tensor([[1.0, 2.0], [0.5, 0.0], [3.0, 0.0], [0.0, 9.0]])
    labels = torch.tensor([[0.2, 0.6], [torch.nan, torch.nan], [1.0, 0.0], [0.0, 0.0]])
    expected = 0.0
    for row, shares in ((0, (0.25, 0.75)), (2, (1.0, 0.0))):
        total = math.log(sum(math.exp(x) for x in logits[row].tolist()))
        expected -= sum(p * (x - total) for p, x in zip(shares, logits[row].tolist(), strict=True)) / 2
    assert soft_cross_entropy(logits, labels).item() == pytest.approx(expected, rel=1e-6)


def test_nothing_known_costs_nothing_and_has_a_gradient_of_nothing() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    loss = soft_cross_entropy(logits, torch.full((3, 4), torch.nan))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_teachers_classes_written_out() -> None:
    torch.manual_seed(0)
    scores, teacher = torch.randn(2, 3), torch.randn(2, 3)
    found = distillation_divergence(scores, teacher)
    for i in range(2):
        p, q = ([math.exp(x) for x in row.tolist()] for row in (teacher[i], scores[i]))
        p, q = ([x / sum(row) for x in row] for row in (p, q))
        expected = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / 3
        assert found[i].item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(distillation_divergence(teacher, teacher), torch.zeros(2))


def test_gradients_in_float64() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.rand(3, 4, dtype=torch.float64)
    labels[1] = torch.nan
    assert torch.autograd.gradcheck(lambda x: soft_cross_entropy(x, labels), (logits,))
    teacher = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: distillation_divergence(x, teacher.detach()), (logits,))
    distillation_divergence(logits, teacher).sum().backward()
    assert teacher.grad is None, "the teacher stands still"
