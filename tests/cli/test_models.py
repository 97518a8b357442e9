"""The model is an option with a default: the one that comes with the library, which nothing is written into."""

import json
import os
from pathlib import Path

import pytest

from soundspot.config import named_models
from soundspot.config.checkpoint import read_header, update_header
from soundspot.config.frontend import PRESETS
from soundspot.evaluation.engine import calibrate as engine
from soundspot.evaluation.engine.calibrate import Calibration
from soundspot.models import packaged_weights
from tiny import denseav_front_end, serve_denseav

HELD_OUT = ("scenes", "--options", '{"length": 4, "size": 32, "seconds": 0.5, "seed": 7}')
CARD = {
    "summary": "A small one.",
    "license": "CC0",
    "categories": ["dog", "bell"],
    "scores": {"scenes": 0.5, "muted": 0.25},
}


@pytest.fixture
def starter(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small model in the place of the starter, in a folder of its own; the working directory is `tmp_path`."""
    path = tmp_path / "package" / "starter.safetensors"
    path.parent.mkdir()
    update_header(checkpoint, path, card=CARD)
    checkpoint.unlink()
    monkeypatch.setitem(named_models.NAMED_MODELS, "starter", path)
    monkeypatch.setenv("SOUNDSPOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return path


def test_models_are_listed_with_what_is_known_of_them(soundspot, starter, monkeypatch) -> None:
    lines = soundspot("models").out.splitlines()
    assert lines[1].split() == ["starter", "11.9", "kB,", "used", "where", "none", "is", "named"]
    assert [line.split(maxsplit=1) for line in lines[2:6]] == [
        ["summary", "A small one."],
        ["license", "CC0"],
        ["categories", "2: dog, bell"],
        ["scores", "scenes 50.0, muted 25.0"],
    ]
    assert "  denseav-sound@demo  mhamilton723/DenseAV-sound, front end denseav@demo" in lines
    assert lines[-1] == "  aisfx  CC BY 4.0, bundled: on disk, pretrained: soundspot models fetch aisfx"
    starter.unlink()
    monkeypatch.setattr(packaged_weights, "BUNDLE", starter)
    answer = soundspot("models")
    assert answer.code == 0
    assert "  starter  not on disk: the installation is not complete, used where none is named\n" in answer.out
    assert "bundled: missing" in answer.out


def test_a_model_is_shown(soundspot, starter) -> None:
    answer = soundspot("models", "show", "starter")
    assert "scores      scenes 50.0, muted 25.0\n" in answer.out
    assert "method      alignment" in answer.out
    assert "Did you mean 'starter'?" in soundspot("models", "show", "startr").err


def test_a_sound_is_located_with_nothing_but_files(soundspot, starter, picture, sound) -> None:
    answer = soundspot("locate", picture, sound)
    assert answer.code == 0, answer.err
    assert {path.name for path in answer.written} == {"out.png"}
    assert "Did you mean 'starter'?" in soundspot("locate", picture, sound, "--overwrite", "--model", "startre").err


def test_the_threshold_of_a_named_model_is_written_into_a_copy(soundspot, starter, picture, sound, monkeypatch) -> None:
    fitted = Calibration(0.25, "q3", "scenes", {"silence": 4}, 0.0, 1.0, (), 0)
    monkeypatch.setattr(engine, "calibrate", lambda *_, **__: fitted)
    before = starter.read_bytes()
    answer = soundspot("calibrate", *HELD_OUT)
    assert (answer.code, answer.err) == (
        2,
        "soundspot: starter: comes with the library, and is not written to, expected a file for the copy with the "
        "threshold. Name one: -o starter.safetensors\n",
    )
    answer = soundspot("calibrate", *HELD_OUT, "-o", "mine.safetensors")
    assert answer.code == 0, answer.err
    assert answer.out.endswith("stored in mine.safetensors\n")
    assert starter.read_bytes() == before
    assert read_header("mine.safetensors")["threshold"] == 0.25
    assert "--overwrite" in soundspot("calibrate", *HELD_OUT, "-o", "mine.safetensors").err
    answer = soundspot("locate", picture, sound, "--model", "mine.safetensors", "--json")
    assert json.loads(answer.out)[0]["present"] in (True, False)


def test_nothing_is_written_beside_a_named_model(soundspot, starter) -> None:
    answer = soundspot("evaluate", *HELD_OUT, "--bootstraps", "0")
    assert answer.code == 0, answer.err
    assert os.listdir(starter.parent) == ["starter.safetensors"]
    assert (Path("report-scenes") / "report.html").is_file()


def test_an_index_remembers_the_name_of_its_model(soundspot, starter, catalogue, sound) -> None:
    answer = soundspot("search", "index", catalogue, "--index", "index", "--workers", "0")
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[0].endswith("files by starter")
    assert soundspot("search", "query", "--index", "index", "--audio", sound).code == 0
    moved = starter.rename(starter.with_name("moved.safetensors"))
    named_models.NAMED_MODELS["starter"] = moved
    assert soundspot("search", "query", "--index", "index", "--audio", sound).code == 0


def test_neighbors_are_mined_by_it(soundspot, starter, catalogue) -> None:
    answer = soundspot("neighbors", "mine", "catalog", "table", "--root", catalogue, "--k", "2")
    assert answer.code == 0, answer.err


@pytest.mark.slow
def test_a_released_model_is_used_by_its_name(soundspot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetched, fed in another way, fitted with a threshold and written as a checkpoint of its own."""
    pytest.importorskip("transformers", reason="the extra `hub` is not installed")
    serve_denseav(tmp_path / "hub", monkeypatch)
    for preset in ("denseav", "denseav@demo"):
        monkeypatch.setitem(PRESETS, preset, denseav_front_end(preset=preset))
    monkeypatch.chdir(tmp_path)
    refused = soundspot("calibrate", *HELD_OUT, "--model", "denseav-sound@demo")
    assert "Name one: -o denseav-sound@demo.safetensors" in refused.err
    answer = soundspot("calibrate", *HELD_OUT, "--model", "denseav-sound", "-o", "mine.safetensors")
    assert answer.code == 0, answer.err
    header = read_header("mine.safetensors")
    assert header["method"] == "denseav"
    assert header["threshold"] is not None
    assert "hubert" in soundspot("checkpoint", "inspect", "mine.safetensors").out
