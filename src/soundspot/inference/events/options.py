"""Options of events, and the rule by which scores begin and continue them.

Onset, offset and the two shortest durations are what pyannote's voice activity detection calls them.
"""

import math
from dataclasses import dataclass

from soundspot.errors import InputError
from soundspot.inference.result import LocalizationMap

Threshold = float | int | str


@dataclass(frozen=True)
class EventOptions:
    """Options of events, with defaults that were set on generated clips of a validation split.

    Attributes:
        onset: mean score of its frames from which a source is in the picture: a number in [0, 1] is a probability of
            presence, `score:0.3` a raw score. None: the model's fitted threshold, less twice as far as lossy codecs
            move a peak where that is known (`LocalizationMap.codec_spread`): frames of an event stand together, and
            need not pass it one by one.
        offset: score of frames below which an event pauses, not above `onset`; None: the onset, less as much again.
        min_duration_on: shortest event in seconds; shorter ones are left out.
        min_duration_off: shortest pause in seconds; shorter ones are bridged.

    Raises:
        InputError: a threshold of another form, or a duration that is negative or not finite.
    """

    onset: Threshold | None = None
    offset: Threshold | None = None
    min_duration_on: float | int = 1.0
    min_duration_off: float | int = 0.9

    def __post_init__(self) -> None:
        for name in ("min_duration_on", "min_duration_off"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name}: found {value}, expected seconds, 0 or more. Correct it.")
        for name in ("onset", "offset"):
            if (value := getattr(self, name)) is not None:
                _parse_threshold(name, value)


def _parse_threshold(name: str, value: Threshold) -> tuple[bool, float]:
    """Parse a threshold into whether it is a raw score, and its number."""
    kind, _, text = str(value).rpartition(":")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if kind not in ("", "score") or not math.isfinite(number) or not (kind or 0 <= number <= 1):
        raise InputError(f"{name}: found {value!r}, expected a probability in [0, 1] or 'score:<number>'. Correct it.")
    return kind == "score", number


class ScoreRule:
    """Decide by a region's score whether it begins or continues an event; scores are raw or probabilities.

    Args:
        options: options of events.
        result: any map of the video, for the model's threshold and calibration.

    Raises:
        InputError: the model has no threshold and none is given, a probability is asked of a model without calibration,
            or `offset` is above `onset`.
    """

    def __init__(self, options: EventOptions, result: LocalizationMap) -> None:
        self._calibration, self.is_calibrated = result.calibration, result.calibration is not None
        if options.onset is None and result.threshold is None:
            raise InputError(
                "this model has no fitted threshold, so events cannot begin by themselves: fit one by `soundspot "
                "calibrate`, or give onset='score:<number>'"
            )
        spread, threshold = result.codec_spread or 0.0, result.threshold or 0.0
        self.onset = threshold - 2 * spread if options.onset is None else self._to_raw("onset", options.onset)
        self.offset = self.onset - 2 * spread if options.offset is None else self._to_raw("offset", options.offset)
        if self.offset > self.onset:
            raise InputError(f"offset: found {options.offset}, which is above the onset. Lower it.")

    def _to_raw(self, name: str, value: Threshold) -> float:
        is_raw, number = _parse_threshold(name, value)
        if is_raw:
            return number
        if self._calibration is None:
            raise InputError(
                f"{name}: found the probability {value}, and this model has no calibrated probability of presence: fit "
                "it by `soundspot calibrate`, or give 'score:<number>'"
            )
        low, high = -1e3, 1e3  # the calibration rises, and may have steps: its inverse by bisection
        for _ in range(64):
            middle = (low + high) / 2
            low, high = (low, middle) if self._calibration.probability_of(middle) >= number else (middle, high)
        return high

    def confidence(self, score: float) -> float:
        """Return the probability of presence by a raw score, or the score itself where no calibration was fitted.

        Args:
            score: raw score of a region.

        Returns:
            The confidence.
        """
        return score if self._calibration is None else self._calibration.probability_of(score)
