"""Cache of composed scenes: a folder of arrays in memory maps, filled as samples are read."""

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


class SceneCache:
    """Images and audio of a fixed number of samples, in four files of a folder.

    A sample is marked as written after it was written, so several processes may fill one cache, and a killed one leaves
    nothing half done: the sample is written again, to the same bytes.

    Args:
        folder: folder of this cache alone; its name identifies the content.
        num_samples: number of samples.
        size: side of the images in pixels.
        audio_length: length of each waveform in audio samples.

    Raises:
        OutputError: the folder cannot be made, or holds arrays of another shape.
    """

    def __init__(self, folder: Path, num_samples: int, size: int, audio_length: int) -> None:
        self.folder = folder
        self.arrays: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
            "images": ((num_samples, size, size, 3), np.uint8),
            "images-written": ((num_samples,), np.bool_),
            "audio": ((num_samples, audio_length), np.float32),
            "audio-written": ((num_samples,), np.bool_),
        }

    def get(self, modality: Literal["images", "audio"], index: int, make: Callable[[], NDArray]) -> NDArray:
        """Return a copy of an image (size, size, 3) or a waveform (audio_length,); made and stored if it is not yet."""
        values, written = self._open[modality], self._open[f"{modality}-written"]
        if not written[index]:
            values[index] = make()
            written[index] = True
        return values[index].copy()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the memory maps, which another process opens by itself."""
        return {name: value for name, value in vars(self).items() if name != "_open"}

    @cached_property
    def _open(self) -> dict[str, NDArray]:
        try:
            if not self.folder.is_dir():
                self._create()
            arrays = {name: open_memmap(self.folder / f"{name}.npy", mode="r+") for name in self.arrays}
            for name, (shape, _) in self.arrays.items():
                if arrays[name].shape != shape:
                    raise ValueError(f"{name}.npy is {arrays[name].shape}, expected {shape}")
        except (OSError, ValueError) as error:
            raise OutputError(
                f"{self.folder}: scenes cannot be cached there ({error}); name another folder, or remove it"
            ) from error
        return arrays

    def _create(self) -> None:
        """Create empty arrays, which take no space on disk until they are filled; the folder is renamed into place."""
        draft = self.folder.with_name(f"{self.folder.name}.{os.getpid()}")
        draft.mkdir(parents=True)
        for name, (shape, dtype) in self.arrays.items():
            open_memmap(draft / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
        try:
            draft.rename(self.folder)
        except OSError:  # another process was first
            shutil.rmtree(draft)
