"""What ours takes against the plain way, measured side by side in one run: `python -m benchmarks`."""

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: was compared.
        plain, ours: what each took.
        unit: of both: `s`, `ms` or `MB`.
        target: least ratio of plain to ours that is wanted; None: told for information.
        note: how it was measured, where that is not plain.
    """

    what: str
    plain: float
    ours: float
    unit: str = "s"
    target: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times less ours takes."""
        return self.plain / self.ours

    @property
    def missed(self) -> bool:
        return self.target is not None and self.ratio < self.target


def seconds(work: Callable[[], object], times: int = 3) -> float:
    """The quickest of `times` runs after one that warms up."""
    taken = []
    for _ in range(times + 1):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


def measured_apart(module: str, *arguments: object) -> dict[str, float]:
    """What `python -m benchmarks.MODULE ARGUMENTS` prints: a peak of memory is of a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    found: dict[str, float] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


def peak_megabytes() -> float:
    """The most memory this process has held so far."""
    try:  # of this program alone: what getrusage tells counts the process that started it
        told = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        told = None
    if told:
        return int(told[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def side_by_side(works: Sequence[Callable[[], object]], times: int = 5) -> list[float]:
    """The quickest of `times` runs of each, in turns: whatever else the machine does slows all of them alike."""
    taken = [[seconds(work, 1) for work in works] for _ in range(times)]
    return [min(ones) for ones in zip(*taken, strict=True)]
