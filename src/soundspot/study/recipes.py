"""The recipe of each training of a study, and the key of all it is made of."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

from soundspot import __version__
from soundspot.config.load import build_recipe, read_recipe_values
from soundspot.config.schema import DataConfig, Recipe
from soundspot.errors import RecipeError
from soundspot.methods import METHODS, method_options
from soundspot.study.schema import Arm, Study, StudyData, TuningConfig

CHOICES = {"method": "name", "image": "encoder", "audio": "encoder", "data": "name"}
"""Group of a recipe -> the key that decides which options it has."""

Choice = tuple[tuple[str, Any], ...]
"""Dotted keys with the values that tuning gives them."""

IMAGE_FOLDER = "images"  # of composed scenes, while a study runs


def merge_values(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Merge keys of a recipe into others.

    Args:
        base: nested dictionaries.
        overrides: nested dictionaries that replace values, key by key. A `method`, an encoder or a data set of another
            name replaces that of the base with all of its options.

    Returns:
        New nested dictionaries.
    """
    merged = dict(base)
    for key, value in overrides.items():
        old = merged.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            name = CHOICES.get(key, "")
            is_other = name in value and value[name] != old.get(name)
            value = dict(value) if is_other else merge_values(old, value)
        merged[key] = value
    return merged


def nest_key(key: str, value: Any) -> dict[str, Any]:
    """Return nested dictionaries of one dotted key.

    Args:
        key: dotted key, such as `train.lr`.
        value: its value.

    Returns:
        `{"train": {"lr": value}}`.
    """
    first, _, rest = key.partition(".")
    return {first: nest_key(rest, value) if rest else value}


def list_choices(tuning: TuningConfig, method: str) -> list[Choice]:
    """List the combinations of values that are tried for a method.

    Args:
        tuning: keys and their values.
        method: name of the method.

    Returns:
        Combinations in the order of the file, without the keys of options that the method does not have.

    Raises:
        RecipeError: they are more than the budget.
    """
    options = method_options(METHODS[method])
    keys = [key for key in tuning.keys if not key.startswith("method.") or key.removeprefix("method.") in options]
    choices = [tuple(zip(keys, values, strict=True)) for values in product(*(tuning.keys[key] for key in keys))]
    if len(choices) > tuning.budget:
        raise RecipeError(
            f"tuning.keys: found {len(choices)} combinations for {method}, expected at most {tuning.budget} "
            "(tuning.budget); name fewer values"
        )
    return choices


def build_arm_recipe(study: Study, arm: Arm, choice: Choice = (), is_tuning: bool = False) -> Recipe:
    """Build the recipe of an arm, of no seed in particular.

    Args:
        study: the study.
        arm: one of its arms.
        choice: values that tuning gives.
        is_tuning: whether the training is one of tuning.

    Returns:
        The recipe. A training reads its data itself, and nothing is selected by it: the last weights are scored.

    Raises:
        RecipeError: an unknown key, or a value of the wrong type.
    """
    if isinstance(study.recipe, str):
        values = read_recipe_values(study.recipe.replace("{method}", arm.method))
        values = merge_values(values, {"method": {"name": arm.method}})
    else:
        values = merge_values({"method": {"name": arm.method}}, study.recipe)
    values = merge_values(values, study.overrides)
    layers = [*arm.overrides, *(nest_key(key, value) for key, value in choice)]
    if is_tuning and study.tuning:
        layers.append(study.tuning.overrides)
    for layer in layers:
        values = merge_values(values, layer)
    recipe = build_recipe(values, arm.name)
    if recipe.method["name"] != arm.method:
        raise RecipeError(f"{arm.name}: found the recipe of {recipe.method['name']}, expected one of {arm.method}")
    return replace(recipe, train=replace(recipe.train, workers=0))


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """Return a recipe with a seed of its training.

    Args:
        recipe: recipe of an arm.
        seed: `train.seed`.

    Returns:
        The recipe; features stay those of one seed for all.
    """
    return replace(recipe, train=replace(recipe.train, seed=seed))


def with_paths(recipe: Recipe, root: str | None, folder: Path, start: str | None) -> Recipe:
    """Return a recipe with the paths of this machine.

    Args:
        recipe: recipe of a training.
        root: folder of data sets that name none.
        folder: folder for what trainings share: `features` of frozen encoders, for recipes whose `feature_cache` names
            one, and composed `images` of procedural scenes.
        start: file of start weights for the image encoder; None: the recipe's own.

    Returns:
        The recipe.
    """
    data = replace(recipe.data, root=recipe.data.root or root)
    cache = recipe.feature_cache
    if cache.folder:
        cache = replace(cache, folder=str(folder / "features"))
    elif data.name == "scenes" and not data.options.get("train_ground_truth"):  # whose masks are composed anew
        data = replace(data, options={**data.options, "image_folder": str(folder / IMAGE_FOLDER)})
    image = recipe.image if start is None else {**recipe.image, "weights": start}
    return replace(recipe, data=data, feature_cache=cache, image=image)


def hash_values(*values: Any) -> str:
    """Return the key of plain values and the version of the library.

    Args:
        values: plain values; dictionaries count alike in any order of their keys.

    Returns:
        16 hexadecimal digits.
    """
    text = json.dumps([__version__, *values], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def recipe_identity(recipe: Recipe) -> dict[str, Any]:
    """Return the plain values of a recipe that its numbers depend on.

    Args:
        recipe: recipe before `with_paths`.

    Returns:
        The values, without paths of this machine and the number of reading processes.
    """
    values = recipe.as_dict()
    cache = values["feature_cache"]
    cache |= {"folder": bool(cache["folder"]), "max_gb": None}
    values["train"]["workers"] = None
    return _without_paths(values)


def data_identity(data: StudyData | DataConfig) -> dict[str, Any]:
    """Return the plain values of a test set that scores depend on.

    Args:
        data: the test set.

    Returns:
        Its fields, without the folder it lies in.
    """
    return _without_paths(asdict(data))


def _without_paths(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _without_paths(value) for key, value in values.items() if key not in ("root", "image_folder")}
    return [_without_paths(value) for value in values] if isinstance(values, list | tuple) else values
