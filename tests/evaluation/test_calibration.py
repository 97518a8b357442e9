"""Presence as a probability: against scikit-learn and torchmetrics, and what the fits promise."""

import numpy as np
import pytest
import torch
from torch import Tensor

from soundspot.evaluation import functional as F


def drawn(seed: int, present: int = 60, absent: int = 60) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    peaks = torch.randn(present + absent, generator=generator, dtype=torch.float64) * 0.1
    return 0.5 + peaks[:present], 0.35 + peaks[present:]


def test_logistic_fits_are_those_of_scikit_learn() -> None:
    calibration = pytest.importorskip("sklearn.calibration")
    present, absent = drawn(0)
    reference = calibration._SigmoidCalibration().fit(torch.cat([present, absent]).numpy(), np.repeat([1, 0], 60))
    peaks = torch.linspace(-1, 2, 31, dtype=torch.float64)
    fitted = F.fit_presence(present, absent)(peaks)
    assert np.allclose(fitted.numpy(), reference.predict(peaks.numpy()), atol=1e-4)


@pytest.mark.parametrize(("present", "absent"), [(60, 60), (30, 90)])
def test_isotonic_fits_are_those_of_scikit_learn(present: int, absent: int) -> None:
    isotonic = pytest.importorskip("sklearn.isotonic")
    own, others = (peaks.mul(20).round() / 20 for peaks in drawn(1, present, absent))  # with ties
    target = np.repeat([1.0, 0.0], [present, absent])
    weights = np.repeat([1 / present, 1 / absent], [present, absent])
    reference = isotonic.IsotonicRegression(out_of_bounds="clip").fit(torch.cat([own, others]), target, weights)
    peaks = torch.linspace(-1, 2, 301, dtype=torch.float64)
    assert np.allclose(F.fit_presence(own, others, "isotonic")(peaks), reference.predict(peaks.numpy()), atol=1e-9)


def test_how_many_there_are_of_each_does_not_matter() -> None:
    present, absent = drawn(2, 400, 400)
    once, often = F.fit_presence(present, absent), F.fit_presence(present, absent.repeat(5))
    assert once.slope == pytest.approx(often.slope, rel=0.02)
    assert once.probability_of(0.425) == pytest.approx(often.probability_of(0.425), abs=0.01)
    assert once.probability_of(0.425) == pytest.approx(0.5, abs=0.05)  # in the middle of both
    assert F.fit_presence(present, absent, "isotonic") == F.fit_presence(present.repeat(3), absent, "isotonic")


def test_the_fits_hold_where_peaks_are_apart_alike_or_tiny() -> None:
    apart = F.fit_presence(torch.tensor([0.9, 0.8]), torch.tensor([0.1, 0.2]))
    assert 0.7 < apart.probability_of(0.85) < 0.8  # Platt's target is 3/4: two samples do not make it certain
    alike = F.fit_presence(torch.full((3,), 0.4), torch.full((9,), 0.4))
    assert alike.slope == 0
    assert 0.4 < alike.probability_of(0.4) < 0.6
    present, absent = drawn(3)
    scaled = F.fit_presence(present * 1e-6 + 1e3, absent * 1e-6 + 1e3)
    assert scaled.probability_of(1e3 + 5e-7) == pytest.approx(
        F.fit_presence(present, absent).probability_of(0.5), abs=1e-6
    )
    single = F.fit_presence(torch.tensor([0.4]), torch.tensor([0.4]), "isotonic")
    assert (single.peaks, single.probabilities) == ((pytest.approx(0.4),), (0.5,))


def test_the_error_is_that_of_torchmetrics() -> None:
    classification = pytest.importorskip("torchmetrics.functional.classification")
    generator = torch.Generator().manual_seed(4)
    probabilities = torch.rand(300, generator=generator)
    target = torch.rand(300, generator=generator) < probabilities**2
    for num_bins in (15, 4):
        reference = classification.binary_calibration_error(probabilities, target.long(), n_bins=num_bins)
        error = F.expected_calibration_error(probabilities, target, num_bins=num_bins)
        assert error.tolist() == pytest.approx([reference.item()], abs=1e-6)


def test_bins_by_hand_and_by_draw() -> None:
    probabilities, target = torch.tensor([0.0, 0.1, 0.55, 1.0]), torch.tensor([False, True, True, False])
    counts = torch.tensor([[1, 1, 1, 1], [0, 2, 0, 2]])
    bins = F.reliability_bins(probabilities, target, F.balanced_weights(target, counts), num_bins=2)
    assert bins.weight.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert bins.probability[0].tolist() == pytest.approx([0.05, 0.775])
    assert bins.frequency.tolist() == [[0.5, 0.5], [1, 0]]
    error = F.expected_calibration_error(probabilities, target, F.balanced_weights(target, counts), num_bins=2)
    assert error.tolist() == pytest.approx([0.5 * 0.45 + 0.5 * 0.275, 0.5 * 0.9 + 0.5 * 1])
    one_sided = F.balanced_weights(target, torch.tensor([[1, 0, 0, 1]]))
    assert F.expected_calibration_error(probabilities, target, one_sided).isnan().all()


def test_a_fit_is_calibrated_on_its_own_data() -> None:
    present, absent = drawn(5, 300, 900)
    target, peaks = torch.arange(1200) < 300, torch.cat([present, absent])
    weights = F.balanced_weights(target, torch.ones(1, 1200, dtype=torch.int64))
    for kind, most in (("logistic", 0.05), ("isotonic", 1e-9)):
        fitted = F.fit_presence(present, absent, kind)
        assert F.expected_calibration_error(fitted(peaks), target, weights).item() < most
    assert F.expected_calibration_error(fitted(peaks), target).item() > 0.1  # of another share of present sources
