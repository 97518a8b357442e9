"""Data sets by name. Each adapter reads its authors' files unmodified and offers `whence.types.AudioVisualDataset`."""

import inspect
from pathlib import Path
from typing import Any

from whence.errors import DataError, RecipeError, did_you_mean
from whence.types import AudioVisualDataset

CATALOGUE = "a folder of pictures and recordings with annotations.json, paired by category"


def datasets() -> dict[str, str]:
    """Name and one line of each data set there is."""
    from whence.scenes import SCENES

    return {"catalogue": CATALOGUE, **SCENES}


def open_dataset(name: str, root: str | Path | None = None, **options: Any) -> AudioVisualDataset:
    """A data set by name.

    Args:
        name: one of `datasets()`.
        root: its folder; procedural scenes need none.
        options: of its own: `split`, `length`, `seed`...

    Raises:
        RecipeError: an unknown name or option. DataError: the folder is missing or its files are wrong.
    """
    if name != "catalogue":
        from whence.scenes import SCENES, open_scenes

        if name in SCENES:
            return open_scenes(name, root, **options)
        raise RecipeError(f"unknown data set {name!r}{did_you_mean(name, datasets())}")
    from whence.data.datasets.catalogue import Catalogue

    if root is None:
        raise DataError("the data set `catalogue` needs a folder with annotations.json; give it as `root`")
    known = set(inspect.signature(Catalogue).parameters) - {"root"}
    for option in options:
        if option not in known:
            raise RecipeError(f"the data set `catalogue` has no option {option!r}{did_you_mean(option, known)}")
    return Catalogue(root, **options)
