"""Results as moments: images, videos, silence, and folders that hold something else."""

import json
from pathlib import Path

import numpy as np
import pytest

from review_results import IDENTITY, make_results
from soundspot.errors import DataError
from soundspot.review.results import find_source, read_moments

VIDEO = {
    "video": "a.mp4", "path": "clips/a.mp4", "audio": "", "audio_track": None, "model": "tiny", "model_id": IDENTITY,
    "size": [48, 64], "threshold": 0.4, "mask_threshold": 0.5, "seconds": [], "notes": [],
}  # fmt: skip


def write_video(path: Path, times: np.ndarray, silent: bool = False) -> None:
    frames = [{"time": round(float(time), 3), "peak": 0.3, "peak_at": [5, 6], "silent": silent} for time in times]
    path.write_text(json.dumps({**VIDEO, "frames": frames}))


def test_an_image_with_a_sound_is_a_moment(tmp_path: Path) -> None:
    folder = make_results(tmp_path, [0.25, 0.5])
    model, moments = read_moments(folder)
    assert (model.name, model.identity, model.threshold) == ("tiny", IDENTITY, 0.9)
    assert [moment.peak for moment in moments] == [0.25, 0.5]
    assert (moments[0].image, moments[0].time, moments[0].kind) == ("recordings/0.png", None, "sound")
    assert find_source(folder, moments[0].image) == tmp_path / "recordings" / "0.png"
    assert find_source(folder, "recordings/gone.png") is None


def test_a_video_has_a_moment_in_the_middle_of_each_four_seconds(tmp_path: Path) -> None:
    write_video(tmp_path / "a.frames.json", np.arange(0, 10, 0.1))
    moments = read_moments(tmp_path)[1]
    assert [moment.time for moment in moments] == [2.0, 6.0, 9.9]
    assert {moment.kind for moment in moments} == {"video"}


def test_silence_is_decided_by_no_peak(tmp_path: Path) -> None:
    write_video(tmp_path / "a.frames.json", np.arange(0, 4, 0.5), silent=True)
    assert read_moments(tmp_path)[1] == []


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    folder = make_results(tmp_path, [0.25], media=False)
    (folder / "mine.json").write_text('{"version": 1}')
    (folder / "a.events.json").write_text("{")
    (folder / ".0.json").write_text("{")
    (folder / "list.json").write_text("[1, 2]")
    assert len(read_moments(folder)[1]) == 1


@pytest.mark.parametrize("content", [None, '{"version": 1}', "[]"])
def test_a_folder_without_results_says_what_to_do(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match="found no results, expected what `soundspot locate FOLDER` writes"):
        read_moments(tmp_path)
    with pytest.raises(DataError, match="found no such folder"):
        read_moments(tmp_path / "none")


@pytest.mark.parametrize(
    "change",
    [
        {"peak": "high"}, {"peak": float("inf")}, {"peak": float("nan")}, {"peak_at": [1]}, {"model_id": ""},
        {"audio_window": [1.0]}, {"audio_window": [-1.0, 5.0]}, {"audio_window": [0.0, 1e9]},
    ],
)  # fmt: skip
def test_a_damaged_result_is_named(tmp_path: Path, change: dict) -> None:
    path = make_results(tmp_path, [0.25], media=False) / "0.json"
    path.write_text(json.dumps([json.loads(path.read_text())[0] | change]))
    with pytest.raises(DataError, match=r"0\.json: cannot be read"):
        read_moments(path.parent)


def test_a_moment_has_the_sound_that_the_model_was_given(tmp_path: Path) -> None:
    folder = make_results(tmp_path, [0.25, 0.5], media=False)
    path = folder / "1.json"
    path.write_text(json.dumps([json.loads(path.read_text())[0] | {"audio_window": [2.5, 5]}]))
    assert [moment.window for moment in read_moments(folder)[1]] == [None, (2.5, 5.0)]
    for seconds, windows in ((5.0, [0.0, 3.5, 6.5]), (3.0, [0.5, 4.5, 8.5]), (None, [0.0, 3.5, 6.5])):
        write_video(folder / "a.frames.json", np.arange(0, 12, 0.5))
        path = folder / "a.frames.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"audio_seconds": seconds}))
        starts, lengths = zip(*(moment.window for moment in read_moments(folder)[1] if moment.time), strict=True)
        assert [*starts] == windows  # of the moments at 2, 6 and 10 seconds
        assert {*lengths} == {seconds or 5.0}


def test_results_of_two_models_are_refused(tmp_path: Path) -> None:
    make_results(tmp_path, [0.25], "a{}", media=False)
    folder = make_results(tmp_path, [0.25], "b{}", media=False, identity="other")
    with pytest.raises(DataError, match=r"of several models .tiny 0123456789abcdef in a0.json, tiny other"):
        read_moments(folder)


def test_images_and_videos_of_another_size_are_refused(tmp_path: Path) -> None:
    folder = make_results(tmp_path, [0.25], media=False, identity=IDENTITY)
    write_video(folder / "a.frames.json", np.arange(0, 4, 0.5))
    assert len(read_moments(folder)[1]) == 2
    (folder / "a.frames.json").write_text((folder / "a.frames.json").read_text().replace(IDENTITY, f"{IDENTITY}-224"))
    with pytest.raises(DataError, match="images and videos into two folders"):
        read_moments(folder)


def test_results_of_several_thresholds_have_none(tmp_path: Path) -> None:
    folder = make_results(tmp_path, [0.25, 0.5], media=False)
    (folder / "1.json").write_text((folder / "1.json").read_text().replace('"threshold": 0.9', '"threshold": 0.2'))
    assert read_moments(folder)[0].threshold is None


def test_the_recording_beside_the_results_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        make_results(tmp_path / name, [0.25])
    monkeypatch.chdir(tmp_path / "a")
    located = tmp_path / "b" / "located"
    assert find_source(located, "recordings/0.png") == tmp_path / "b" / "recordings" / "0.png"
