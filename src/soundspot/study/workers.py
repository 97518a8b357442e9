"""Workers of a study: processes of one thread on this machine, or one on each core of a Ray cluster."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Literal

import torch

from soundspot.data.shards.executors import count_cores
from soundspot.data.shards.ray import connect_ray, import_ray
from soundspot.errors import RecipeError
from soundspot.study.tasks import Outcome, Task, perform
from soundspot.utils.memory import limit_memory
from soundspot.utils.worker_process import end_with_parent

MAX_MEMORY = 4 * 2**30
Worker = Callable[[Task], Outcome]


class WorkerStoppedError(Exception):
    """Somebody ended a worker: the study ends too, and its task is not done."""


class LocalWorker:
    """A process of one thread that does tasks one after another; it is started anew after one that took it down."""

    def __init__(self) -> None:
        self._is_closed = False
        self._start()

    def _start(self) -> None:
        context = get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,), daemon=True)
        self._process.start()
        other.close()

    def work(self, task: Task) -> Outcome:
        """Do a task and wait for its outcome.

        Args:
            task: the task.

        Returns:
            Its outcome; an error where the process died of it.

        Raises:
            WorkerStoppedError: somebody ended the process.
        """
        try:
            self._connection.send(task)
            outcome: Outcome = self._connection.recv()
            return outcome
        except (EOFError, OSError) as error:
            self._process.join()
            code = self._process.exitcode
            if self._is_closed or code == -signal.SIGTERM:
                raise WorkerStoppedError(f"a worker was ended (exit code {code})") from error
            self._start()
            return Outcome({}, f"the process died (exit code {code}); with -9 its memory may have been too much")

    def close(self) -> None:
        """End the process."""
        self._is_closed = True
        self._process.kill()
        self._process.join()


def _serve(connection: Connection) -> None:
    """Do the tasks of a connection until it is closed or this process' parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the study's own process ends this one
    end_with_parent()
    torch.set_num_threads(1)
    limit_memory(MAX_MEMORY)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(perform(task))


@contextmanager
def open_workers(executor: Literal["pool", "ray"], count: int | None) -> Iterator[list[Worker]]:
    """Open the workers of a study for the block.

    Args:
        executor: `pool`, processes of this machine; or `ray`, the cluster that RAY_ADDRESS names, or a local one.
        count: number of workers; None: one for each core; 0: this process, without a limit of its memory.

    Yields:
        Workers, which can be called from one thread each.

    Raises:
        DataError: Ray is not installed, or no cluster answers at RAY_ADDRESS.
        RecipeError: `count` is negative.
    """
    if count is not None and count < 0:
        raise RecipeError(f"workers: found {count}, expected 0 or more")
    if executor == "ray":
        ray = import_ray()
        with connect_ray(ray, count):
            size = min(count or 10**6, max(1, int(ray.cluster_resources().get("CPU", 1))))
            actor = ray.remote(num_cpus=1, max_restarts=-1)(LocalWorker)
            actors = [actor.remote() for _ in range(size)]
            yield [_as_worker(ray, handle) for handle in actors]
        return
    if count == 0:
        yield [perform]
        return
    workers = [LocalWorker() for _ in range(count_cores() if count is None else count)]
    try:
        yield [worker.work for worker in workers]
    finally:
        for worker in workers:
            worker.close()


def _as_worker(ray: Any, handle: Any) -> Worker:
    """Return a function that does a task in an actor; an actor that dies is a failure of its task."""

    def work(task: Task) -> Outcome:
        try:
            outcome: Outcome = ray.get(handle.work.remote(task))
            return outcome
        except ray.exceptions.RayActorError as error:
            return Outcome({}, f"the worker died ({' '.join(str(error).split())[:200]})")

    return work
