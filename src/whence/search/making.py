"""A new index: an empty catalogue that says what its vectors will be of and by."""

import os
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from whence.errors import DataError, OutputError, RecipeError
from whence.inference.embed import weights_of
from whence.inference.localizer import Localizer
from whence.output import locked, writing
from whence.search.catalogue import FILE, Catalogue, UnmadeError

UNMADE = (FILE, f"{FILE}-journal")  # what is left where the making was killed


def new_catalogue(folder: Path, localizer: Localizer, root: Path, every: float | int) -> Catalogue:
    """The catalogue of a new index; arguments and errors as `Index.create` has them."""
    base = Path(os.path.abspath(root))
    if not localizer.hears_recordings:
        raise RecipeError(
            f"{localizer.name} hears no recordings but vectors of them that another network made, so files cannot "
            "be indexed by it. Use a checkpoint with a sound encoder of its own"
        )
    if not every > 0:
        raise RecipeError(f"every: found {every:g}, expected more than 0 seconds")
    if not base.is_dir():
        raise DataError(f"{base}: found no such folder, expected the one of your files. Check the path")
    _refuse_taken(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    told = {
        "root": os.fsencode(base),
        "width": localizer.embed_pixels(_blank(localizer)).shape[1],
        "rows": 0,
        "generation": 0,
        "weights": weights_of(localizer),
        "method": localizer.name,
        "checkpoint": localizer.checkpoint,
        "every": float(every),
    }
    with locked(folder):
        _refuse_taken(folder)  # meanwhile
        for name in UNMADE:
            (folder / name).unlink(missing_ok=True)
        return Catalogue(folder, told)


def holds_index(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is an index, and not one that was killed while it was made.

    Raises:
        DataError: it is a damaged one.
    """
    if not (Path(folder) / FILE).is_file():
        return False
    try:
        Catalogue(Path(folder)).close()
    except UnmadeError:
        return False
    return True


def _refuse_taken(folder: Path) -> None:
    if holds_index(folder):
        raise OutputError(f"{folder}: holds an index already. Open it, or give another name")
    if folder.exists() and not (folder.is_dir() and all(one.name in UNMADE for one in folder.iterdir())):
        raise OutputError(f"{folder}: holds something else. Give another name for the index")


def _blank(localizer: Localizer) -> Float[Tensor, "1 i s s"]:
    """A picture to see by how wide vectors are."""
    spec = localizer.method.front_end.image
    return torch.zeros(1, spec.planes, spec.size, spec.size)
