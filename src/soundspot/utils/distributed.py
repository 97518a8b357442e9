"""Several processes that work on one model, as `torchrun` starts them: who each is, and what it has of the others.

A pair of a loss compares a clip of this process with one of any: vectors are gathered, compared with the places that
are here, and the numbers of these pairs are gathered again. What is as large as a picture never travels. So every
process holds the loss of the whole batch, and the mean of their gradients, which is what data parallelism takes, is
the gradient of it.

By itself a process is the first of one, and nothing here costs anything.
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
HEARTBEAT_SECONDS, MAX_MISSED_HEARTBEATS = 5.0, 8  # seconds between two signs of life, and how many may be missed
COLLECTIVE_TIMEOUT = timedelta(
    minutes=30
)  # that one waits for the others, in a training step or with its share of a test set
_watch: "_Watch | None" = None
_alone: ContextVar[bool] = ContextVar("alone", default=False)


def is_launched() -> bool:
    """Whether `torchrun`, or whatever sets the same variables, has started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_launched_rank_zero() -> bool:
    """Whether of the processes that were launched this is the first, before and after they work together."""
    return os.environ.get("RANK", "0") == "0" or not is_launched()


def is_distributed() -> bool:
    """Whether this process has others that it works with now."""
    return dist.is_available() and dist.is_initialized() and not _alone.get()


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if is_distributed() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if is_distributed() else 0


def is_rank_zero() -> bool:
    """Whether this process is the one that writes files."""
    return rank() == 0


@contextmanager
def process_group() -> Iterator[None]:
    """Works with the other processes that were launched, for as long as the block lasts.

    One that ends, or is stopped for some 40 seconds, ends the others too; one that hangs does so after half an
    hour, in which the others wait for it.

    Raises:
        SoundspotError: the launcher's variables are not all there; another process has ended.
    """
    global _watch
    if not is_launched() or is_distributed():
        yield
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise SoundspotError(
            f"found WORLD_SIZE={os.environ['WORLD_SIZE']} without {', '.join(missing)}, expected all that a launcher "
            "sets. Start several processes with `torchrun`, or unset WORLD_SIZE"
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store, number, count = next(rendezvous("env://", timeout=timedelta(minutes=5)))
    dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=COLLECTIVE_TIMEOUT)
    _watch = _Watch(number, count)
    _watch.start()
    try:
        yield
        _watch.meet([*range(count)])
    except RuntimeError as error:
        if not _lost_another(error):
            raise
        raise SoundspotError(
            "another process of this run has ended, and what it said tells why. Mend that, and go on (training: with "
            "--resume)"
        ) from error
    finally:
        _watch.over.set()
        _watch.join()
        _watch = None
        dist.destroy_process_group()


def _lost_another(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is that another process is gone, and torchrun ends this one too."""
    signs = ("Connection closed by peer", "Connection reset by peer", "gloo", "NCCL", "killed by signal: Terminated")
    while error is not None:
        if isinstance(error, dist.DistError) or any(sign in str(error) for sign in signs):
            return True
        error = error.__cause__ or error.__context__
    return False


class _Watch(Thread):
    """Tells the others that this process lives, and ends it when one of them has been silent for too long.

    Periods are counted and not seconds, so a machine that slept takes nobody for dead.
    """

    def __init__(self, number: int, count: int) -> None:
        super().__init__(daemon=True, name="soundspot-watch")
        self.number, self.others, self.over = number, [n for n in range(count) if n != number], Event()
        where = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self.store = PrefixStore("soundspot", TCPStore(*where, count, is_master=False))
        self.meetings = 0

    def meet(self, awaited: list[int]) -> None:
        """Waits for some of the processes, for as long as they take: while they live, they will come."""
        self.meetings += 1
        self.store.set(f"meeting {self.meetings} {self.number}", "")
        keys = [f"meeting {self.meetings} {one}" for one in awaited]
        while not self.store.check(keys):
            sleep(0.05)

    def run(self) -> None:
        heard, missed = dict.fromkeys(self.others, b""), dict.fromkeys(self.others, 0)
        beat = 0
        while not self.over.wait(HEARTBEAT_SECONDS):
            beat += 1
            try:
                self.store.set(str(self.number), str(beat))
                for other in self.others:
                    sign = self.store.get(str(other)) if self.store.check([str(other)]) else b""
                    missed[other] = missed[other] + 1 if sign == heard[other] else 0
                    heard[other] = sign
            except RuntimeError:  # the machine that keeps the signs is gone
                missed[min(self.others)] = MAX_MISSED_HEARTBEATS
            lost = [other for other in self.others if missed[other] >= MAX_MISSED_HEARTBEATS]
            if lost and not self.over.is_set():
                sys.stderr.write(
                    f"soundspot: process {lost[0]} has not been heard of for {HEARTBEAT_SECONDS * MAX_MISSED_HEARTBEATS:.0f} s, so process "
                    f"{self.number} ends too. Look at what it said, and go on (training: with --resume)\n"
                )
                sys.stderr.flush()
                os._exit(3)


@contextmanager
def single_process() -> Iterator[None]:
    """In here this process is the first of one: what it computes is of its own clips."""
    before = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(before)


def on_rank_zero(function: Callable[[], T]) -> T:
    """What `work` answers; the first process alone does it and tells the others, which wait.

    Raises:
        SoundspotError: as the first process raised it, in all of them.
    """
    if world_size() == 1:
        return function()
    told: list[Any] = [None, None]
    if is_rank_zero():
        try:
            with single_process():
                told = [function(), None]
        except SoundspotError as error:
            told = [None, error]
    if _watch is not None:
        _watch.meet([0])  # who broadcasts: the others wait here, and not in a collective that has a time limit
    dist.broadcast_object_list(told)
    if told[1] is not None:
        told[1].told = not is_rank_zero()  # one message is enough
        raise told[1]
    return told[0]


def all_gather_object(value: T) -> list[T]:
    """What each process gives, in the order of their numbers."""
    found: list[Any] = [value] * world_size()
    if world_size() > 1:
        dist.all_gather_object(found, value)
    return found


def all_gather_with_grad(x: Tensor, dim: int = 0) -> Tensor:
    """`x` of all processes, one behind the other along `dim`, with gradient; `x` itself where there is one.

    All of them have as much. What each makes of the whole moves what every one put in: gradients are summed.
    """
    if world_size() == 1:
        return x
    answer: Tensor = _Gather.apply(x, dim)  # type: ignore[no-untyped-call]
    return answer


class _Gather(torch.autograd.Function):
    """torch.distributed.nn's own needs an exchange that not every backend has; a sum is enough."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int) -> Tensor:
        ctx.dim, ctx.size = dim, x.shape[dim]
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts, dim)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient.narrow(ctx.dim, rank() * ctx.size, ctx.size), None


def local_pair_mask(num_samples: int, device: torch.device) -> Tensor:
    """(b, m) bool, of b clips that are here and the m of all processes: True where they are the same."""
    here = torch.arange(num_samples, device=device) + rank() * num_samples
    return here[:, None] == torch.arange(world_size() * num_samples, device=device)


def local_diagonal(pairs: Tensor, local_dim: int = 2, global_dim: int = 3) -> Tensor:
    """Of a clip that is here with every one its pair with itself; its axis comes last, as `torch.diagonal` has it.

    Args:
        pairs: (..., b, m, ...). clips, others: the axes of the b clips that are here, and of the m of all.
    """
    return pairs.diagonal(rank() * pairs.shape[local_dim], local_dim, global_dim)
