"""Workers: a process that dies is the failure of its task alone."""

import errno
import os
import signal
from dataclasses import dataclass
from typing import Any

import pytest

from conftest import ROOT
from soundspot.errors import InputError, RecipeError
from soundspot.study.tasks import perform
from soundspot.study.workers import LocalWorker, WorkerStoppedError, open_workers
from soundspot.utils.memory import peak_memory, reset_peak_memory


@dataclass(frozen=True)
class Toy:
    """A task that ends in a way of its own."""

    end: str = ""

    def run(self) -> dict[str, Any]:
        if self.end == "user":
            raise InputError("no such file")
        if self.end == "full":
            raise OSError(errno.ENOSPC, "no room")
        if self.end == "bug":
            raise ZeroDivisionError("by zero")
        if self.end:
            os.kill(os.getpid(), int(self.end))
        return {"value": 1}


def test_a_task_that_fails_has_its_message_and_its_cost() -> None:
    assert perform(Toy()).facts == {"value": 1}
    assert perform(Toy("user")).error == "no such file"
    assert not perform(Toy("user")).is_disk_full
    full = perform(Toy("full"))
    assert full.is_disk_full
    assert "no room" in full.error
    bug = perform(Toy("bug"))
    assert bug.error == "ZeroDivisionError: by zero (test_workers.py:30)"
    assert bug.peak_mb > 10


def test_peak_memory_begins_anew() -> None:
    block = b"1" * 200_000_000
    high = peak_memory()
    del block
    reset_peak_memory()
    assert peak_memory() <= high


def test_a_negative_number_of_workers_is_refused() -> None:
    with pytest.raises(RecipeError, match="workers: found -1"), open_workers("pool", -1):
        pass


@pytest.mark.slow
def test_a_process_that_dies_is_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))  # for the new process, which imports this file as `tests.study...`
    worker = LocalWorker()
    try:
        died = worker.work(Toy(str(int(signal.SIGKILL))))
        assert "the process died (exit code -9)" in died.error
        assert worker.work(Toy()).facts == {"value": 1}
        with pytest.raises(WorkerStoppedError):
            worker.work(Toy(str(int(signal.SIGTERM))))
    finally:
        worker.close()
