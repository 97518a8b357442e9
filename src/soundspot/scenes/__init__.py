"""Scenes: composed images with sounds, exact masks, and nothing to download."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.registry import check_dataset_options, list_datasets
from soundspot.errors import DataError, RecipeError, did_you_mean
from soundspot.scenes.compose import compose
from soundspot.scenes.cutouts import CutoutSource
from soundspot.scenes.dataset import SceneDataset, SceneKind
from soundspot.scenes.procedural import ProceduralSource
from soundspot.scenes.source import ObjectSource
from soundspot.scenes.write import write_catalog

__all__ = ["ProceduralSource", "SceneDataset", "compose", "open_scenes", "write_catalog"]


def open_scenes(
    name: str,
    root: str | Path | None = None,
    split: str | None = None,
    categories: int | tuple[str, ...] | None = None,
    val_fraction: float = 0.0,
    licenses: Iterable[str] | None = None,
    folders: Iterable[str] | None = None,
    **options: Any,
) -> SceneDataset:
    """Open scenes by name.

    Args:
        name: `scenes` (procedural) or `cutouts`; for a test followed by `-single`, `-interactive` or `-extended`.
        root: folder of the catalog that cut-outs come from; procedural scenes need none.
        split: split of that catalog; None: `train` for training and `test` for tests.
        categories: for procedural scenes a number (None: all twelve), for cut-outs names of the catalog's categories
            (None: all with masks).
        val_fraction: share of the catalog's training groups held out as its split `val`, in [0, 1).
        licenses: licenses of the catalog's entries to use (see `Catalog`); None: all.
        folders: catalog folders below `root` that are used as one catalog (see `Catalog`); None: `root` itself.
        options: other attributes of `SceneDataset` by name: length, seed, size, seconds, distractors...

    Returns:
        The scenes.

    Raises:
        RecipeError: an unknown name or option, or an option out of range.
        DataError: cut-outs without a folder, or from a catalog that has too few masks or recordings.
    """
    given = {"split": split, "categories": categories, "licenses": licenses, "folders": folders}
    check_dataset_options(name, given | {"val_fraction": val_fraction} | options)
    family, _, kind = name.partition("-")
    source: ObjectSource
    if family == "scenes":
        if not isinstance(categories, int | None):
            raise RecipeError(f"procedural scenes take a number of categories; found {categories!r}.")
        source = ProceduralSource() if categories is None else ProceduralSource(categories)
    elif family == "cutouts":
        if root is None:
            raise DataError("cut-out scenes need a catalog with masks; none was given. Pass its folder as `root`.")
        if isinstance(categories, int):
            raise RecipeError(f"cut-out scenes take categories by name; found {categories}.")
        catalog = Catalog(
            root, split or ("test" if kind else "train"), val_fraction=val_fraction, licenses=licenses, folders=folders
        )
        source = CutoutSource(catalog, categories)
    else:
        raise RecipeError(f"unknown scenes {name!r}{did_you_mean(name, list_datasets())}")
    return SceneDataset(source, cast(SceneKind, kind or "train"), **options)
