"""Feed mutated files to the readers.

`python tests/fuzz/campaign.py COUNT SEED [TARGET ...]`, with `tests` in PYTHONPATH, writes the counts of each as JSON.
"""

import faulthandler
import json
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from targets import TARGETS, make_inputs

from soundspot.errors import SoundspotError

SECONDS = 5.0  # CPU time of one input
MEMORY = 2**30  # bytes that the process may have beyond what it has at the beginning


class TooSlowError(BaseException):
    """An input takes longer than `SECONDS`."""


@contextmanager
def limits() -> Iterator[None]:
    """Limit the memory of the process, and interrupt an input that takes too long."""

    def interrupt(*_: object) -> None:
        raise TooSlowError

    old_limit, old_handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGVTALRM, interrupt)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, old_limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, old_limit)
        signal.signal(signal.SIGVTALRM, old_handler)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__


def lacks_memory(error: BaseException) -> bool:
    """Return True where memory was exhausted; Python's parser calls too many parentheses by that name as well."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, MemoryError) and not (frames and Path(frames[-1].filename).name == "ast.py")


def attack(folder: Path, name: str, count: int, seed: int) -> tuple[Counter[str], dict[str, str]]:
    """Read `count` mutated inputs of a target; count outcomes, and describe one input of each failure."""
    target, outcomes, failures = TARGETS[name], Counter[str](), dict[str, str]()
    path = folder / target.file
    valid = path.read_bytes()
    for number in range(count):
        rng = Random(f"{name} {seed} {number}")
        path.write_bytes(target.mutate(valid, rng))
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        try:
            target.read(folder)
            outcome = "read"
        except SoundspotError as error:
            outcome = "memory" if any(map(lacks_memory, causes(error))) else "refused"
        except (Exception, TooSlowError) as error:
            frames = [f for f in traceback.extract_tb(error.__traceback__) if "src/soundspot" in f.filename]
            outcome = (
                f"{type(error).__name__} in {Path(frames[-1].filename).name}:{frames[-1].lineno}"
                if frames
                else repr(error)
            )
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        outcomes[outcome] += 1
        if outcome not in ("read", "refused"):
            failures.setdefault(outcome, f"{name}: seed {seed}, input {number}: {outcome}")
    path.write_bytes(valid)
    return outcomes, failures


def run(count: int, seed: int, names: list[str], folder: Path) -> dict[str, Any]:
    """Attack targets by `count` inputs each; return counts of outcomes, failures and seconds."""
    start, outcomes, failures = time.process_time(), dict[str, dict[str, int]](), dict[str, str]()
    with limits(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            counts, failed = attack(folder, name, count, seed)
            outcomes[name], failures = dict(counts), failures | failed
    return {"outcomes": outcomes, "failures": [*failures.values()], "seconds": time.process_time() - start}


if __name__ == "__main__":
    faulthandler.enable()
    with tempfile.TemporaryDirectory() as directory:
        make_inputs(Path(directory))
        result = run(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or [*TARGETS], Path(directory))
        json.dump(result, sys.stdout, indent=1)
