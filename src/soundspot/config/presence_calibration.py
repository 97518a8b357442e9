"""Calibration of presence: from the peak of a map to the probability that the source is in the image.

It is fitted on held-out data (`evaluation.functional.calibration`) and stored in the checkpoint beside the threshold.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from soundspot.errors import DataError
from soundspot.utils.safe_read import has_type

CalibrationKind = Literal["logistic", "isotonic"]
MAX_POINTS = 1000  # of an isotonic calibration


@dataclass(frozen=True)
class PresenceCalibration:
    """Rising function from peaks to probabilities: logistic (Platt scaling), or piecewise linear (isotonic regression).

    The probability is that of a sound whose source is in the image as often as not: another share of such sounds moves
    it by Bayes' rule.

    Attributes:
        kind: `logistic` or `isotonic`.
        slope, intercept: logistic: the probability is sigmoid(slope * peak + intercept).
        peaks, probabilities: isotonic: points of the function, peaks ascending, probabilities in [0, 1] not falling;
            beyond the first and the last point it is constant.

    Examples:
        >>> PresenceCalibration("logistic", 10.0, -5.0).probability_of(0.5)
        0.5
    """

    kind: CalibrationKind
    slope: float = 0.0
    intercept: float = 0.0
    peaks: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()

    def __call__(self, peaks: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Compute the probability that the source is in the image.

        Args:
            peaks: maximum of each raw map, of any shape; nan where unknown.

        Returns:
            Probabilities in [0, 1], float64, of the same shape; nan where the peak is.
        """
        values = peaks.double()
        if self.kind == "logistic":
            return torch.sigmoid(self.slope * values + self.intercept)
        return torch.from_numpy(np.asarray(np.interp(values.cpu().numpy(), self.peaks, self.probabilities)))

    def probability_of(self, peak: float) -> float:
        """Compute the probability of one peak.

        Args:
            peak: maximum of a raw map.

        Returns:
            Probability in [0, 1] that the source is in the image.
        """
        return float(self(torch.tensor(peak, dtype=torch.float64)))

    def as_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold, for checkpoints and reports.

        Returns:
            `kind`, with `slope` and `intercept`, or with `peaks` and `probabilities`.
        """
        if self.kind == "logistic":
            return {"kind": self.kind, "slope": self.slope, "intercept": self.intercept}
        return {"kind": self.kind, "peaks": list(self.peaks), "probabilities": list(self.probabilities)}

    @classmethod
    def from_dict(cls, values: Any) -> "PresenceCalibration | None":
        """Build a calibration from the values of `as_dict`.

        Args:
            values: values by name; empty or None: there is no calibration, as in files of earlier versions.

        Returns:
            The calibration, or None.

        Raises:
            DataError: the values are something else: numbers that are not finite, points that fall, too many of them.
        """
        if not values:
            return None
        try:
            calibration = cls(**_check_types(values))
            _check_points(calibration)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"found the calibration of presence {values!r:.80} ({error}), expected that of `soundspot calibrate`. "
                "Calibrate again"
            ) from error
        return calibration


def _check_types(values: Any) -> dict[str, Any]:
    """Return values from JSON as the fields of a calibration; an unknown name or another type is a ValueError."""
    hints = get_type_hints(PresenceCalibration)
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in dict(values).items()}
    for name, value in values.items():
        if not has_type(value, hints.get(name, type(None))):
            raise ValueError(f"found {value!r:.40} for {name}")
    if "kind" not in values:
        raise ValueError("found no kind")
    return {
        name: tuple(map(float, value)) if isinstance(value, tuple) else value if name == "kind" else float(value)
        for name, value in values.items()
    }


def _check_points(calibration: PresenceCalibration) -> None:
    """Raise ValueError for numbers that are not finite, and for points of no rising function."""
    peaks, probabilities = np.array(calibration.peaks), np.array(calibration.probabilities)
    if not np.isfinite([calibration.slope, calibration.intercept, *peaks, *probabilities]).all():
        raise ValueError("expected finite numbers")
    if calibration.kind == "isotonic" and not (
        0 < len(peaks) == len(probabilities) <= MAX_POINTS
        and bool((np.diff(peaks) > 0).all() and (np.diff(probabilities) >= 0).all())
        and 0 <= probabilities[0] <= probabilities[-1] <= 1
    ):
        raise ValueError(f"expected 1 to {MAX_POINTS} points, ascending, of probabilities from 0 to 1")
