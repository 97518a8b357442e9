"""One evaluation by several processes: each takes a shard of the batches, and all get the results of all.

A shard is whole batches, one after another, so that every batch, and with it every rounding, is the same however many
processes there are; results are exchanged in the order of the batches.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from soundspot.utils.distributed import all_gather_object, rank, world_size

T = TypeVar("T")


@dataclass(frozen=True)
class RankShard:
    """The shard of one process. All processes must make the same calls in the same order.

    Attributes:
        rank: of this process.
        world_size: number of processes.
    """

    rank: int = 0
    world_size: int = 1

    @classmethod
    def from_process_group(cls) -> "RankShard":
        """Return the shard of this process in its process group; the only one where there is no group."""
        return cls(rank(), world_size())

    @property
    def is_first(self) -> bool:
        """True in the process that writes the results."""
        return self.rank == 0

    def select(self, items: Sequence[T]) -> Sequence[T]:
        """Return the consecutive items, such as batches, of this process."""
        start, stop = (len(items) * rank // self.world_size for rank in (self.rank, self.rank + 1))
        return items[start:stop]

    def all_gather(self, value: T) -> list[T]:
        """Return the values of all processes in the order of their ranks."""
        return [value] if self.world_size == 1 else all_gather_object(value)

    def iter_gathered(self, values: Iterable[T], first_rank: int = 0) -> Iterator[T]:
        """Yield the values of all processes from `first_rank` on, one at a time."""
        if self.world_size == 1:
            yield from () if first_rank else values
            return
        for sender in range(first_rank, self.world_size):
            remaining = iter(values) if self.rank == sender else iter(())
            while (value := self.all_gather(next(remaining, None))[sender]) is not None:
                yield value


SINGLE_PROCESS = RankShard()
