"""Renaming: the names of a released state dict to ours, by their beginnings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from whence.errors import CheckpointError
from whence.methods import create
from whence.methods.base import Method
from whence.models.encoders import load_exactly


@dataclass(frozen=True)
class Release:
    """One published code base's names.

    Attributes:
        method: ours; options: that it is created with.
        parts: beginnings of names, theirs to ours; the first that fits is replaced.
        unused: beginnings of names that the published forward never reads: dropped. All others must be known.
        own: further such beginnings, which every file of this release has and no other of the same network.
    """

    method: str
    parts: tuple[tuple[str, str], ...]
    unused: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    own: tuple[str, ...] = ()

    def ours(self, name: str) -> str:
        """Our name of one of theirs; what no part fits stays as it is."""
        theirs, mine = next((pair for pair in self.parts if name.startswith(pair[0])), ("", ""))
        return mine + name.removeprefix(theirs)

    def __call__(self, state: Mapping[str, Tensor], what: str) -> Method:
        """The method with these weights; CheckpointError where one is missing, unknown or of another shape."""
        lacking = [mark for mark in self.own if not any(name.startswith(mark) for name in state)]
        if lacking:
            raise CheckpointError(
                f"{what} does not fit: it has no {lacking[0]}*, as all released {self.method} files do"
            )
        method = create(self.method, **dict(self.options))
        unused = self.unused + self.own
        used = {self.ours(name): value for name, value in state.items() if not name.startswith(unused)}
        load_exactly(method, used, what=what)
        return method
