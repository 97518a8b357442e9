"""`soundspot check-results`, and `--calibration` wherever a threshold is used."""

import json
from pathlib import Path

import numpy as np
import pytest

import soundspot as library
from clips import write_video
from review_results import click, make_results
from soundspot.config.recording_calibration import RecordingCalibration
from soundspot.data.media.audio import find_window, read_audio
from soundspot.errors import CheckpointError
from soundspot.inference.localizer import Localizer
from soundspot.review.review import Review


def write_calibration(path: Path, checkpoint: Path, threshold: float) -> Path:
    presence = {"kind": "logistic", "slope": 10.0, "intercept": -10.0 * threshold}
    identity, interval = Localizer.load(checkpoint).identity, (threshold - 0.1, threshold + 0.1)
    RecordingCalibration("tiny", identity, "best F1", threshold, interval, presence).save(path)
    return path


def test_clicks_become_a_file(soundspot, tmp_path: Path) -> None:
    folder = make_results(tmp_path, np.linspace(0, 1, 60), media=False)
    output = tmp_path / "mine.json"
    answer = soundspot("check-results", folder, "-o", output)
    assert (answer.code, output.exists()) == (2, False)
    assert "found 0 clips that are decided" in answer.err
    click(Review(folder))
    answer = soundspot("check-results", folder, "-o", output)
    assert answer.code == 0
    assert "95 % interval" in answer.out
    assert json.loads(output.read_text())["model"] == "tiny"
    assert soundspot("check-results", folder, "-o", output).code == 2  # there already
    precise = soundspot("check-results", folder, "-o", output, "--overwrite", "--min-precision", 0.99)
    assert "aim: expected precision of 0.99" in precise.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none",), "none: found no such folder"),
        (("empty",), "empty: found no results"),
        (("empty", "--min-precision", 0.9), "--min-precision: is of the output"),
        (("empty", "-o", "mine.txt"), "mine.txt"),
    ],
)
def test_wrong_words_say_what_to_do(soundspot, tmp_path: Path, monkeypatch, words: tuple, message: str) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    answer = soundspot("check-results", *words)
    assert answer.code == 2
    assert message in answer.err


def test_locate_takes_the_threshold_of_a_calibration(soundspot, checkpoint, picture, sound, tmp_path: Path) -> None:
    result = Localizer.load(checkpoint).locate(picture, sound)
    out = tmp_path / "out.png"
    line = ("locate", picture, sound, "--model", checkpoint, "-o", out, "--json", "--overwrite")
    for step, present in ((0.1, False), (-0.1, True)):
        mine = write_calibration(tmp_path / "mine.json", checkpoint, result.peak + step)
        (summary,) = json.loads(soundspot(*line, "--calibration", mine).out)
        assert summary["present"] is present
        assert summary["threshold"] == pytest.approx(result.peak + step)
        assert (summary["presence_probability"] > 0.5) is present
    localizer = library.load(checkpoint, calibration=mine)
    assert localizer.identify(localizer.front_end.image.size) == localizer.identity
    localizer.check_calibration()
    with pytest.raises(CheckpointError, match="64-smooth2"):
        localizer.check_calibration(localizer.identify(64, 2.0))
    assert library.load(checkpoint, calibration=mine).threshold == pytest.approx(result.peak - 0.1)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / picture.name).write_bytes(picture.read_bytes())
    batch = ("locate", folder, sound, "--model", checkpoint, "-o", tmp_path / "located")
    assert soundspot(*batch).code == 0
    assert "is of another sound, model or option" in soundspot(*batch, "--calibration", mine).err
    assert soundspot(*batch, "--calibration", mine, "--overwrite").code == 0
    review = Review(tmp_path / "located")
    assert review.model.threshold == pytest.approx(result.peak - 0.1)
    assert review.moments[0].window == find_window(read_audio(sound).seconds, localizer.front_end.audio)


def test_a_calibration_of_another_model_is_refused_before_the_work(
    soundspot, checkpoint, picture, sound, tmp_path: Path
) -> None:
    mine = write_calibration(tmp_path / "mine.json", checkpoint, 0.5)
    content = json.loads(mine.read_text()) | {"model_id": "0" * 16}
    mine.write_text(json.dumps(content))
    for line in (("locate", picture, sound), ("evaluate", "scenes-single")):
        answer = soundspot(*line, "--model", checkpoint, "--calibration", mine)
        assert (answer.code, answer.written) == (2, frozenset())
        assert "mine.json: found a calibration of tiny" in answer.err
    assert "cannot be read" in soundspot("locate", picture, sound, "--calibration", tmp_path / "none.json").err


def test_events_of_a_video_go_by_the_threshold_of_a_calibration(soundspot, checkpoint, tmp_path: Path) -> None:
    clip, events = write_video(tmp_path / "a.mp4", 0.4), tmp_path / "e.json"
    peaks = [frame.map.peak for frame in Localizer.load(checkpoint).locate_video(clip)]
    line = ("locate", clip, "--model", checkpoint, "-o", tmp_path / "o.mp4", "--overwrite", "--min-duration-on", 0)
    for threshold, is_present in ((min(peaks) - 0.3, True), (max(peaks) + 0.3, False)):
        mine = write_calibration(tmp_path / "mine.json", checkpoint, threshold)
        words = ("--precision", "float32", "--events", events, "--calibration", mine)
        assert soundspot(*line, *words).code == 0
        content = json.loads(events.read_text())
        assert all(video["calibrated"] for video in content["videos"])
        assert bool(content["events"]) is is_present
        assert all(event["confidence"] <= 1 for event in content["events"])


@pytest.mark.parametrize("change", ["model", "size", "smooth"])
def test_a_calibration_of_other_videos_is_refused(soundspot, checkpoint, tmp_path: Path, change: str) -> None:
    """By its model, and by what else moves peaks: events have the refusal of results without events."""
    clip, mine = write_video(tmp_path / "a.mp4", 0.2), write_calibration(tmp_path / "mine.json", checkpoint, 0.5)
    words = {"model": (), "size": ("--size", 64), "smooth": ("--smooth", 1.0)}[change]
    if change == "model":
        mine.write_text(json.dumps(json.loads(mine.read_text()) | {"model_id": "0" * 16}))
    line = ("locate", clip, "--model", checkpoint, "-o", tmp_path / "o.mp4", "--events", tmp_path / "e.csv")
    answer = soundspot(*line, "--calibration", mine, *words)
    assert (answer.code, answer.written) == (2, frozenset())
    assert "found a calibration of tiny" in answer.err


def test_an_evaluation_says_whose_threshold_it_used(soundspot, checkpoint, tmp_path: Path) -> None:
    mine = write_calibration(tmp_path / "mine.json", checkpoint, 0.25)
    words = ("--model", checkpoint, "--options", '{"length": 4}', "--bootstraps", 0, "-o", tmp_path / "report")
    assert soundspot("evaluate", "scenes-single", *words, "--calibration", mine).code == 0
    source = json.loads((tmp_path / "report" / "report.json").read_text())["source"]
    assert (source["threshold"], source["own_calibration"]) == (0.25, "mine.json")
    assert source["presence"]["slope"] == 10
