"""A new index: an empty catalogue that says what its vectors will be of and by."""

import os
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from soundspot.errors import DataError, OutputError, RecipeError
from soundspot.inference.localizer import Localizer
from soundspot.inference.mining.embed import compute_weights_digest
from soundspot.search.metadata_db import FILE, IncompleteIndexError, MetadataDatabase
from soundspot.utils.atomic_io import convert_os_errors, lock_folder

UNMADE = (FILE, f"{FILE}-journal")  # what is left where the making was killed


def create_database(folder: Path, localizer: Localizer, root: Path, every: float | int) -> MetadataDatabase:
    """The catalogue of a new index; arguments and errors as `Index.create` has them."""
    base = Path(os.path.abspath(root))
    if not localizer.takes_waveforms:
        raise RecipeError(
            f"{localizer.name} hears no recordings but vectors of them that another network made, so files cannot "
            "be indexed by it. Use a checkpoint with a sound encoder of its own"
        )
    if not every > 0:
        raise RecipeError(f"every: found {every:g}, expected more than 0 seconds")
    if not base.is_dir():
        raise DataError(f"{base}: found no such folder, expected the one of your files. Check the path")
    _refuse_taken(folder)
    with convert_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    told = {
        "root": os.fsencode(base),
        "width": localizer.embed_pixels(_blank(localizer)).shape[1],
        "rows": 0,
        "generation": 0,
        "weights": compute_weights_digest(localizer),
        "method": localizer.name,
        "checkpoint": localizer.checkpoint,
        "every": float(every),
    }
    with lock_folder(folder):
        _refuse_taken(folder)  # meanwhile
        for name in UNMADE:
            (folder / name).unlink(missing_ok=True)
        return MetadataDatabase(folder, told)


def is_index(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is an index, and not one that was killed while it was made.

    Raises:
        DataError: it is a damaged one.
    """
    if not (Path(folder) / FILE).is_file():
        return False
    try:
        MetadataDatabase(Path(folder)).close()
    except IncompleteIndexError:
        return False
    return True


def _refuse_taken(folder: Path) -> None:
    if is_index(folder):
        raise OutputError(f"{folder}: holds an index already. Open it, or give another name")
    if folder.exists() and not (folder.is_dir() and all(one.name in UNMADE for one in folder.iterdir())):
        raise OutputError(f"{folder}: holds something else. Give another name for the index")


def _blank(localizer: Localizer) -> Float[Tensor, "1 i s s"]:
    """A picture to see by how wide vectors are."""
    spec = localizer.method.front_end.image
    return torch.zeros(1, spec.num_channels, spec.size, spec.size)
