"""Feed mutated files to the readers.

`python tests/fuzz/campaign.py COUNT SEED [TARGET ...]`, with `tests` in PYTHONPATH, prints a line of JSON for each
target: counts of its outcomes, and failures. Inputs are read in a child process: one that ends it, or hangs, is
counted, and the next child goes on behind it.
"""

import ast
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import torch
from targets import TARGETS, make_inputs

from soundspot.errors import SoundspotError

ACCEPTED = {"read", "refused"}
ACCEPTED_OF_DECODERS = ACCEPTED | {"memory", "ended by SIGSEGV", "ended by SIGABRT", "ended by SIGPROF"}
QUICK = [name for name in TARGETS if not name.startswith(("exported", "fields of an exported"))]
SECONDS = 5.0  # CPU time of one input
HANG_SECONDS = 180.0  # time of one input that waits, for a lock of its own perhaps, and uses none of the processor
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


def read_inputs(folder: Path, name: str, first: int, count: int, seed: int, report: Callable[[str], Any]) -> None:
    """Read mutated inputs of a target from number `first` on, and report the outcome of each."""
    target = TARGETS[name]
    path = folder / target.file
    valid = path.read_bytes()
    for number in range(first, count):
        rng = Random(f"{name} {seed} {number}")
        path.write_bytes(target.mutate(valid, rng))
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        signal.setitimer(signal.ITIMER_PROF, 2 * SECONDS)  # ends the process where no Python code runs any more
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
            signal.setitimer(signal.ITIMER_PROF, 0)
        report(outcome)


def read_in_child(folder: Path, name: str, first: int, count: int, seed: int) -> list[str]:
    """Read inputs from number `first` on in a child process with a folder of its own; return their outcomes."""
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory() as directory:
        copy = shutil.copytree(folder, Path(directory) / "copy")
        child = os.fork()
        if not child:
            try:
                torch.set_num_threads(1)
                with limits(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    with os.fdopen(writing, "w", encoding="utf-8", buffering=1) as file:
                        read_inputs(copy, name, first, count, seed, lambda outcome: file.write(f"{outcome!r}\n"))
            finally:
                os._exit(0)
        os.close(writing)
        outcomes, is_hanging = read_outcomes(reading)
        if is_hanging:
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if is_hanging:
        return [*outcomes, "hang"]
    return outcomes if status == 0 else [*outcomes, f"ended by {signal.Signals(-status).name}"]


def read_outcomes(pipe: int) -> tuple[list[str], bool]:
    """Read the outcomes that a child reports until it ends; True where none comes for `HANG_SECONDS`."""
    content = b""
    while select.select([pipe], [], [], HANG_SECONDS)[0] and (chunk := os.read(pipe, 2**16)):
        content += chunk
    is_hanging = not select.select([pipe], [], [], 0)[0]  # at the end of a pipe there is always something to read
    os.close(pipe)
    return [ast.literal_eval(line) for line in content.decode().split("\n")[:-1]], is_hanging


def attack(folder: Path, name: str, count: int, seed: int) -> tuple[Counter[str], dict[str, str]]:
    """Read `count` mutated inputs of a target; count outcomes, and describe one input of each failure."""
    outcomes: list[str] = []
    while len(outcomes) < count:
        outcomes += read_in_child(folder, name, len(outcomes), count, seed)
    accepted = ACCEPTED_OF_DECODERS if TARGETS[name].decoder else ACCEPTED
    failures = {x: f"{name}: seed {seed}, input {n}: {x}" for n, x in enumerate(outcomes) if x not in accepted}
    return Counter(outcomes), failures


def run(count: int, seed: int, names: list[str], folder: Path) -> dict[str, Any]:
    """Attack targets by `count` inputs each; return counts of outcomes, and failures."""
    outcomes, failures = dict[str, dict[str, int]](), list[str]()
    for name in names:
        counts, failed = attack(folder, name, count, seed)
        outcomes[name] = dict(counts)
        failures += failed.values()
    return {"outcomes": outcomes, "failures": failures}


if __name__ == "__main__":
    torch.set_num_threads(1)
    count, seed = map(int, sys.argv[1:3])
    names = sys.argv[3:] or [*TARGETS]
    with tempfile.TemporaryDirectory() as directory:
        make_inputs(Path(directory), with_exports=not {*names} <= {*QUICK})
        for target in names:
            sys.stdout.write(json.dumps({"seed": seed, **run(count, seed, [target], Path(directory))}) + "\n")
            sys.stdout.flush()
