"""One evaluation by several processes: each takes a share of the batches, and all know in the end what one would.

Processes are those that work together (`whence.processes`). A share is whole batches, one after another, so that every
batch is the same however many processes there are, and with it every rounding; what is exchanged comes in the order of
the batches.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from whence.processes import from_all, rank, world

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """The part of one process: `rank` of `world`. All processes must make the same calls in the same order."""

    rank: int = 0
    world: int = 1

    @classmethod
    def of_process(cls) -> "Share":
        """Of this process, beside those that work together with it; the whole where there are none."""
        return cls(rank(), world())

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def of(self, things: Sequence[T]) -> Sequence[T]:
        """The part of `things` (batches, or what falls into parts anyhow) that is this process's."""
        start, stop = (len(things) * at // self.world for at in (self.rank, self.rank + 1))
        return things[start:stop]

    def gathered(self, mine: T) -> list[T]:
        """What each process gives, in the order of their ranks."""
        return [mine] if self.world == 1 else from_all(mine)

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
