"""A calibration from clicks: what it finds, what it says where nothing can be found, and its file."""

import json
from pathlib import Path

import numpy as np
import pytest

from review_results import IDENTITY, click, make_results
from schemas import check_output
from soundspot.config.recording_calibration import RecordingCalibration, read_recording_calibration
from soundspot.errors import CheckpointError, DataError, InputError
from soundspot.review.calibrate import calibrate_review, compute_weights, format_calibration
from soundspot.review.review import ABSENT, RIGHT, UNSURE, Review


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> RecordingCalibration:
    review = Review(make_results(tmp_path_factory.mktemp("review"), np.linspace(0, 1, 60), media=False))
    click(review)
    return calibrate_review(review)


def test_sixty_clicks_find_the_threshold(located: Path, tmp_path: Path) -> None:
    review = Review(located)
    truth = click(review)
    calibration = calibrate_review(review)
    low, high = calibration.interval
    assert low < 0.5 < high  # where the truth is drawn
    assert low < calibration.threshold < high
    assert abs(calibration.threshold - 0.47) < 0.08
    assert calibration.scores["f1"] > calibration.shipped["f1"] + 0.3  # 0.9 leaves out most
    assert calibration.clicks["present"] == sum(truth.values())
    assert sum(item.num_clips for item in calibration.reliability) == len(truth)
    assert calibration.location["low"] < 0.8 < calibration.location["high"]
    assert (
        calibration.presence_calibration.probability_of(0.9)
        > 0.9
        > 0.1
        > (calibration.presence_calibration.probability_of(0.1))
    )
    text = " ".join(format_calibration(calibration))
    assert "95 % interval" in text
    assert "0.900" in text

    path = tmp_path / "mine.json"
    calibration.save(path)
    assert read_recording_calibration(path) == calibration
    check_output(json.loads(path.read_text()), "calibration")


def test_more_precision_is_a_higher_threshold(located: Path) -> None:
    review = Review(located)
    click(review)
    best, precise = calibrate_review(review), calibrate_review(review, min_precision=0.99)
    assert precise.threshold > best.threshold
    assert precise.scores["precision"] >= 0.99
    assert precise.aim == "expected precision of 0.99"
    with pytest.raises(InputError, match=r"precision: found 1.5"):
        calibrate_review(review, min_precision=1.5)


def test_agreement_is_in_the_file(located: Path) -> None:
    review = Review(located)
    click(review, "ann")
    click(review, "<b>bob</b>", errors=0.1)
    calibration = calibrate_review(review)
    assert calibration.annotators == ("<b>bob</b>", "ann")
    assert 0 < calibration.agreement[0]["kappa"] < 1


@pytest.mark.parametrize(("choice", "kind"), [(RIGHT, "are in the image"), (ABSENT, "are not in the image")])
def test_clicks_of_one_kind_tell_no_threshold(located: Path, choice: str, kind: str) -> None:
    review = Review(located)
    review.record_all("ann", {clip.id: choice for clip in review.clips})
    with pytest.raises(DataError, match=f"{kind}, no threshold can be told. Locate recordings whose "):
        calibrate_review(review)


def test_few_clicks_are_too_few(located: Path) -> None:
    review = Review(located)
    review.record_all("ann", {clip.id: RIGHT if n < 29 else UNSURE for n, clip in enumerate(review.clips)})
    with pytest.raises(DataError, match=r"found 29 clips that are decided.*expected at least 30. Go on checking"):
        calibrate_review(review)
    for path in sorted(located.glob("*.json"))[5:]:
        path.unlink()
    with pytest.raises(DataError, match="Locate more recordings"):
        calibrate_review(Review(located))


def test_peaks_that_tell_nothing_are_said_to(located: Path) -> None:
    review = Review(located)
    review.record_all("ann", {clip.id: ABSENT if clip.moment.peak > 0.5 else RIGHT for clip in review.clips})
    with pytest.raises(DataError, match="found peaks that are not clearly higher where the source is in the image"):
        calibrate_review(review)


def test_coin_flips_are_hardly_ever_a_threshold(located: Path) -> None:
    review, refused = Review(located), 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        review.record_all("ann", {clip.id: RIGHT if rng.random() < 0.5 else ABSENT for clip in review.clips})
        try:
            calibrate_review(review)
        except DataError as error:
            refused += "not clearly higher" in str(error)
    assert refused >= 7


def test_a_label_stands_for_the_peaks_around_it() -> None:
    population = np.concatenate([np.linspace(0, 0.1, 900), np.linspace(0.9, 1, 100)])
    weights = compute_weights(np.array([population[10], population[20], population[950]]), population)
    assert weights.tolist() == [449.5, 449.5, 100]  # one lies in the stratum between


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "found another version"),
        ({"threshold": "0.4"}, "cannot be read"),
        ({"threshold": float("nan")}, "cannot be read"),
        ({"interval": [0.9, 0.1]}, "its interval from 0.9 to 0.1"),
        ({"presence": {}}, "found no probability"),
        ({"presence": {"kind": "logistic", "slope": "1"}}, "calibration of presence"),
        ({"more": 1}, "cannot be read"),
        ({"reliability": [{"probability": 0.5}]}, "cannot be read"),
    ],
)
def test_a_damaged_calibration_is_refused(
    calibration: RecordingCalibration, tmp_path: Path, change: dict, message: str
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(calibration.as_dict() | change))
    with pytest.raises(DataError, match=message):
        read_recording_calibration(path)


def test_a_calibration_of_another_model_is_refused(calibration: RecordingCalibration) -> None:
    calibration.check_model("tiny", IDENTITY)
    with pytest.raises(CheckpointError, match="the size and smoothing"):
        calibration.check_model("tiny", f"{IDENTITY}-224")
    with pytest.raises(CheckpointError, match=r"mine.json: found a calibration of tiny \(0123.*expected one of ezvsl"):
        calibration.check_model("ezvsl", "fedcba9876543210", "mine.json")
