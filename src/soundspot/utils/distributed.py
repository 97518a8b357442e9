"""Several processes that work on one model, as `torchrun` starts them: their ranks, and what they exchange.

A pair of a loss compares a sample of this process with one of any: embeddings are gathered, compared with the image
grids that are here, and the numbers of these pairs are gathered again. What is as large as an image never travels. So
every process holds the loss of the whole batch, and the mean of their gradients, which is what data parallelism takes,
is the gradient of it.

A single process has rank 0 of 1, and nothing here costs anything.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from threading import Event, Thread
from time import sleep
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from soundspot.errors import SoundspotError

T = TypeVar("T")
HEARTBEAT_SECONDS, MAX_MISSED_HEARTBEATS = 5.0, 8
COLLECTIVE_TIMEOUT = timedelta(minutes=30)  # of a training step, or of a share of a test set
_heartbeat: "_Heartbeat | None" = None
_is_single: ContextVar[bool] = ContextVar("is_single", default=False)


def is_launched() -> bool:
    """Return True where a launcher such as `torchrun` started this process together with others.

    Returns:
        True if the environment variable WORLD_SIZE is greater than 1, in a process group or not.
    """
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_launched_rank_zero() -> bool:
    """Return True in the first of the launched processes, by the environment variable RANK.

    Returns:
        True also where a single process runs. `process_group` and `single_process` have no effect on it.
    """
    return os.environ.get("RANK", "0") == "0" or not is_launched()


def is_distributed() -> bool:
    """Return True where torch.distributed has a process group that this process works in.

    Returns:
        True where a group is initialized (as `process_group` does for launched processes), also a group of one process;
        False without a group and inside `single_process`.
    """
    return dist.is_available() and dist.is_initialized() and not _is_single.get()


def world_size() -> int:
    """Return the number of processes that train or score together.

    Returns:
        Size of the process group; 1 without a group, and inside `single_process`.
    """
    return dist.get_world_size() if is_distributed() else 1


def rank() -> int:
    """Return the number of this process in its group.

    Returns:
        Rank from 0 to `world_size()` - 1; 0 without a group, and inside `single_process`.
    """
    return dist.get_rank() if is_distributed() else 0


def is_rank_zero() -> bool:
    """Return True in the process that writes files and prints.

    Returns:
        Whether `rank()` is 0; True without a process group, and inside `single_process`.
    """
    return rank() == 0


@contextmanager
def process_group() -> Iterator[None]:
    """Join the process group of the launched processes during the block.

    The backend is gloo, with NCCL for CUDA tensors; on CUDA the process takes the device LOCAL_RANK. Without a
    launcher, or inside another such block, nothing happens. A process that gives no heartbeat for 40 s ends the others
    too (exit status 3); a collective call that hangs ends with an error after 30 minutes. The block ends once all
    processes have reached its end.

    Raises:
        SoundspotError: WORLD_SIZE is set without RANK, MASTER_ADDR or MASTER_PORT; or another process has ended.
    """
    global _heartbeat
    if not is_launched() or is_distributed():
        yield
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise SoundspotError(
            f"found WORLD_SIZE={os.environ['WORLD_SIZE']} without {', '.join(missing)}, expected all that a launcher "
            "sets. Start several processes with `torchrun`, or unset WORLD_SIZE"
        )
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        backend = "cpu:gloo,cuda:nccl"
    store, number, count = next(rendezvous("env://", timeout=timedelta(minutes=5)))
    dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=COLLECTIVE_TIMEOUT)
    _heartbeat = _Heartbeat(number, count)
    _heartbeat.start()
    try:
        yield
        _heartbeat.wait_for([*range(count)])
    except RuntimeError as error:
        if not _is_lost_process(error):
            raise
        raise SoundspotError(
            "another process of this run has ended, and its message says why. Correct that, and continue (training: "
            "with --resume)"
        ) from error
    finally:
        _heartbeat.is_over.set()
        _heartbeat.join()
        _heartbeat = None
        dist.destroy_process_group()


def _is_lost_process(error: BaseException | None) -> bool:
    """Return whether an error, or its cause, is that another process is gone, and torchrun ends this one too."""
    signs = ("Connection closed by peer", "Connection reset by peer", "gloo", "NCCL", "killed by signal: Terminated")
    while error is not None:
        if isinstance(error, dist.DistError) or any(sign in str(error) for sign in signs):
            return True
        error = error.__cause__ or error.__context__
    return False


class _Heartbeat(Thread):
    """Thread that tells the others that this process lives, and ends it when one of them was silent for too long.

    Heartbeats are counted and not seconds, so that a machine that slept takes no process for dead.
    """

    def __init__(self, number: int, count: int) -> None:
        super().__init__(daemon=True, name="soundspot-heartbeat")
        self.number, self.others, self.is_over = number, [n for n in range(count) if n != number], Event()
        address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self.store = PrefixStore("soundspot", TCPStore(*address, count, is_master=False))
        self.num_meetings = 0

    def wait_for(self, numbers: list[int]) -> None:
        """Wait for some of the processes, for as long as they take: while they live, they will come."""
        self.num_meetings += 1
        self.store.set(f"meeting {self.num_meetings} {self.number}", "")
        while not self.store.check([f"meeting {self.num_meetings} {number}" for number in numbers]):
            sleep(0.05)

    def run(self) -> None:
        last, missed = dict.fromkeys(self.others, b""), dict.fromkeys(self.others, 0)
        beat = 0
        while not self.is_over.wait(HEARTBEAT_SECONDS):
            beat += 1
            try:
                self.store.set(str(self.number), str(beat))
                for other in self.others:
                    sign = self.store.get(str(other)) if self.store.check([str(other)]) else b""
                    missed[other] = missed[other] + 1 if sign == last[other] else 0
                    last[other] = sign
            except RuntimeError:  # the machine that holds the store is gone
                missed[min(self.others)] = MAX_MISSED_HEARTBEATS
            lost = [other for other in self.others if missed[other] >= MAX_MISSED_HEARTBEATS]
            if lost and not self.is_over.is_set():
                seconds = HEARTBEAT_SECONDS * MAX_MISSED_HEARTBEATS
                sys.stderr.write(
                    f"soundspot: process {lost[0]} has given no sign of life for {seconds:.0f} s, so process "
                    f"{self.number} ends too. Look at its messages, and continue (training: with --resume)\n"
                )
                sys.stderr.flush()
                os._exit(3)


@contextmanager
def single_process() -> Iterator[None]:
    """Let this process count as the only process, with rank 0 of 1, during the block; nothing in it is exchanged."""
    token = _is_single.set(True)
    try:
        yield
    finally:
        _is_single.reset(token)


def on_rank_zero(function: Callable[[], T]) -> T:
    """Call a function in the process of rank 0 only, and return its result in all processes, which wait for it.

    Without a process group it is called here. Inside the call, `world_size()` is 1.

    Args:
        function: function without arguments, whose result can be pickled.

    Returns:
        The result, the same in all processes.

    Raises:
        SoundspotError: `function` raised it; it is raised in all processes.
    """
    if world_size() == 1:
        return function()
    outcome: list[Any] = [None, None]  # result, error
    if is_rank_zero():
        try:
            with single_process():
                outcome[0] = function()
        except SoundspotError as error:
            outcome[1] = error
    if _heartbeat is not None:
        _heartbeat.wait_for([0])  # who broadcasts: the others wait here, and not in a collective that has a time limit
    dist.broadcast_object_list(outcome)
    result, failure = outcome
    if failure is not None:
        failure.is_reported = not is_rank_zero()  # one message is enough
        raise failure
    return result  # type: ignore[no-any-return]


def all_gather_object(value: T) -> list[T]:
    """Gather a value of each process.

    Args:
        value: value of this process that can be pickled.

    Returns:
        Values of all processes by rank, the same list in each; `[value]` where there is one process.
    """
    values: list[Any] = [value] * world_size()
    if world_size() > 1:
        dist.all_gather_object(values, value)
    return values


def all_gather_with_grad(x: Tensor, dim: int = 0) -> Tensor:
    """Concatenate a tensor of all processes along an axis, with gradient; one process returns `x` itself.

    The gradient of `x` is the sum, over all processes, of the gradients of its share of the result.

    Args:
        x: tensor of the same shape in all processes, size b along `dim`.
        dim: axis of the concatenation.

    Returns:
        Tensor of size b * `world_size()` along `dim`, in the order of the ranks.
    """
    if world_size() == 1:
        return x
    result: Tensor = _Gather.apply(x, dim)  # type: ignore[no-untyped-call]
    return result


class _Gather(torch.autograd.Function):
    """Gather with gradient; torch.distributed.nn's needs an exchange that not every backend has, where a sum does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int) -> Tensor:
        ctx.dim, ctx.size = dim, x.shape[dim]
        chunks = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(chunks, x.contiguous())
        return torch.cat(chunks, dim)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient.narrow(ctx.dim, rank() * ctx.size, ctx.size), None


def local_pair_mask(num_samples: int, device: torch.device) -> Tensor:
    """Mark which pairs of a sample of this process with a sample of any process are a sample with itself.

    Args:
        num_samples: number b of samples of this process, the same in all processes.
        device: device of the mask.

    Returns:
        (b, m) bool with m = b * `world_size()`: True where column j is sample i; the identity for one process.
    """
    here = torch.arange(num_samples, device=device) + rank() * num_samples
    return here[:, None] == torch.arange(world_size() * num_samples, device=device)


def local_diagonal(pairs: Tensor, local_dim: int = 2, global_dim: int = 3) -> Tensor:
    """Return the entry of each sample of this process with itself, as the last axis, like `torch.diagonal`.

    Args:
        pairs: (..., b, m, ...) values of the b samples of this process with the m of all processes.
        local_dim, global_dim: positions of the axes b and m.

    Returns:
        (..., b): the other axes in their order, then b; a view of `pairs`.
    """
    return pairs.diagonal(rank() * pairs.shape[local_dim], local_dim, global_dim)
