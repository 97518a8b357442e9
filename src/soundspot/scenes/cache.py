"""Scenes that were composed once are read again: a folder of arrays, filled as items are asked for."""

import os
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from soundspot.errors import OutputError

CachedArray = Literal["pictures", "sounds"]


class SceneCache:
    """Pictures and sounds of a fixed number of items, in four files of a folder, mapped into memory.

    An item is marked as there after it was written, so several processes may fill one shelf, and one that was killed
    leaves nothing half done: the item is written again, to the same bytes.

    Args:
        folder: of this shelf alone; what it holds is told by its name.
        items: how many. size: side of the pictures in pixels. samples: of each sound.

    Raises:
        OutputError: it cannot be made there, or holds arrays of other measures.
    """

    def __init__(self, folder: Path, items: int, size: int, samples: int) -> None:
        self.folder = folder
        self.array_specs = {"pictures": ((items, size, size, 3), np.uint8), "sounds": ((items, samples), np.float32)}

    def get(self, part: CachedArray, index: int, make: Callable[[], NDArray]) -> NDArray:
        """A copy of the picture (size, size, 3) or the sound (samples,); made, and put there, if it is not yet."""
        values, there = self._arrays[part]
        if not there[index]:
            values[index] = make()
            there[index] = True
        return values[index].copy()

    def __getstate__(self) -> dict[str, Any]:
        """Without the arrays, which another process maps by itself."""
        return {name: value for name, value in vars(self).items() if name != "_arrays"}

    @cached_property
    def _arrays(self) -> dict[str, tuple[NDArray, NDArray]]:
        try:
            if not self.folder.is_dir():
                self._make()
            return {part: (self._open(part), self._open(f"{part}-there")) for part in self.array_specs}
        except (OSError, ValueError) as error:
            raise OutputError(
                f"{self.folder}: scenes cannot be kept there ({error}); name another folder, or remove it"
            ) from error

    def _open(self, name: str) -> NDArray:
        found = open_memmap(self.folder / f"{name}.npy", mode="r+")
        part, _, mark = name.partition("-")
        shape = self.array_specs[part][0]
        if found.shape != (shape[:1] if mark else shape):
            raise ValueError(f"{name}.npy is {found.shape}, expected {shape[:1] if mark else shape}")
        return found

    def _make(self) -> None:
        """Empty arrays, which take no room on disk before they are filled; the folder appears whole or not at all."""
        draft = self.folder.with_name(f"{self.folder.name}.{os.getpid()}")
        draft.mkdir(parents=True)
        for part, (shape, kind) in self.array_specs.items():
            open_memmap(draft / f"{part}.npy", mode="w+", dtype=kind, shape=shape)
            open_memmap(draft / f"{part}-there.npy", mode="w+", dtype=np.bool_, shape=shape[:1])
        try:
            draft.rename(self.folder)
        except OSError:  # another process was first
            shutil.rmtree(draft)
