"""Several data sets one after the other."""

import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate, chain
from typing import Any

from soundspot.data.datasets import registry
from soundspot.data.datasets.wrapper import SampleForwarder
from soundspot.errors import RecipeError
from soundspot.types import AudioVisualDataset, GroundTruth

MEMBER_KEYS = ("name", "root", "options", "repeat")


class ConcatDataset(SampleForwarder):
    """The samples of several data sets, those of one after those of the other.

    Args:
        datasets: data sets, not empty, in the order of their samples.
        repeats: number of times that each data set is used in an epoch. Its n copies are its epochs n e to n e + n - 1
            in epoch e, so what is paired or composed anew in each epoch is so in each copy.

    Attributes:
        members: data sets in use, a repeated one several times.
        is_prefixed: whether ids begin with the number of their copy among `members`, as some occur in several. Those of
            images and of audio begin with the number of their data set wherever there are several: in another epoch
            two data sets may pair files of one name.
        split: split of the data sets; `test` where any of them is a test set, and empty where they differ otherwise.
    """

    def __init__(self, datasets: Sequence[AudioVisualDataset], repeats: Sequence[int]) -> None:
        self._datasets, self._repeats = tuple(datasets), tuple(repeats)
        splits = {dataset.split for dataset in datasets}
        self.name = "+".join(dict.fromkeys(dataset.name for dataset in datasets))
        self.split = "test" if "test" in splits else splits.pop() if len(splits) == 1 else ""
        self._set_epoch(0)
        ids = Counter(id for member in self.members for id in {member.id(index) for index in range(len(member))})
        self.is_prefixed = any(count > 1 for count in ids.values())

    def _set_epoch(self, epoch: int) -> None:
        repeated = zip(self._datasets, self._repeats, strict=True)
        self.epoch = epoch
        self.members = tuple(
            dataset.at_epoch(epoch * count + turn) for dataset, count in repeated for turn in range(count)
        )
        self._owners = [number for number, count in enumerate(self._repeats) for _ in range(count)]
        self._ends = [*accumulate(map(len, self.members))]

    def __len__(self) -> int:
        return self._ends[-1]

    def _find_member(self, index: int) -> tuple[int, AudioVisualDataset, int]:
        """Return the number of the data set that holds a sample, the data set, and the sample's position in it."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        number = bisect.bisect_right(self._ends, index)
        member = self.members[number]
        return number, member, index - self._ends[number] + len(member)

    def locate(self, index: int) -> tuple[AudioVisualDataset, int]:
        """Return the data set that holds a sample, and the sample's position in it.

        Args:
            index: position of the sample, from 0.

        Returns:
            Member, and position from 0.
        """
        return self._find_member(index)[1:]

    def _prefix_of_files(self, number: int) -> str:
        return f"{self._owners[number]}/" if len(self._datasets) > 1 else ""

    def id(self, index: int) -> str:
        """Return the id of a sample.

        Args:
            index: position of the sample, from 0.

        Returns:
            The id in its own data set, after `NUMBER/` where ids would occur twice.
        """
        number, member, i = self._find_member(index)
        return f"{number}/{member.id(i)}" if self.is_prefixed else member.id(i)

    def group(self, index: int) -> str:
        """Return the id of the sample's image.

        Args:
            index: position of the sample, from 0.

        Returns:
            The id in its own data set, after `NUMBER/` of the data set where there are several.
        """
        number, member, i = self._find_member(index)
        return self._prefix_of_files(number) + member.group(i)

    def audio_id(self, index: int) -> str:
        """Return the id of the sample's audio.

        Args:
            index: position of the sample, from 0.

        Returns:
            The id in its own data set, after `NUMBER/` of the data set where there are several.
        """
        number, member, i = self._find_member(index)
        return self._prefix_of_files(number) + member.audio_id(i)

    @cached_property
    def categories(self) -> tuple[str, ...]:  # type: ignore[override]
        """Categories of all data sets, sorted; empty where one of them does not know those of other epochs."""
        known = [dataset.categories for dataset in self._datasets]
        return tuple(sorted({*chain.from_iterable(known)})) if all(known) else ()

    @property
    def has_train_ground_truth(self) -> bool:
        """True where one of the data sets has ground truth to train on."""
        return any(dataset.has_train_ground_truth for dataset in self._datasets)

    def read_train_ground_truth(self, index: int) -> GroundTruth | None:
        """Read the ground truth that a method may learn from.

        Args:
            index: position of the sample, from 0.

        Returns:
            Boxes or mask; None where the sample is not annotated, or is of a data set without ground truth to train on
            among others that have some.
        """
        member, i = self.locate(index)
        if self.has_train_ground_truth and not member.has_train_ground_truth:
            return None
        return member.read_train_ground_truth(i)

    def at_epoch(self, epoch: int) -> "ConcatDataset":
        """Return the data set with the samples of an epoch.

        Args:
            epoch: number of the epoch, from 0.

        Returns:
            Data set of the same length; this data set is not changed.
        """
        if epoch == self.epoch:
            return self
        other = object.__new__(ConcatDataset)
        other.__dict__.update(self.__dict__)
        other._set_epoch(epoch)
        return other

    def count_frames(self) -> int:
        """Return the largest number of frames that any sample chooses its image from.

        Returns:
            Number of frames, 1 or more.
        """
        return max(dataset.count_frames() for dataset in self._datasets)


def open_concat(root: str | None, datasets: Any) -> ConcatDataset:
    """Open several data sets as one.

    Args:
        root: folder of those that name none of their own.
        datasets: list of mappings, for each data set its `name`, `root`, `options`, and `repeat`, the number of times
            that it is used in an epoch (by default 1).

    Returns:
        The data sets' samples, in their order.

    Raises:
        RecipeError: `datasets` is empty, or one of them has no name, an unknown key, or a wrong `repeat`.
        DataError: files of a data set are missing or wrong.
    """
    example = "{datasets: [{name: catalog, root: FOLDER, options: {}}, {name: cutouts, root: FOLDER, repeat: 2}]}"
    if not isinstance(datasets, Sequence) or isinstance(datasets, str):
        raise RecipeError(f"concat: found `datasets: {datasets}`, expected a list, as in {example}")
    opened, repeats = [], []
    for member in datasets:
        if not _is_member(member):
            keys = ", ".join(MEMBER_KEYS)
            raise RecipeError(f"concat: found {member} among `datasets`, expected keys {keys}, as in {example}")
        opened.append(
            registry.open_dataset(member["name"], member.get("root") or root, **(member.get("options") or {}))
        )
        repeats.append(member.get("repeat", 1))
    if not opened:
        raise RecipeError(f"concat: found no `datasets`, expected one or more, as in {example}")
    return ConcatDataset(opened, repeats)


def _is_member(member: Any) -> bool:
    """Return whether an entry of `datasets` names a data set in keys and values that are understood."""
    return (
        isinstance(member, Mapping)
        and not set(member) - {*MEMBER_KEYS}
        and isinstance(member.get("name"), str)
        and isinstance(member.get("root"), str | None)
        and isinstance(member.get("options"), Mapping | None)
        and type(repeat := member.get("repeat", 1)) is int
        and repeat > 0
    )
