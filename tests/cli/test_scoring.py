"""calibrate, evaluate, evaluate-maps, compare: one after the other, as a user would."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from conftest import ROOT
from schemas import check_output
from soundspot.config.checkpoint import load_checkpoint, read_header
from soundspot.evaluation.report import gallery
from soundspot.models.encoders import build_encoder

TEST = ("scenes-interactive", "--options", json.dumps({"length": 6, "seed": 5, "categories": 4}))
HELD_OUT = ("scenes-interactive", "--options", json.dumps({"length": 6, "seed": 6, "categories": 4}))


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch):
    monkeypatch.setattr(gallery, "FIGURE_SIZE", 60)


def test_a_threshold_travels_and_lets_locate_say_nothing_here(soundspot, checkpoint, picture, sound):
    before = load_checkpoint(checkpoint)[0].state_dict()
    assert (
        "presence unknown"
        in soundspot("locate", picture, sound, "--model", checkpoint, "-o", checkpoint.with_name("a.png")).out
    )
    answer = soundspot("calibrate", *HELD_OUT, "--model", checkpoint, "--rule", "max10")
    assert answer.code == 0, answer.err
    assert answer.written == {checkpoint}
    header = read_header(checkpoint)
    assert f"threshold {header['threshold']:.4f}" in answer.out
    assert header["calibration"]["data"] == "scenes-interactive"
    assert header["calibration"]["presence"]["kind"] == "logistic"
    after = load_checkpoint(checkpoint)[0].state_dict()
    assert all(bool((after[name] == value).all()) for name, value in before.items())
    located = soundspot("locate", picture, sound, "--model", checkpoint, "-o", checkpoint.with_name("b.png"), "--json")
    assert json.loads(located.out)[0]["present"] is False  # fresh weights are no surer of this sound than of noise


def test_refinement_is_one_set_of_options_and_travels_with_the_threshold(
    soundspot, checkpoint, picture, sound, tmp_path
):
    torch.manual_seed(0)
    torch.save(build_encoder({"last_stride": 2}, 3).state_dict(), tmp_path / "resnet18.pth")
    ogl = ("--refine", "ogl", "--alpha", 0.3, "--prior", tmp_path / "resnet18.pth")
    ask = ("locate", picture, sound, "--model", checkpoint, "--overwrite", "-o", tmp_path / "a.png")
    refined = soundspot("calibrate", *HELD_OUT, "--model", checkpoint, *ogl)
    assert refined.code == 0, refined.err
    assert "maps refined by ogl (alpha 0.3)" in refined.out
    assert read_header(checkpoint)["calibration"]["refinement"]["refine"] == ["ogl"]
    same, other, plain = (soundspot(*ask, *some, "--json") for some in (ogl, (*ogl[:3], 0.4, *ogl[4:]), ()))
    assert same.code == other.code == plain.code == 0, other.err
    assert json.loads(same.out)[0]["present"] is not None
    for answer in (other, plain):
        assert json.loads(answer.out)[0]["present"] is None
        assert "fitted on maps refined by ogl (alpha 0.3)" in json.loads(answer.out)[0]["notes"][-1]
    assert "presence unknown" in soundspot(*ask).out
    run = soundspot("evaluate", *TEST, "--model", checkpoint, "-o", tmp_path / "run", "--bootstraps", 0, *ogl)
    assert run.code == 0, run.err
    assert "alignment + ogl (alpha 0.3)" in run.out
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<h1>alignment + ogl (alpha 0.3) on scenes-interactive" in page
    assert "refinement.alpha" in page
    content = json.loads((tmp_path / "run" / "report.json").read_text())
    check_output(content, "report")
    assert content["rows"][0]["name"] == "alignment + ogl (alpha 0.3)"
    assert content["source"]["threshold"] is not None
    assert "pia_silence" in content["rows"][0]["metrics"]


@pytest.mark.parametrize("command", ["locate", "evaluate", "calibrate"])
def test_every_command_with_maps_takes_a_refinement_and_refuses_a_wrong_one(
    soundspot, checkpoint, picture, sound, command
):
    told = soundspot(command, "--help").out
    assert all(flag in told for flag in ("--refine", "--alpha", "--prior", "mix maps with `iqr`"))
    more = {"locate": (picture, sound), "evaluate": TEST, "calibrate": HELD_OUT}[command]
    for flags, said in (
        (("--refine", "olg"), "unknown refinement 'olg'. Did you mean 'ogl'"),
        (("--refine", "iqr"), "alignment has no image query"),
        (("--alpha", 2), "alpha: found 2"),
    ):
        answer = soundspot(command, *more, "--model", checkpoint, *flags)
        assert answer.code == 2
        assert said in answer.err
        assert not answer.written


def test_nothing_is_fitted_on_a_test_split(soundspot, checkpoint, catalogue):
    answer = soundspot(
        "calibrate", "catalog", "--model", checkpoint, "--root", catalogue, "--options", '{"split": "test"}'
    )
    assert answer.code == 2
    assert not answer.written
    assert "nothing is fitted on a test set" in answer.err


def test_one_set_of_maps_under_every_rule(soundspot, checkpoint, tmp_path):
    assert soundspot("calibrate", *HELD_OUT, "--model", checkpoint).code == 0
    run = soundspot(
        "evaluate", *TEST, "--model", checkpoint, "--protocol", "all", "-o", tmp_path / "run", "--bootstraps", 20
    )
    assert run.code == 0, run.err
    assert "are not compared" in run.out
    content = json.loads((tmp_path / "run" / "report.json").read_text())
    assert len(content["other_protocols"]) == 11
    assert content["source"]["checkpoint"] == checkpoint.name
    assert len(content["source"]["sha256"]) == 64
    assert content["source"]["threshold"] is not None
    assert "f_loc" in content["rows"][0]["metrics"]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "The same maps under every protocol" in page
    assert "Does it listen?" in page
    assert content["sound_sensitivity"]["verdict"].split(":")[0] in page
    few = soundspot(
        "evaluate", *TEST, "--model", checkpoint, "--protocol", "lvs,acl", "-o", tmp_path / "few", "--bootstraps", 0
    )
    assert few.code == 0, few.err
    assert "protocol lvs" in few.out
    assert "acl take maps as logits" in few.out
    wrong = soundspot("evaluate", *TEST, "--model", checkpoint, "--protocol", "lvs,alc", "-o", tmp_path / "wrong")
    assert wrong.code == 2
    assert "Did you mean 'acl'" in wrong.err
    assert not wrong.written


def test_anyones_maps_are_scored_and_compared(soundspot, checkpoint, tmp_path):
    assert soundspot("evaluate", *TEST, "--model", checkpoint, "-o", tmp_path / "ours", "--bootstraps", 20).code == 0
    options = json.dumps({"length": 6, "seed": 5, "categories": 4, "size": 32, "seconds": 0.5})
    there = (tmp_path / "ours" / "maps", TEST[0], "--options", options, "--bootstraps", 20)
    scored = soundspot("evaluate-maps", *there, "-o", tmp_path / "theirs")
    assert scored.code == 0, scored.err
    assert {path.name for path in (tmp_path / "theirs").iterdir()} == {"report.json", "samples.csv", "report.html"}
    reports = (tmp_path / "ours", tmp_path / "theirs")
    compared = soundspot("compare", *reports, "--names", "ours", "theirs", "-o", tmp_path / "table.md")
    assert compared.code == 0, compared.err
    assert "theirs - ours" in compared.out
    assert compared.written == {tmp_path / "table.md"}
    assert (tmp_path / "table.md").read_text().startswith("## scenes-interactive: 12 samples, protocol corrected")
    paper = soundspot("compare", *reports, "--format", "tex", "--bootstraps", 20)
    assert paper.out.count(r"\textbf{") >= 2
    assert "[" not in paper.out
    assert not paper.written
    page = soundspot("compare", *reports, "-o", tmp_path / "table.html")
    assert page.code == 0
    assert "<table>" in (tmp_path / "table.html").read_text()
    for wrong, said in (
        ((reports[0], "--published", "ezvsl"), "one report is nothing to compare"),
        ((*reports, "-o", tmp_path / "x.pdf"), "cannot write .pdf"),
        ((reports[0], tmp_path), f"Name reports in it: {reports[0]} {reports[1]}."),
        ((reports[0], reports[1] / "report.html"), f"Name its folder: {reports[1]}."),
        ((*reports, "--format", "tex", "-o", tmp_path / "x.md"), "expected .tex"),
    ):
        answer = soundspot("compare", *wrong)
        assert answer.code == 2
        assert said in answer.err
        assert not answer.written


def test_the_examples_own_words_run(tmp_path: Path):
    example = ROOT / "examples" / "write_predictions.py"
    told = [line for line in example.read_text().splitlines() if line.startswith("soundspot evaluate-maps")]
    assert len(told) == 1
    subprocess.run([sys.executable, example, "predictions"], cwd=tmp_path, check=True)
    import shlex

    command = [sys.executable, "-m", *shlex.split(told[0])]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "predictions-scenes-interactive" / "report.html").exists()
