"""A run that is killed in the middle of a leg resumes to the numbers it would have reached undisturbed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from conftest import ROOT
from soundspot.config.load import read_recipe
from soundspot.errors import CheckpointError, OutputError
from soundspot.training.fit import train
from soundspot.training.run_folder import check_resume_file, check_run_dir

DEBUG = ROOT / "recipes" / "alignment" / "debug.yaml"
OVERRIDES = [
    "--train.epochs",
    "9",
    "--train.checkpoint_every_n_steps",
    "12",
    "--neighbors.mining_schedule",
    "[0.3]",
    "--neighbors.k",
    "5",
]
OVERRIDES += [
    "--views.semantic",
    "true",
    "--data.options",
    '{"length": 128, "size": 64, "seconds": 1.0, "regenerate": false}',
    "--train.batch_size",
    "16",
]


def start(output: Path, *more: str, workers: int = 1) -> subprocess.Popen:
    command = [sys.executable, "-m", "soundspot", "train", str(DEBUG), "--output", str(output), "--quiet", *OVERRIDES]
    command += ["--train.workers", str(workers), *more]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})


def kill_mid_leg(run: subprocess.Popen, log: Path, after: str) -> None:
    """SIGKILL once the file `after` was there and the next leg has begun."""
    deadline = time.monotonic() + 120
    while not (log / after).exists():
        assert run.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.15)
    assert run.poll() is None, "the run ended before it could be killed"
    run.send_signal(signal.SIGKILL)
    run.wait()


def test_killed_twice_and_resumed_with_other_workers_is_the_undisturbed_run(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole")
    assert whole.wait() == 0
    broken = tmp_path / "broken"
    run = start(broken)
    kill_mid_leg(run, broken, "resume.ckpt")
    run = start(broken, "--resume")
    kill_mid_leg(run, broken, "neighbors-00000024")
    assert not list(broken.glob("best.safetensors.*"))
    assert start(broken, "--resume", workers=0).wait() == 0
    ours, theirs = (load_file(tmp_path / name / "last.safetensors") for name in ("broken", "whole"))
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not bool((ours[name] == theirs[name]).all())]
    assert not different
    assert whole.returncode == 0


@pytest.mark.parametrize("flag", [[], ["--resume", "--train.lr", "0.1"]])
def test_a_run_is_not_overwritten_unasked(tmp_path: Path, flag: list[str], capsys: pytest.CaptureFixture) -> None:
    from soundspot.cli.main import main

    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "recipe.yaml").write_text("method: {name: other}\n")
    assert main(["train", str(DEBUG), "--output", str(folder), *flag]) == 2
    said = capsys.readouterr().err
    assert "another recipe" in said if flag else "--overwrite" in said
    assert (folder / "recipe.yaml").read_text() == "method: {name: other}\n"


@pytest.mark.parametrize(
    "content", [b"\xff", b"a: [", b"[]", b"x: &x [*x]", b"train: 3", b"x: !!python/name:os.system"]
)
def test_a_damaged_recipe_of_a_run_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "recipe.yaml").write_bytes(content)
    for resume, overwrite in ((True, False), (False, False)):
        with pytest.raises(OutputError, match=rf"^{tmp_path}"):
            check_run_dir(tmp_path, read_recipe(DEBUG), resume, overwrite)
    check_run_dir(tmp_path, read_recipe(DEBUG), resume=False, overwrite=True)


def test_a_run_killed_before_its_recipe_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / ".recipe.yaml.draft-abcdefgh").mkdir()
    check_run_dir(tmp_path, read_recipe(DEBUG), resume=False, overwrite=False)
    (tmp_path / "mine").touch()
    with pytest.raises(OutputError, match="not a run"):
        check_run_dir(tmp_path, read_recipe(DEBUG), resume=False, overwrite=False)


@pytest.mark.slow
def test_a_state_that_cannot_be_restored_is_our_error(tmp_path: Path) -> None:
    options = '{"length": 4, "size": 32, "seconds": 0.5, "regenerate": false}'
    recipe = read_recipe(DEBUG, ["--train.epochs", "1", "--train.batch_size", "2", "--data.options", options])
    train(recipe, tmp_path, progress=False)
    state = torch.load(tmp_path / "resume.ckpt", weights_only=True)
    for change in (
        {"loops": {"fit_loop": {}}},
        {"optimizer_states": [{"state": 3}]},
        {"callbacks": {"x": []}, "loops": {}},
    ):
        torch.save(state | change, tmp_path / "resume.ckpt")
        with pytest.raises(
            CheckpointError, match=r"resume\.ckpt: cannot be read .* Delete it to train from the beginning"
        ):
            train(recipe, tmp_path, resume=True, progress=False)


def test_a_state_that_is_not_of_this_run_is_refused_before_it_is_restored(tmp_path: Path) -> None:
    path, entries = (
        tmp_path / "resume.ckpt",
        {"callbacks": {}, "loops": {}, "lr_schedulers": [], "optimizer_states": []},
    )
    torch.save(entries | {"state_dict": {"w": torch.ones(2)}}, path)
    check_resume_file(path, {"w": (2,)})
    with pytest.raises(CheckpointError, match=r"resume\.ckpt does not fit"):
        check_resume_file(path, {"w": (3,)})
    torch.save(entries, path)
    with pytest.raises(CheckpointError, match="found no state_dict of a run"):
        check_resume_file(path, {})
