"""Executor on Ray Data: a cluster that runs already, or this machine's cores (extra `ray`)."""

import json
import logging
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

from soundspot.data.shards.executors import PREFETCH, count_cores, read_isolated, read_sample, start_processes
from soundspot.data.shards.writer import SampleReader, SampleRecord
from soundspot.errors import DataError

MAX_BLOCKS = 20_000  # of the inputs; Ray keeps account of each


class RayExecutor:
    """Executor on Ray Data: the cluster that RAY_ADDRESS names, or one of this machine's cores that ends with the run.

    Called with (reader, names of inputs), it yields a `SampleRecord` for each name, in their order. A process that is
    connected to Ray already stays so. Inputs lie where every machine sees them under the same path, and soundspot is
    installed on each; the shards are written by this machine. Results wait in Ray's object store, of which Ray Data
    fills half at most, so a slow input holds the others up rather than fill the memory. As with `ProcessExecutor`, an
    input that takes its process down is read once more in a process of its own, and then fails.

    Args:
        workers: number of processes that read, at most the cores of the cluster; None: one for each core.

    Raises:
        DataError: on iteration, Ray is not installed, or no cluster answers at RAY_ADDRESS.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers

    def __call__(self, reader: SampleReader, names: Sequence[str]) -> Iterator[SampleRecord]:
        if not names:
            return
        ray = import_ray()
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # no reports of its plans and progress
        with connect_ray(ray, self.workers):
            num_cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
            block_size = max(PREFETCH, -(-len(names) // MAX_BLOCKS))
            rows = [{"name": name} for name in names]
            inputs = ray.data.from_items(rows, override_num_blocks=-(-len(names) // block_size))
            inputs.context.execution_options.preserve_order = True
            inputs.context.enable_progress_bars = False
            samples = inputs.map(
                RayWorker,
                fn_constructor_args=(reader,),
                compute=ray.data.ActorPoolStrategy(size=min(self.workers or num_cores, num_cores)),
                num_cpus=1,
            )
            for row in samples.iter_rows():
                yield decode_sample(row["sample"])


class RayWorker:
    """Actor that reads inputs in a child process, since Ray would give an input that crashes it to the next actor.

    Called with {"name": name}, it returns {"sample": bytes of `encode_sample`}.

    Args:
        reader: reader of the inputs.
    """

    def __init__(self, reader: SampleReader) -> None:
        self.reader, self.pool = reader, start_processes(reader, 1)

    def __call__(self, row: dict[str, Any]) -> dict[str, bytes]:
        try:
            sample = self.pool.submit(read_sample, row["name"]).result()
        except BrokenProcessPool:
            self.pool = start_processes(self.reader, 1)
            sample = read_isolated(self.reader, row["name"])
        return {"sample": encode_sample(sample)}


def encode_sample(sample: SampleRecord) -> bytes:
    """Write a sample as one line of JSON and the bytes of its files.

    Args:
        sample: files of a sample, or a failure.

    Returns:
        Bytes that `decode_sample` reads.
    """
    sizes = {suffix: len(content) for suffix, content in sample.files.items()}
    header = json.dumps({"cause": sample.cause, "message": sample.message, "sizes": sizes}).encode()
    return b"\n".join((header, b"".join(sample.files.values())))


def decode_sample(content: bytes) -> SampleRecord:
    """Read a sample that `encode_sample` wrote.

    Args:
        content: bytes of the sample.

    Returns:
        The sample.
    """
    header, files = content.split(b"\n", 1)
    values = json.loads(header)
    ends = list(accumulate(values["sizes"].values(), initial=0))
    slices = (files[start:end] for start, end in pairwise(ends))
    return SampleRecord(dict(zip(values["sizes"], slices, strict=True)), values["cause"], values["message"])


def import_ray() -> Any:
    """Import Ray.

    Returns:
        The module.

    Raises:
        DataError: it is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise DataError(
            "the executor `ray` needs Ray: `pip install soundspot[ray]`, or use `--executor pool`"
        ) from error
    return ray


@contextmanager
def connect_ray(ray: Any, workers: int | None) -> Iterator[None]:
    """Connect to Ray for the block: the cluster that RAY_ADDRESS names, or a local one that ends with the block.

    A local cluster leaves no files, opens no dashboard and reports no usage; its key is a secret of this process, where
    Ray would write one to the home folder.

    Args:
        ray: the module.
        workers: number of cores of a local cluster; None: those of this machine.

    Raises:
        DataError: no cluster answers at RAY_ADDRESS.
    """
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "address": "auto"}
    address = os.environ.get("RAY_ADDRESS", "local")
    with ExitStack() as stack:
        if address == "local":
            defaults = {"RAY_USAGE_STATS_ENABLED": "0"}
            if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"} & set(os.environ):
                defaults["RAY_AUTH_TOKEN"] = _get_secret()
            stack.enter_context(patch.dict(os.environ, defaults | dict(os.environ)))
            options |= {"address": "local", "include_dashboard": False, "num_cpus": workers or count_cores()}
            options["_temp_dir"] = stack.enter_context(_temporary_folder())
        else:
            _check_reachable(address)
        stack.callback(ray.shutdown)
        ray.init(**options)
        yield


def _check_reachable(address: str) -> None:
    """Raise DataError where nothing answers at HOST:PORT, since Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=20).close()
    except OSError as error:
        raise DataError(
            f"RAY_ADDRESS: found no Ray cluster at {address} ({error}), expected one that runs. Start it with `ray "
            "start --head`, or unset RAY_ADDRESS to use only this machine"
        ) from error


@cache
def _get_secret() -> str:
    """Return the key of this process, in which Ray keeps the first that it is given."""
    return secrets.token_hex(32)


@contextmanager
def _temporary_folder() -> Iterator[str]:
    """Make a folder for Ray's logs and sockets, whose paths must be short."""
    folder = tempfile.mkdtemp(prefix="soundspot-ray-", dir="/tmp" if Path("/tmp").is_dir() else None)
    try:
        yield folder
    finally:
        for _ in range(50):  # Ray's processes write to it for some seconds
            shutil.rmtree(folder, ignore_errors=True)
            if not Path(folder).exists():
                break
            time.sleep(0.1)
