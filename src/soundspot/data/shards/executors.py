"""Executors that read inputs in processes of this machine; samples come in the order of the inputs."""

import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context

from soundspot.data.shards.writer import SampleReader, SampleRecord
from soundspot.errors import InputError, RecipeError, SoundspotError
from soundspot.utils.safe_read import describe_error
from soundspot.utils.worker_process import end_with_parent

PREFETCH = 8  # inputs in flight for each process: what a result waits for, and what memory holds


def count_cores() -> int:
    """Return the number of cores this process may use; containers and schedulers may allow fewer than there are.

    Returns:
        Number of cores, 1 or more.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ProcessExecutor:
    """Executor on a pool of processes of this machine.

    Called with (reader, names of inputs), it yields a `SampleRecord` for each name, in their order. An input that takes
    its process down (decoders are C) is searched for among those in flight, and read once more in a process of its own;
    if it does so again, it yields a record of cause `crashed`, and the other inputs are not affected.

    Args:
        workers: number of processes; 0: read in this process.

    Raises:
        RecipeError: `workers` is negative.
    """

    def __init__(self, workers: int) -> None:
        if workers < 0:
            raise RecipeError(f"workers: found {workers}, expected 0 or more")
        self.workers = workers

    def __call__(self, reader: SampleReader, names: Sequence[str]) -> Iterator[SampleRecord]:
        if not self.workers:
            yield from (read_input(reader, name) for name in names)
            return
        remaining = deque(names)
        while remaining:
            if not (yield from _read_until_crash(reader, remaining, self.workers, len(remaining))):
                continue
            # An input in flight crashed the pool. A single process, which takes them in turn, shows which.
            if (yield from _read_until_crash(reader, remaining, 1, PREFETCH * self.workers)):
                yield read_isolated(reader, remaining.popleft())


def _read_until_crash(
    reader: SampleReader, remaining: "deque[str]", workers: int, max_inputs: int
) -> Generator[SampleRecord, None, bool]:
    """Yield the samples of up to `max_inputs` inputs, removed from `remaining`; return whether the pool crashed."""
    pool = start_processes(reader, workers)
    try:
        waiting: deque[Future[SampleRecord]] = deque()
        for name in list(islice(remaining, max_inputs)):
            waiting.append(pool.submit(read_sample, name))
            if len(waiting) >= PREFETCH * workers:
                yield waiting.popleft().result()
                remaining.popleft()
        while waiting:
            yield waiting.popleft().result()
            remaining.popleft()
    except BrokenProcessPool:
        return True
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return False


_reader: SampleReader  # of a worker process, set once by its initializer


def start_processes(reader: SampleReader, workers: int) -> ProcessPoolExecutor:
    """Start a pool of spawned processes that run `read_sample`.

    Args:
        reader: reader, copied to each process once.
        workers: number of processes.

    Returns:
        The pool; its processes end when this process does.
    """
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=_initialize, initargs=(reader,))


def read_sample(name: str) -> SampleRecord:
    """Read an input by the reader of this worker process (`start_processes`).

    Args:
        name: name of the input.

    Returns:
        Files of the sample, or the failure.
    """
    return read_input(_reader, name)


def read_input(reader: SampleReader, name: str) -> SampleRecord:
    """Read an input; whatever is raised is a failure of this input, and the others are read.

    Args:
        reader: reader of the input.
        name: name of the input.

    Returns:
        Files of the sample, or the failure.
    """
    try:
        return reader(name)
    except InputError as error:
        return SampleRecord({}, error.cause, str(error))
    except SoundspotError as error:
        return SampleRecord({}, "unreadable", str(error))
    except Exception as error:  # decoders are many, and raise anything
        return SampleRecord({}, "unreadable", f"{name}: could not be read ({describe_error(error)}). Leave it out")


def read_isolated(reader: SampleReader, name: str) -> SampleRecord:
    """Read an input in a process of its own.

    Args:
        reader: reader of the input.
        name: name of the input.

    Returns:
        Files of the sample, or the failure; a failure of cause `crashed` where the process crashes.
    """
    with start_processes(reader, 1) as pool:
        try:
            return pool.submit(read_sample, name).result()
        except BrokenProcessPool:
            return SampleRecord({}, "crashed", f"{name}: found a file that crashes its reader; fetch it again")


def _initialize(reader: SampleReader) -> None:
    global _reader
    end_with_parent()
    _reader = reader
