"""A calibration of presence as a value, and what a file may not claim for one."""

import json
import math

import pytest
import torch

from soundspot.config.presence_calibration import MAX_POINTS, PresenceCalibration
from soundspot.errors import DataError

POINTS = PresenceCalibration("isotonic", peaks=(0.0, 0.5, 1.0), probabilities=(0.0, 0.2, 1.0))


def test_points_are_joined_by_lines_and_go_on_as_they_end() -> None:
    peaks = torch.tensor([[-9.0, 0.25, 0.5], [0.75, 1.0, 9.0]])
    assert torch.allclose(POINTS(peaks), torch.tensor([[0.0, 0.1, 0.2], [0.6, 1.0, 1.0]], dtype=torch.float64))
    assert POINTS.probability_of(0.25) == pytest.approx(0.1)
    assert math.isnan(POINTS.probability_of(math.nan))


def test_a_logistic_calibration_is_a_sigmoid() -> None:
    steep = PresenceCalibration("logistic", 1e300, -1e300)
    assert [steep.probability_of(peak) for peak in (-9.0, 0.5, 9.0)] == [0, 0, 1]
    assert PresenceCalibration("logistic", 2.0, 1.0).probability_of(0.5) == pytest.approx(1 / (1 + math.exp(-2)))


@pytest.mark.parametrize("calibration", [POINTS, PresenceCalibration("logistic", 3.5, -1.0)])
def test_it_goes_through_json(calibration: PresenceCalibration) -> None:
    assert PresenceCalibration.from_dict(json.loads(json.dumps(calibration.as_dict()))) == calibration


def test_none_is_none() -> None:
    assert PresenceCalibration.from_dict(None) is PresenceCalibration.from_dict({}) is None


@pytest.mark.parametrize(
    "values",
    [
        "logistic",
        {"kind": "other", "slope": 1.0},
        {"slope": 1.0},
        {"kind": "logistic", "slope": math.inf, "intercept": 0.0},
        {"kind": "logistic", "slope": math.nan, "intercept": 0.0},
        {"kind": "logistic", "slope": [1.0], "intercept": 0.0},
        {"kind": "logistic", "steep": 1.0},
        {"kind": "isotonic"},
        {"kind": "isotonic", "peaks": 3, "probabilities": [0.5]},
        {"kind": "isotonic", "peaks": [0.0, 1.0], "probabilities": [0.5]},
        {"kind": "isotonic", "peaks": [1.0, 0.0], "probabilities": [0.1, 0.5]},
        {"kind": "isotonic", "peaks": [0.0, 1.0], "probabilities": [0.5, 0.1]},
        {"kind": "isotonic", "peaks": [0.0, 1.0], "probabilities": [0.5, 1.1]},
        {"kind": "isotonic", "peaks": [0.0, math.nan], "probabilities": [0.5, 0.6]},
        {"kind": "isotonic", "peaks": [math.nan], "probabilities": [0.5]},
        {"kind": "isotonic", "peaks": [0, True], "probabilities": [0.5, 0.6]},
        {"kind": "isotonic", "peaks": [*range(MAX_POINTS + 1)], "probabilities": [0.5] * (MAX_POINTS + 1)},
    ],
)
def test_what_a_file_may_not_claim(values: object) -> None:
    with pytest.raises(DataError, match=r"found the calibration of presence .* Calibrate again"):
        PresenceCalibration.from_dict(values)
