"""The engine on Ray Data: a cluster that runs already, or this machine's cores (extra `cluster`)."""

import logging
import os
import pickle
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from soundspot.data.shards.executors import PREFETCH, count_cores, read_isolated, read_sample, start_processes
from soundspot.data.shards.writer import SampleReader, SampleRecord
from soundspot.errors import DataError

MAX_BLOCKS = 20_000  # at most, of the inputs; Ray keeps account of each


class RayExecutor:
    """Ray Data: the cluster that RAY_ADDRESS names, or one of this machine's cores, which ends with the run.

    A process that is connected to Ray already stays so. What is read lies where every machine sees it under the same
    path, and soundspot is installed on each; the shards are written by this one. Results wait in Ray's object store, of
    which Ray Data fills half at most, so a slow input holds the others up rather than fill the memory. As in `Pool`, an
    input that takes its process down is read once more, alone, and is then its own failure.

    Args:
        workers: processes that read; None: one for each core of the cluster.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers

    def __call__(self, reader: SampleReader, names: Sequence[str]) -> Iterator[SampleRecord]:
        """Raises DataError where Ray is not installed, or no cluster answers."""
        if not names:
            return
        ray = _ray()
        with _quiet(), _connected(ray, self.workers):
            there = max(1, int(ray.cluster_resources().get("CPU", 1)))
            rows = max(PREFETCH, -(-len(names) // MAX_BLOCKS))
            inputs = ray.data.from_items([{"name": name} for name in names], override_num_blocks=-(-len(names) // rows))
            inputs.context.execution_options.preserve_order = True
            inputs.context.enable_progress_bars = False
            samples = inputs.map(
                RayWorker,
                fn_constructor_args=(pickle.dumps(reader),),
                compute=ray.data.ActorPoolStrategy(size=min(self.workers or there, there)),
                num_cpus=1,
            )
            for row in samples.iter_rows():
                yield pickle.loads(row["sample"])


class RayWorker:
    """Reads inputs in a process of its own, for Ray would give an input that crashes it to one actor after another."""

    def __init__(self, reader: bytes) -> None:
        self.reader, self.pool = reader, start_processes(reader, 1)

    def __call__(self, row: dict[str, Any]) -> dict[str, bytes]:
        try:
            sample = self.pool.submit(read_sample, row["name"]).result()
        except BrokenProcessPool:
            self.pool = start_processes(self.reader, 1)
            sample = read_isolated(self.reader, row["name"])
        return {"sample": pickle.dumps(sample)}


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise DataError(
            "the engine `ray` needs Ray: `pip install soundspot[ray]`, or prepare with `--engine pool`"
        ) from error
    return ray


@contextmanager
def _connected(ray: Any, workers: int | None) -> Iterator[None]:
    """Ray, for as long as the block runs.

    A local one leaves no files, shows no page and tells nobody of its use; its key is a secret of this process, where
    Ray would write one to the home folder.
    """
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    address = os.environ.get("RAY_ADDRESS", "local")
    with ExitStack() as ends:
        if address == "local":
            ends.enter_context(_set("RAY_AUTH_TOKEN", _secret(), "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"))
            ends.enter_context(_set("RAY_USAGE_STATS_ENABLED", "0"))
            quiet |= {"_temp_dir": ends.enter_context(_folder()), "include_dashboard": False}
            quiet |= {"num_cpus": workers or count_cores()}
        else:
            _refuse_silent(address)
        ends.callback(ray.shutdown)
        ray.init(address="local" if address == "local" else "auto", **quiet)
        yield


def _refuse_silent(address: str) -> None:
    """Raise DataError where nobody answers at HOST:PORT, for Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=20).close()
    except OSError as error:
        raise DataError(
            f"RAY_ADDRESS: found no Ray cluster at {address} ({error}), expected one that runs. Start it with `ray "
            "start --head`, or unset RAY_ADDRESS to use this machine alone"
        ) from error


@cache
def _secret() -> str:
    """One for all of this process, in which Ray keeps the first that it is told."""
    return secrets.token_hex(32)


@contextmanager
def _folder() -> Iterator[str]:
    """For Ray's logs and sockets, whose paths must be short."""
    folder = tempfile.mkdtemp(prefix="soundspot-ray-", dir="/tmp" if Path("/tmp").is_dir() else None)
    try:
        yield folder
    finally:
        for _ in range(50):  # its processes write their last words for some seconds
            shutil.rmtree(folder, ignore_errors=True)
            if not Path(folder).exists():
                break
            time.sleep(0.1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Ray Data's reports of its plans and progress."""
    log = logging.getLogger("ray.data")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _set(name: str, value: str, *instead: str) -> Any:
    """An environment variable for as long as a block runs, unless it, or one that stands for it, is set already."""
    return nullcontext() if {name, *instead} & set(os.environ) else patch.dict(os.environ, {name: value})
