"""One evaluation by several processes: each takes a share of the batches, and all know in the end what one would.

Processes are those that work together (`soundspot.utils.distributed`). A share is whole batches, one after another, so that every
batch is the same however many processes there are, and with it every rounding; what is exchanged comes in the order of
the batches.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from soundspot.utils.distributed import all_gather_object, rank, world_size

T = TypeVar("T")


@dataclass(frozen=True)
class RankShard:
    """The part of one process: `rank` of `world`. All processes must make the same calls in the same order."""

    rank: int = 0
    world_size: int = 1

    @classmethod
    def from_process_group(cls) -> "RankShard":
        """Of this process, beside those that work together with it; the whole where there are none."""
        return cls(rank(), world_size())

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def select(self, items: Sequence[T]) -> Sequence[T]:
        """The part of `things` (batches, or what falls into parts anyhow) that is this process's."""
        start, stop = (len(items) * at // self.world_size for at in (self.rank, self.rank + 1))
        return items[start:stop]

    def all_gather(self, value: T) -> list[T]:
        """What each process gives, in the order of their ranks."""
        return [value] if self.world_size == 1 else all_gather_object(value)

    def iter_gathered(self, values: Iterable[T], first_rank: int = 0) -> Iterator[T]:
        """All that each process gives, one thing at a time, from the process of rank `first` on."""
        if self.world_size == 1:
            yield from () if first_rank else values
            return
        for turn in range(first_rank, self.world_size):
            left = iter(values) if self.rank == turn else iter(())
            while (thing := self.all_gather(next(left, None))[turn]) is not None:
                yield thing


SINGLE_PROCESS = RankShard()
