"""Data sets by name. Each adapter reads its authors' files unmodified and offers `whence.types.AudioVisualDataset`."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from whence.errors import DataError, RecipeError, did_you_mean
from whence.frontend import InputSpec
from whence.types import AudioVisualDataset

FOLDERS = {
    "catalogue": "a folder of pictures and recordings with annotations.json, paired by category",
    "pairs": "a folder with frames/ID.jpg and audio/ID.wav and a list of ids (EZ-VSL's layout), to train on",
}


TESTS: set[str] = set()  # public test sets


def datasets() -> dict[str, str]:
    """Name and one line of each data set there is."""
    from whence.scenes import SCENES

    return {**FOLDERS, **SCENES}


def open_dataset(name: str, root: str | Path | None = None, **options: Any) -> AudioVisualDataset:
    """A data set by name.

    Args:
        name: one of `datasets()`.
        root: its folder; procedural scenes need none.
        options: of its own: `split`, `length`, `seed`...

    Raises:
        RecipeError: an unknown name or option. DataError: the folder is missing or its files are wrong.
    """
    if name not in datasets():
        raise RecipeError(f"unknown data set {name!r}{did_you_mean(name, datasets())}")
    if name not in FOLDERS:
        from whence.scenes import open_scenes

        return open_scenes(name, root, **options)
    adapter = _adapter(name)
    if root is None:
        raise DataError(f"the data set {name!r} needs a folder; give it as `root`. It is {FOLDERS[name]}")
    known = set(inspect.signature(adapter).parameters) - {"root"}
    for option in options:
        if option not in known:
            raise RecipeError(f"the data set {name!r} has no option {option!r}{did_you_mean(option, known)}")
    opened: AudioVisualDataset = adapter(root, **options)
    return opened


def scoring_options(name: str, front_end: InputSpec | None = None, truths_only: bool = False) -> dict[str, Any]:
    """What a data set is opened with to be scored on.

    Args:
        front_end: of the model: scenes are composed at its size and length.
        truths_only: neither pictures nor sounds are looked for.
    """
    if name == "catalogue":
        return {"split": "test"}
    if name not in FOLDERS and front_end is not None:
        return {"size": front_end.image.size, "seconds": front_end.audio.seconds}
    return {"media": "unchecked"} if truths_only and name in TESTS else {}


def fitting_options(name: str, front_end: InputSpec, options: dict[str, Any]) -> dict[str, Any]:
    """What a data set is opened with to fit something on it.

    Raises:
        RecipeError: it is a test set.
    """
    if name in TESTS or options.get("split") == "test":
        raise RecipeError(
            f"{name}: nothing is fitted on a test set; name held-out data, such as a catalogue's split `val` or scenes "
            "of another seed."
        )
    own = {"split": "val"} if name == "catalogue" else scoring_options(name, front_end)
    return own | options


def _adapter(name: str) -> Callable[..., AudioVisualDataset]:
    """Imported where used: the catalogue's rules and the scenes' shapes cost nobody who does not need them."""
    if name == "pairs":
        from whence.data.datasets.pairs import Pairs

        return Pairs
    from whence.data.datasets.catalogue import Catalogue

    return Catalogue
