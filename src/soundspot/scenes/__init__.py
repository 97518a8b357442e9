"""Scenes: composed pictures with sounds, exact masks, and nothing to download."""

from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from soundspot.data.datasets.auxiliary import AUXILIARY_OPTIONS
from soundspot.errors import DataError, RecipeError, did_you_mean
from soundspot.scenes.compose import PlacedObject, Scene, compose
from soundspot.scenes.dataset import SceneDataset, SceneKind
from soundspot.scenes.procedural import ProceduralSource
from soundspot.scenes.source import ObjectSource
from soundspot.scenes.write import write_catalog

__all__ = [
    "SCENES",
    "ObjectSource",
    "PlacedObject",
    "ProceduralSource",
    "Scene",
    "SceneDataset",
    "compose",
    "open_scenes",
    "write_catalog",
]

SCENES: dict[str, str] = {
    "scenes": "training: a shape that sounds among silent ones, endless and fresh for every epoch",
    "scenes-single": "test: one shape alone",
    "scenes-interactive": "test: each picture asked with the sound of each of its shapes",
    "scenes-extended": "test: sounds in the picture, silence, noise and off-screen sounds, a quarter each",
    "cutouts": "training: a cut-out object that sounds among silent ones, from a catalogue with masks",
    "cutouts-single": "test: one cut-out object alone",
    "cutouts-interactive": "test: each picture asked with the sound of each of its cut-out objects",
    "cutouts-extended": "test: sounds in the picture, silence, noise and off-screen sounds, a quarter each",
}


def open_scenes(
    name: str,
    root: str | Path | None = None,
    split: str | None = None,
    categories: int | tuple[str, ...] | None = None,
    val_fraction: float = 0.0,
    **options: Any,
) -> SceneDataset:
    """Scenes by name.

    Args:
        name: one of `SCENES`.
        root: folder of the catalogue that cut-outs are taken from; procedural scenes need none.
        split: of that catalogue; None takes `train` for training and `test` for tests.
        categories: how many procedural ones (None: all twelve), or which of the catalogue's (None: all with masks).
        validation: share of the catalogue's training groups held out as its split `val`.
        options: the other attributes of `Scenes`: length, seed, size, seconds, distractors...

    Raises:
        RecipeError: an unknown name or an option out of range. DataError: a catalogue that does not serve.
    """
    if name not in SCENES:
        raise RecipeError(f"unknown scenes {name!r}{did_you_mean(name, SCENES)}")
    known = {field.name for field in fields(SceneDataset) if field.init} - {"source", "kind"}
    for option in options.keys() - known:
        raise RecipeError(f"unknown option of scenes {option!r}{did_you_mean(option, known | AUXILIARY_OPTIONS)}")
    family, _, kind = name.partition("-")
    source = _source(family, root, split or ("test" if kind else "train"), categories, val_fraction)
    return SceneDataset(source, cast(SceneKind, kind or "train"), **options)


def _source(
    family: str, root: str | Path | None, split: str, categories: int | tuple[str, ...] | None, validation: float
) -> ObjectSource:
    if family == "scenes":
        if not isinstance(categories, int | None):
            raise RecipeError(f"procedural scenes take a number of categories; found {categories!r}.")
        return ProceduralSource() if categories is None else ProceduralSource(categories)
    from soundspot.data.datasets.catalog import Catalog
    from soundspot.scenes.cutouts import CutoutSource

    if root is None:
        raise DataError("cut-out scenes need a catalogue with masks; none was given. Pass its folder as `root`.")
    if isinstance(categories, int):
        raise RecipeError(f"cut-out scenes take categories by name; found {categories}.")
    return CutoutSource(Catalog(root, cast(Any, split), val_fraction=validation), categories)
