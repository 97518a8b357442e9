"""A task of a study's worker, and its outcome with its cost."""

import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from soundspot.errors import SoundspotError
from soundspot.utils.atomic_io import DISK_FULL, DiskFullError
from soundspot.utils.memory import peak_memory, reset_peak_memory


@runtime_checkable
class Task(Protocol):
    """Task of a worker."""

    def run(self) -> dict[str, Any]:
        """Do it.

        Returns:
            What the journal is to have of it, as JSON can hold it.
        """


@dataclass(frozen=True)
class Outcome:
    """Outcome of a task and its cost.

    Attributes:
        facts: what the task returned; empty after an error.
        error: message of what went wrong; empty where nothing did.
        is_disk_full: whether the disk was full, which is no failure of the task: it is to be done again.
        seconds: duration.
        cpu_seconds: time of the processor, which other work on the machine does not change.
        peak_mb: largest resident memory of the process in MB, mapped files included; 0 where it is not known.
    """

    facts: dict[str, Any]
    error: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: int = 0
    is_disk_full: bool = False


def perform(task: Task) -> Outcome:
    """Do a task; whatever it raises is a failure of this task.

    Args:
        task: the task.

    Returns:
        Its outcome.
    """
    began, cpu_began = time.perf_counter(), time.process_time()
    facts: dict[str, Any] = {}
    error, is_disk_full = "", False
    reset_peak_memory()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            facts = task.run()
        except DiskFullError as failure:
            error, is_disk_full = str(failure), True
        except SoundspotError as failure:
            error = str(failure)
        except Exception as failure:  # of torch, a decoder or a method of the user's
            is_disk_full = isinstance(failure, OSError) and failure.errno in DISK_FULL
            where = traceback.extract_tb(failure.__traceback__)[-1]
            error = f"{type(failure).__name__}: {failure} ({Path(where.filename).name}:{where.lineno})"
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    return Outcome(facts, error, round(seconds, 2), round(cpu_seconds, 2), peak_memory() // 1_000_000, is_disk_full)
