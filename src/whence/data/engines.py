"""Who reads the videos: processes of this machine, or a Ray cluster. Results come in the order of the inputs."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from whence.data.prepare import Item, Prepared, prepare_one
from whence.errors import DataError

AHEAD = 8  # inputs in hand for each process: what a result waits for, and what memory holds


class Pool:
    """Processes of this machine.

    A video that takes its process down with it (decoders are C) is read once more in a process of its own; if it does
    so again, that is its failure and nobody else's.

    Args:
        workers: how many; 0: none, this one reads.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __call__(self, items: Sequence[Item]) -> Iterator[Prepared]:
        if not self.workers:
            yield from map(prepare_one, items)
            return
        rest = deque(items)
        while rest:
            yield from self._until_it_breaks(rest)
            if rest:
                yield _alone(rest.popleft())

    def _until_it_breaks(self, rest: "deque[Item]") -> Iterator[Prepared]:
        """Takes from `rest` what it answers for."""
        pool = ProcessPoolExecutor(self.workers, get_context("spawn"))
        try:
            waiting: deque[Future[Prepared]] = deque()
            for item in list(rest):
                waiting.append(pool.submit(prepare_one, item))
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


def _alone(item: Item) -> Prepared:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(prepare_one, item).result()
        except BrokenProcessPool:
            return Prepared(
                {}, "crashed", f"{item.path}: found a file that crashes the reader of videos; fetch it again"
            )


def ray_data(items: Sequence[Item]) -> Iterator[Prepared]:
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
    rows = ray.data.from_items([{"item": item} for item in items]).map(lambda row: {"result": prepare_one(row["item"])})
    for row in rows.iter_rows():
        yield row["result"]
