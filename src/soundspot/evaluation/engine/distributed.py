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
        rank: rank of this process, from 0.
        world_size: number of processes.
    """

    rank: int = 0
    world_size: int = 1

    @classmethod
    def from_process_group(cls) -> "RankShard":
        """Return the shard of this process in the active torch.distributed process group.

        Returns:
            The shard; rank 0 of 1 where no process group is initialized.
        """
        return cls(rank(), world_size())

    @property
    def is_first(self) -> bool:
        """True in the process of rank 0, which writes the results."""
        return self.rank == 0

    def select(self, items: Sequence[T]) -> Sequence[T]:
        """Select the consecutive items of this process.

        Args:
            items: items, such as batches, the same in all processes.

        Returns:
            The items of this rank: a slice of about len(items) / world_size, which may be empty; the slices of all
                ranks are
            disjoint and together all items in order.
        """
        start, stop = (len(items) * rank // self.world_size for rank in (self.rank, self.rank + 1))
        return items[start:stop]

    def all_gather(self, value: T) -> list[T]:
        """Gather a value of each process; blocks until all processes call it.

        Args:
            value: a picklable value of this process.

        Returns:
            Values of all processes in the order of their ranks, in every process.
        """
        return [value] if self.world_size == 1 else all_gather_object(value)

    def iter_gathered(self, values: Iterable[T], first_rank: int = 0) -> Iterator[T]:
        """Yield the values of all processes, one at a time; blocks until all processes call it.

        Args:
            values: picklable values of this process, none of them None.
            first_rank: lowest rank whose values are yielded.

        Yields:
            Values in the order of ranks, in every process.
        """
        if self.world_size == 1:
            yield from () if first_rank else values
            return
        for sender in range(first_rank, self.world_size):
            remaining = iter(values) if self.rank == sender else iter(())
            while (value := self.all_gather(next(remaining, None))[sender]) is not None:
                yield value


SINGLE_PROCESS = RankShard()
