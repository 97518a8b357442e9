"""Vectors that another network made of sounds, such as SoundNet's: read by id, or given as they are."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from soundspot.data.media.file_types import DirectoryIndex, check_readable
from soundspot.errors import DataError, InputError
from soundspot.types import Audio


class ArrayStore:
    """Vectors by id: a folder of `ID.npy`, or one .npz that holds them all.

    Raises:
        DataError: there is neither. InputError: the .npz cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: dict[int, Any] = {}
        self._ids: frozenset[str] = frozenset()
        self._files: DirectoryIndex | None = None
        if path.is_dir():
            self._files = DirectoryIndex(path)
        elif path.suffix == ".npz" and path.is_file():
            self._ids = frozenset(self._archive().files)
        else:
            raise DataError(f"{path}: found neither a folder nor an .npz, expected vectors ID.npy, or id -> vector")
        self.expected = "vectors in it" if self._files is None else "vectors ID.npy"

    def __contains__(self, id: str) -> bool:
        return id in self._ids if self._files is None else f"{id}.npy" in self._files

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}

    def read(self, id: str) -> Float[Tensor, " d"]:
        """The vector of a clip; InputError where it cannot be read, or is no vector of finite numbers."""
        where = f"{self.path}: {id}" if self._files is None else f"{self.path / f'{id}.npy'}"
        try:
            found: Any = self._archive()[id] if self._files is None else np.load(where, allow_pickle=False)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{where}: cannot be read ({error}), expected a vector. Make it again.") from error
        if found.ndim != 1 or found.dtype.kind not in "fiu" or not len(found) or not np.isfinite(found).all():
            raise InputError(
                f"{where}: found {found.dtype} of shape {found.shape}, expected one vector of finite numbers. "
                "Make it again."
            )
        return torch.from_numpy(found.astype(np.float32))

    def _archive(self) -> Any:
        """The open .npz, one for each process: workers must not share the place in a file."""
        if os.getpid() not in self._open:
            check_readable(self.path, "vectors in an .npz")
            try:
                self._open = {os.getpid(): np.load(self.path, allow_pickle=False)}
            except (OSError, ValueError) as error:
                raise InputError(f"{self.path}: cannot be read ({error}), expected an .npz. Make it again.") from error
        return self._open[os.getpid()]


def as_vector(vector: Any, width: int) -> Float[Tensor, " d"]:
    """One vector of `width` finite numbers from an array or tensor; InputError where it is none."""
    expected = f"a vector of {width} numbers that another network made of the sound: this model hears nothing else"
    if isinstance(vector, Audio | str | os.PathLike | tuple) or not hasattr(vector, "__len__"):
        found = "a recording" if isinstance(vector, Audio | str | os.PathLike | tuple) else type(vector).__name__
        raise InputError(f"found {found}, expected {expected}. Give such a vector as the sound.")
    numbers = torch.as_tensor(vector).float()
    if numbers.shape != (width,) or not numbers.isfinite().all():
        raise InputError(f"found numbers of shape {tuple(numbers.shape)}, expected {expected}, all finite.")
    return numbers
