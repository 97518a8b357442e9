"""One evaluation by several processes: each takes a share of the batches, and all know in the end what one would.

Processes are those that `torchrun` starts. A share is whole batches, one after another, so that every batch is the same
however many processes there are, and with it every rounding; what is exchanged comes in the order of the batches.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """The part of one process: `rank` of `world`. All processes must make the same calls in the same order."""

    rank: int = 0
    world: int = 1

    @classmethod
    def of_process(cls) -> "Share":
        """As torchrun says in the environment; the whole where it started nothing."""
        share = cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))
        if share.world > 1 and not dist.is_initialized():
            dist.init_process_group("gloo")
        return share

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def device(self, name: str) -> str:
        """`auto` for one process of several on a machine with GPUs is a GPU of its own."""
        if name == "auto" and self.world > 1 and torch.cuda.is_available():
            return f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"
        return name

    def of(self, things: Sequence[T]) -> Sequence[T]:
        """The part of `things` (batches, or what falls into parts anyhow) that is this process's."""
        start, stop = (len(things) * at // self.world for at in (self.rank, self.rank + 1))
        return things[start:stop]

    def gathered(self, mine: T) -> list[T]:
        """What each process gives, in the order of their ranks."""
        if self.world == 1:
            return [mine]
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, mine)
        return found

    def relayed(self, mine: Iterable[T], first: int = 0) -> Iterator[T]:
        """All that each process gives, one thing at a time, from the process of rank `first` on."""
        if self.world == 1:
            yield from () if first else mine
            return
        for turn in range(first, self.world):
            left = iter(mine) if self.rank == turn else iter(())
            while (thing := self.gathered(next(left, None))[turn]) is not None:
                yield thing


WHOLE = Share()
