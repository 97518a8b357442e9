"""Who makes the samples: processes of this machine. They come in the order of the inputs."""

import os
import pickle
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context, parent_process
from threading import Thread

from soundspot.data.shards.writer import SampleReader, SampleRecord
from soundspot.errors import RecipeError

PREFETCH = 8  # inputs in hand for each process: what a result waits for, and what memory holds


def count_cores() -> int:
    """How many this process may use, which a container or a cluster's scheduler may have made fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ProcessExecutor:
    """Processes of this machine.

    An input that takes its process down with it (decoders are C) is looked for among those in hand, and read once more
    in a process of its own; if it does so again, that is its failure and nobody else's.

    Args:
        workers: how many; 0: none, this one reads.

    Raises:
        RecipeError: fewer than none.
    """

    def __init__(self, workers: int) -> None:
        if workers < 0:
            raise RecipeError(f"workers: found {workers}, expected 0 or more")
        self.workers = workers

    def __call__(self, reader: SampleReader, names: Sequence[str]) -> Iterator[SampleRecord]:
        if not self.workers:
            yield from map(reader, names)
            return
        rest, packed = deque(names), pickle.dumps(reader)
        while rest:
            if not (yield from _until_it_breaks(packed, rest, self.workers, len(rest))):
                continue
            # One of those in hand broke it. A single process, which takes them in turn, shows which.
            if (yield from _until_it_breaks(packed, rest, 1, PREFETCH * self.workers)):
                yield read_isolated(packed, rest.popleft())


def _until_it_breaks(make: bytes, rest: "deque[str]", workers: int, most: int) -> Generator[SampleRecord, None, bool]:
    """Takes from `rest` what it answers for, `most` at most; whether it broke before."""
    pool = start_processes(make, workers)
    try:
        waiting: deque[Future[SampleRecord]] = deque()
        for name in list(islice(rest, most)):
            waiting.append(pool.submit(read_sample, name))
            if len(waiting) >= PREFETCH * workers:
                yield waiting.popleft().result()
                rest.popleft()
        while waiting:
            yield waiting.popleft().result()
            rest.popleft()
    except BrokenProcessPool:
        return True
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return False


_maker: SampleReader  # of a process of a pool, which gets it once


def start_processes(reader: bytes, workers: int) -> ProcessPoolExecutor:
    """Processes that take inputs by `made`; `make` is their maker, pickled."""
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=_take, initargs=(reader,))


def read_sample(name: str) -> SampleRecord:
    """The sample of an input, made in a process of `processes`."""
    return _maker(name)


def read_isolated(reader: bytes, name: str) -> SampleRecord:
    """The sample of an input in a process of its own; a failure where that does not outlive it."""
    with start_processes(reader, 1) as pool:
        try:
            return pool.submit(read_sample, name).result()
        except BrokenProcessPool:
            return SampleRecord({}, "crashed", f"{name}: found a file that crashes its reader; fetch it again")


def _take(make: bytes) -> None:
    global _maker
    Thread(target=_end_with_parent, daemon=True).start()
    _maker = pickle.loads(make)


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever."""
    if parent := parent_process():
        parent.join()
        os._exit(1)
