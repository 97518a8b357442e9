"""Calibration of a model for somebody's own recordings: threshold and probability from checked clips, as a JSON file.

`soundspot check-results` writes it, and `--calibration FILE` takes it. It holds for one model with one refinement.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from soundspot.config.presence_calibration import PresenceCalibration
from soundspot.errors import CheckpointError
from soundspot.utils.atomic_io import atomic_write, check_output
from soundspot.utils.safe_read import check_fields, convert_read_errors, read_json_object

VERSION = 1
LISTS = ("interval", "annotators", "agreement")  # attributes that are lists in JSON, with `reliability`
EXPECTED = "expected a calibration that `soundspot check-results` wrote. Write it again"


@dataclass(frozen=True)
class CurvePoint:
    """Point of a reliability curve, of a bin of clips.

    Attributes:
        probability: mean predicted probability of the bin's clips, each predicted from the other clips.
        frequency: share of its clips whose source is in the image.
        low, high: 95 % interval of that share (Wilson).
        num_clips: number of clips.
    """

    probability: float
    frequency: float
    low: float
    high: float
    num_clips: int


@dataclass(frozen=True)
class RecordingCalibration:
    """A threshold, its interval and a probability of presence for the recordings that clips were checked of.

    Attributes:
        model: name of the model, with its refinement.
        model_id: hash of its weights, front end and refinement, with input size and smoothing (`Localizer.identify`).
        aim: aim that the threshold was chosen for: `best F1`, or `expected precision of 0.9`.
        threshold: least peak of a raw map at which a source counts as present.
        interval: its 95 % interval, lowest and highest.
        presence: probability that the source is in the image by the peak (`PresenceCalibration.as_dict`), where sources
            are in the image as often as in these recordings.
        scores: `f1`, `precision` and `recall` that are expected at the threshold, over all results of the folder.
        shipped: those at the model's own threshold, and that `threshold`; empty: the model had none.
        reliability: reliability curve by rising probability.
        location: `num_present` clips whose source is in the image, `num_right` of these with it at the peak, and the
            95 % interval of that share, `low` and `high`.
        clicks: numbers of clips: `present`, `absent`, `unsure`, `disputed`, and `results` of the folder.
        annotators: names of the annotators.
        agreement: `first`, `second`, `num_clips`, `agreement` and `kappa` of each two annotators.
    """

    model: str
    model_id: str
    aim: str
    threshold: float
    interval: tuple[float, float]
    presence: dict[str, Any]
    scores: dict[str, float] = field(default_factory=dict)
    shipped: dict[str, float] = field(default_factory=dict)
    reliability: tuple[CurvePoint, ...] = ()
    location: dict[str, float | int] = field(default_factory=dict)
    clicks: dict[str, int] = field(default_factory=dict)
    annotators: tuple[str, ...] = ()
    agreement: tuple[dict[str, Any], ...] = ()

    @property
    def presence_calibration(self) -> PresenceCalibration:
        """Probability of presence as a function of the peak."""
        calibration = PresenceCalibration.from_dict(self.presence)
        assert calibration is not None, "checked when it was read"
        return calibration

    def check_model(
        self, model: str, identity: str, source: str = "this calibration", is_size_checked: bool = True
    ) -> None:
        """Check that the calibration is of a model.

        Args:
            model: name of the model, for the message.
            identity: hash of the model, with input size and smoothing (`Localizer.identify`).
            source: name of the calibration, such as its path.
            is_size_checked: whether input size and smoothing have to be the same.

        Raises:
            CheckpointError: it is of other weights, another front end or another refinement; or of another input size
                or smoothing.
        """
        own = self.model_id if is_size_checked else self.model_id.partition("-")[0]
        if identity != own:
            raise CheckpointError(
                f"{source}: found a calibration of {self.model} ({self.model_id}), expected one of {model} "
                f"({identity}): a threshold holds for the model, the refinement, and in videos the size and smoothing, "
                "of the results that were checked. Use those, or locate with this one and check again: `soundspot "
                "check-results FOLDER`"
            )

    def as_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold (docs/schemas/calibration.schema.json).

        Returns:
            `version` and the attributes by name.
        """
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        reliability = [dict(vars(item)) for item in self.reliability]
        lists = {name: list(values[name]) for name in LISTS}
        return {"version": VERSION, **values, **lists, "reliability": reliability}

    def save(self, path: str | Path, overwrite: bool = True) -> None:
        """Write the calibration; the file appears complete or not at all.

        Args:
            path: path of the file (`.json`).
            overwrite: whether an existing file may be replaced.

        Raises:
            OutputError: another suffix, the file exists and `overwrite` is False, or it cannot be written.
        """
        path = Path(path)
        check_output(path, overwrite, (".json",))
        with atomic_write(path) as draft:
            draft.write_text(json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_recording_calibration(path: str | Path) -> RecordingCalibration:
    """Read a calibration that `RecordingCalibration.save` wrote.

    Args:
        path: path of the file.

    Returns:
        The calibration.

    Raises:
        DataError: the file cannot be read, or is of another kind or version.
    """
    content = read_json_object(Path(path), EXPECTED)
    with convert_read_errors(path, EXPECTED):
        return _build(content)


def _build(content: dict[str, Any]) -> RecordingCalibration:
    """Build a calibration from JSON; other values, another version and an interval without the threshold raise."""
    if content.pop("version", None) != VERSION:
        raise ValueError(f"found another version than {VERSION}")
    calibration = RecordingCalibration(**_to_fields(content))
    check_fields(calibration)
    low, high = calibration.interval
    if not (math.isfinite(low) and low <= calibration.threshold <= high < math.inf):
        raise ValueError(f"found the threshold {calibration.threshold} and its interval from {low} to {high}")
    if PresenceCalibration.from_dict(calibration.presence) is None:
        raise ValueError("found no probability of presence")
    return calibration


def _to_fields(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return values from JSON as the fields of a calibration: tuples for lists, points for objects."""
    lists = {name: tuple(content[name]) for name in LISTS}
    return {**content, **lists, "reliability": tuple(CurvePoint(**item) for item in content["reliability"])}
