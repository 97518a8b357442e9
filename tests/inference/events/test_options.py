"""Thresholds of events."""

from dataclasses import replace

import pytest

from made_events import frame
from soundspot.config.presence_calibration import PresenceCalibration
from soundspot.errors import InputError
from soundspot.inference.events.options import EventOptions, ScoreRule

AT = (1, 1)


def test_thresholds_give_way_by_what_codecs_move_a_peak() -> None:
    located = replace(frame(0.0, {AT: 0.8}).map, codec_spread=0.1)
    rule = ScoreRule(EventOptions(), located)
    assert (rule.onset, rule.offset) == pytest.approx((0.3, 0.1))
    assert ScoreRule(EventOptions(onset="score:0.4"), located).offset == pytest.approx(0.2)


def test_thresholds_may_be_probabilities() -> None:
    calibration = PresenceCalibration("logistic", 10.0, -5.0)  # one half at 0.5, 0.95 at 0.79
    rule = ScoreRule(EventOptions(onset=0.95, offset=0.5), frame(0.0, {AT: 0.7}, calibration=calibration).map)
    assert (rule.onset, rule.offset) == pytest.approx((0.794, 0.5), abs=1e-3)
    assert rule.is_calibrated
    assert rule.confidence(0.7) == pytest.approx(calibration.probability_of(0.7))


@pytest.mark.parametrize(
    ("options", "threshold", "words"),
    [
        ({}, None, "no fitted threshold"),
        ({"onset": 0.5}, 0.5, "no calibrated probability"),
        ({"onset": "score:0.3", "offset": "score:0.4"}, 0.5, "above the onset"),
        ({"onset": "loud"}, 0.5, "onset: found 'loud', expected a probability"),
        ({"offset": 1.5}, 0.5, "offset: found 1.5"),
        ({"min_duration_on": -1}, 0.5, "min_duration_on: found -1, expected seconds"),
        ({"min_duration_off": float("nan")}, 0.5, "min_duration_off"),
    ],
)
def test_what_cannot_be_is_refused(options: dict, threshold: float | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        ScoreRule(EventOptions(**options), frame(0.0, {AT: 0.8}, threshold).map)
