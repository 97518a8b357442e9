"""Who makes the samples: processes of this machine, or a Ray cluster. They come in the order of the inputs."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from whence.data.packing import Maker, Sample
from whence.errors import DataError

AHEAD = 8  # inputs in hand for each process: what a result waits for, and what memory holds


class Pool:
    """Processes of this machine.

    An input that takes its process down with it (decoders are C) is read once more in a process of its own; if it does
    so again, that is its failure and nobody else's.

    Args:
        workers: how many; 0: none, this one reads.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __call__(self, make: Maker, names: Sequence[str]) -> Iterator[Sample]:
        if not self.workers:
            yield from map(make, names)
            return
        rest = deque(names)
        while rest:
            yield from self._until_it_breaks(make, rest)
            if rest:
                yield _alone(make, rest.popleft())

    def _until_it_breaks(self, make: Maker, rest: "deque[str]") -> Iterator[Sample]:
        """Takes from `rest` what it answers for."""
        pool = _processes(make, self.workers)
        try:
            waiting: deque[Future[Sample]] = deque()
            for name in list(rest):
                waiting.append(pool.submit(_made, name))
                if len(waiting) >= AHEAD * self.workers:
                    yield waiting.popleft().result()
                    rest.popleft()
            while waiting:
                yield waiting.popleft().result()
                rest.popleft()
        except BrokenProcessPool:
            return
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_maker: Maker  # of a process of a pool, which gets it once


def _processes(make: Maker, workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=_take, initargs=(make,))


def _take(make: Maker) -> None:
    global _maker
    _maker = make


def _made(name: str) -> Sample:
    return _maker(name)


def _alone(make: Maker, name: str) -> Sample:
    with _processes(make, 1) as pool:
        try:
            return pool.submit(_made, name).result()
        except BrokenProcessPool:
            return Sample({}, "crashed", f"{name}: found a file that crashes its reader; fetch it again")


def ray_data(make: Maker, names: Sequence[str]) -> Iterator[Sample]:
    """Ray Data (extra `cluster`): the cluster that this machine belongs to, or one of its own cores.

    Videos lie where every machine sees them; the shards are written by this one.

    Raises:
        DataError: Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise DataError(
            "the engine `ray` needs Ray: `pip install whence[cluster]`, or prepare with `--engine pool`"
        ) from error
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    rows = ray.data.from_items([{"name": name} for name in names]).map(lambda row: {"sample": make(row["name"])})
    for row in rows.iter_rows():
        yield row["sample"]
