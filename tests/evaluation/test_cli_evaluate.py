"""`soundspot evaluate`: a folder that is whole or not there, and never in anyone's way."""

import json
from pathlib import Path

import pytest

from schemas import check_output
from soundspot.cli.evaluate import evaluate
from soundspot.config.checkpoint import save_checkpoint
from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.errors import DataError, OutputError
from soundspot.evaluation.report import gallery
from soundspot.methods import create

SCENES = {"length": 4, "size": 64, "seconds": 0.5, "categories": 3}
TINY = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch):
    monkeypatch.setattr(gallery, "FIGURE_SIZE", 60)


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A method with fresh weights, as a run would leave it."""
    method = create("alignment", image=TINY, audio=TINY, front_end=InputSpec(ImageSpec(64), AudioSpec(16000, 0.5)))
    save_checkpoint(method, tmp_path / "best.safetensors")
    logs = tmp_path / "logs" / "attempt-0"
    logs.mkdir(parents=True)
    (logs / "metrics.csv").write_text("step,train/loss\n1,4.0\n2,3.0\n")
    return tmp_path / "best.safetensors"


def score(checkpoint: Path, **more) -> None:
    evaluate("scenes-interactive", str(checkpoint), options=SCENES, device="cpu", bootstraps=20, **more)


def test_a_report_holds_numbers_samples_maps_and_a_page(checkpoint, capsys):
    score(checkpoint)
    folder = checkpoint.with_name("report-scenes-interactive")
    told = capsys.readouterr().out
    assert "cIoU, adaptive" in told
    assert str(folder / "report.html") in told
    assert {"report.json", "samples.csv", "report.html", "maps"} <= {path.name for path in folder.iterdir()}
    content = json.loads((folder / "report.json").read_text())
    check_output(content, "report")
    assert {row["kind"] for row in content["rows"]} == {"model", "sound-blind", "ceiling"}
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "train from 4 to 3" in page  # the curves beside the checkpoint were found
    assert "front_end.audio.rate" in page
    score(checkpoint)
    assert checkpoint.with_name("report-scenes-interactive-2").is_dir()


def test_a_folder_that_is_there_is_refused_or_replaced_whole(checkpoint, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match="mine exists already"):
        score(checkpoint, output=folder)
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]
    with pytest.raises(OutputError, match="holds something else"):
        score(checkpoint, output=folder, overwrite=True)
    (folder / "report.json").write_text("{}")
    score(checkpoint, output=folder, overwrite=True)
    assert not (folder / "letter.txt").exists()
    assert (folder / "report.html").exists()


def test_wrong_curves_are_told_before_the_work(checkpoint, tmp_path):
    with pytest.raises(DataError, match=r"none.csv: no such file"):
        score(checkpoint, output=tmp_path / "out", train_logs=[tmp_path / "none.csv"])
    assert not (tmp_path / "out").exists()
