"""Training under torchrun: two processes learn what one does, go on after a kill, and none hangs when another ends."""

import csv
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch.distributed as dist
from safetensors.torch import load_file

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed")

SMALL = [
    "--data.options",
    '{"length": 128, "size": 64, "seconds": 1.0, "regenerate": false}',
    "--train.precision",
    "fp32",
]


def start(output: Path, *more: str, processes: int = 2) -> subprocess.Popen:
    """A run of lvs/debug in a process group of its own."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [*launcher, "-m", "soundspot", "train", "lvs/debug", "--output", str(output), "--quiet", *SMALL, *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with said(output).open("w") as errors:
        return subprocess.Popen(command, env=environment, stderr=errors, start_new_session=True)


def said(output: Path) -> Path:
    """What a run has printed of errors."""
    return output.with_suffix(".log")


def ranks(run: subprocess.Popen) -> list[int]:
    """The processes that torchrun has started."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(run.pid)], capture_output=True, text=True).stdout
    return [int(one) for one in found.split()]


def wait_for(path: Path, run: subprocess.Popen) -> None:
    deadline = time.monotonic() + 180
    while not path.exists():
        assert run.poll() is None, "the run ended too soon"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def losses(output: Path) -> list[float]:
    with (output / "logs" / "attempt-0" / "metrics.csv").open() as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file)]


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    """In single precision and with batch norm over both, to rounding."""
    more = ["--train.epochs", "1", "--train.checkpoint_every_n_steps", "2"]
    two, one = start(tmp_path / "two", *more), start(tmp_path / "one", *more, processes=1)
    assert two.wait() == one.wait() == 0
    assert len(losses(tmp_path / "one")) == 2
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)


def test_an_uneven_batch_is_told_once(tmp_path: Path) -> None:
    run = start(tmp_path / "run", "--train.batch_size", "31")
    assert run.wait() != 0
    told = said(tmp_path / "run").read_text()
    assert told.count("found 31 samples for 2 processes, expected a multiple") == 1


@pytest.mark.slow  # told by the first process as an uneven batch is; tests/training/test_resume.py has the message
def test_a_taken_folder_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("method: {name: other}\n")
    run = start(tmp_path / "run")
    assert run.wait() != 0
    told = said(tmp_path / "run").read_text()
    assert told.count("Continue the run in it by --resume") == 1


def test_variables_of_a_launcher_that_is_not_there_are_told(tmp_path: Path) -> None:
    environment = {**os.environ, "WORLD_SIZE": "2"}
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        environment.pop(name, None)
    soundspot = [sys.executable, "-m", "soundspot"]
    assert subprocess.run([*soundspot, "methods"], env=environment, capture_output=True).returncode == 0
    found = subprocess.run([*soundspot, "train", "lvs/debug"], env=environment, capture_output=True, cwd=tmp_path)
    assert found.returncode == 2
    assert b"found WORLD_SIZE=2 without RANK, MASTER_ADDR, MASTER_PORT" in found.stderr


def test_when_one_process_is_killed_the_others_end(tmp_path: Path) -> None:
    run = start(tmp_path / "run", "--train.epochs", "1000")
    wait_for(tmp_path / "run" / "resume.ckpt", run)
    os.kill(ranks(run)[1], signal.SIGKILL)
    before = time.monotonic()
    assert run.wait(60) != 0
    assert not [one for one in ranks(run) if Path(f"/proc/{one}").exists()]
    assert time.monotonic() - before < 60


@pytest.mark.slow
def test_when_one_process_stands_still_the_others_end(tmp_path: Path) -> None:
    run = start(tmp_path / "run", "--train.epochs", "1000")
    wait_for(tmp_path / "run" / "resume.ckpt", run)
    still = ranks(run)[1]
    os.kill(still, signal.SIGSTOP)
    before = time.monotonic()
    try:
        assert run.wait(120) != 0
    finally:
        with suppress(ProcessLookupError):  # torchrun has killed it
            os.kill(still, signal.SIGKILL)
    told = said(tmp_path / "run").read_text()
    assert "process 1 has given no sign of life for 40 s, so process 0 ends too" in told
    assert time.monotonic() - before < 100  # torchrun itself waits half a minute for the one that stands still


@pytest.mark.slow
def test_killed_twice_and_resumed_is_the_undisturbed_run(tmp_path: Path) -> None:
    more = ["--train.epochs", "12", "--train.checkpoint_every_n_steps", "8"]
    assert start(tmp_path / "whole", *more).wait() == 0
    broken = tmp_path / "broken"
    for number in range(2):
        run = start(broken, *more, *(["--resume"] if number else []))
        seen = (broken / "resume.ckpt").stat().st_mtime_ns if number else 0
        wait_for(broken / "resume.ckpt", run)
        while (broken / "resume.ckpt").stat().st_mtime_ns == seen:
            assert run.poll() is None, "the run ended before it could be killed"
            time.sleep(0.01)
        time.sleep(0.1)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert start(broken, *more, "--resume").wait() == 0
    ours, theirs = (load_file(tmp_path / name / "last.safetensors") for name in ("broken", "whole"))
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if not bool((ours[name] == theirs[name]).all())]
