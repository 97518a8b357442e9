"""Audio embeddings that another network computed, such as SoundNet's: read by clip id, or checked as given."""

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
from soundspot.utils.safe_read import MAX_ENTRY_BYTES, check_npy_header, load_npy


class ArrayStore:
    """Embeddings by clip id: a folder of `ID.npy`, or one .npz that holds them all.

    `id in store` tests whether the embedding of a clip exists.

    Args:
        path: path of the folder or the .npz.

    Raises:
        DataError: the path is neither a folder nor an .npz.
        InputError: the .npz cannot be read.
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
        """Read the embedding of a clip.

        Args:
            id: id of the clip.

        Returns:
            (d,) float32 embedding.

        Raises:
            InputError: it is missing, cannot be read, or is no vector of finite numbers.
        """
        name = f"{self.path}: {id}" if self._files is None else f"{self.path / f'{id}.npy'}"
        try:
            vector: Any = self._read_entry(id) if self._files is None else load_npy(name)
        except Exception as error:  # of a damaged archive: of any kind
            raise InputError(f"{name}: cannot be read ({error}), expected a vector. Make it again.") from error
        if vector.ndim != 1 or vector.dtype.kind not in "fiu" or not len(vector) or not np.isfinite(vector).all():
            raise InputError(
                f"{name}: found {vector.dtype} of shape {vector.shape}, expected one vector of finite numbers. "
                "Make it again."
            )
        return torch.from_numpy(vector.astype(np.float32))

    def _read_entry(self, id: str) -> Any:
        """Return an array of the .npz, after its size has been checked."""
        archive = self._archive()
        info = archive.zip.getinfo(f"{id}.npy")
        with archive.zip.open(info) as entry:
            check_npy_header(entry, min(info.file_size, MAX_ENTRY_BYTES))
        return archive[id]

    def _archive(self) -> Any:
        """Return the open .npz, one for each process: workers must not share a position in a file."""
        if os.getpid() not in self._open:
            check_readable(self.path, "vectors in an .npz")
            try:
                archive: Any = np.load(self.path, allow_pickle=False)
                self._open = {os.getpid(): archive}
                frozenset(archive.files)  # an .npy of this name has none
            except Exception as error:  # of a damaged archive: of any kind
                raise InputError(f"{self.path}: cannot be read ({error}), expected an .npz. Make it again.") from error
        return self._open[os.getpid()]


def as_vector(vector: Any, width: int) -> Float[Tensor, " d"]:
    """Return an audio embedding as a (width,) float32 tensor.

    Args:
        vector: array, tensor or list of `width` finite numbers.
        width: number of components that the model takes.

    Returns:
        (width,) float32 tensor with the same values.

    Raises:
        InputError: `vector` is a recording or a path, has another shape, or has values that are no finite numbers.
    """
    expected = f"a vector of {width} numbers that another network made of the sound: this model takes nothing else"
    if isinstance(vector, Audio | str | os.PathLike | tuple):
        raise InputError(f"found a recording, expected {expected}. Give such a vector as the sound.")
    try:
        values = torch.as_tensor(vector).float()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"found {type(vector).__name__}, expected {expected}. Give such a vector as the sound."
        ) from error
    if values.shape != (width,) or not values.isfinite().all():
        raise InputError(f"found numbers of shape {tuple(values.shape)}, expected {expected}, all finite.")
    return values
