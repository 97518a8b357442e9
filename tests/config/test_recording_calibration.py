"""A calibration file: what was written is read, numbers as numbers."""

import json
from pathlib import Path

import pytest

from soundspot.config.recording_calibration import CurvePoint, RecordingCalibration, read_recording_calibration
from soundspot.errors import DataError

CALIBRATION = RecordingCalibration(
    model="tiny",
    model_id="0123",
    aim="best F1",
    threshold=1.0,
    interval=(0.5, 2.0),
    presence={"kind": "logistic", "slope": 2.0, "intercept": -1.0},
    scores={"f1": 1.0},
    reliability=(CurvePoint(0.5, 1.0, 0.25, 1.0, 3),),
    location={"num_present": 3, "low": 0.25},
    annotators=("ann",),
)


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    CALIBRATION.save(tmp_path / "mine.json")
    calibration = read_recording_calibration(tmp_path / "mine.json")
    assert calibration == CALIBRATION
    assert json.dumps(calibration.as_dict()) == json.dumps(CALIBRATION.as_dict())  # counts stay whole numbers


@pytest.mark.parametrize("change", [{"interval": ["0.5", "2"]}, {"scores": {"f1": "1"}}, {"interval": [0.5, 1, 2]}])
def test_text_in_place_of_numbers_is_refused(tmp_path: Path, change: dict) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(CALIBRATION.as_dict() | change))
    with pytest.raises(DataError, match="expected a calibration that"):
        read_recording_calibration(tmp_path / "mine.json")
