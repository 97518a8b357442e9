"""Recipes as YAML files, with command-line overrides; unknown keys are refused."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

import yaml

from soundspot.config.schema import Recipe
from soundspot.errors import RecipeError, did_you_mean


def find_recipe(name: str | Path) -> Path:
    """The file of a recipe: a path, or the name of one that comes with the library, such as `alignment/scenes`."""
    if Path(name).is_file():
        return Path(name)
    package = Path(__file__).parent.parent
    homes = (package / "recipes", package.parent.parent / "recipes")  # installed; in a checkout
    known = {p.relative_to(home).with_suffix("").as_posix(): p for home in homes for p in home.glob("*/*.yaml")}
    if str(name) not in known:
        hint = did_you_mean(str(name), known)
        raise RecipeError(f"{name}: no such recipe, neither a file nor one of the library's{hint}")
    return known[str(name)]


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a file (or of a name, see `find_recipe`) with command-line overrides (`--train.lr 0.001`).

    Raises:
        RecipeError: no such file, no YAML, an unknown key (with the nearest known one), a value of the wrong type.

    Examples:
        >>> recipe = read_recipe("ezvsl/debug", ["--train.lr", "0.01"])
        >>> recipe.method["name"], recipe.train.lr
        ('ezvsl', 0.01)
        >>> read_recipe("ezvsl/debug", ["--train.rate", "0.01"])
        Traceback (most recent call last):
        ...
        soundspot.errors.RecipeError: ...unknown key 'train.rate'...
    """
    from jsonargparse import ArgumentError, ArgumentParser

    path = find_recipe(path)
    try:
        given = [*_keys(_read(path)), *(one[2:].partition("=")[0] for one in overrides if one.startswith("--"))]
        for key in given:
            _refuse_unknown(key)
        parser = ArgumentParser(exit_on_error=False, prog="soundspot train")
        parser.add_class_arguments(Recipe, None)
        parser.add_argument("--recipe", action="config")
        built = parser.instantiate(parser.parse_args(["--recipe", str(path), *overrides]))
        return Recipe(**{one.name: built[one.name] for one in fields(Recipe)})
    except (ArgumentError, TypeError, ValueError, RecipeError) as error:
        raise RecipeError(f"{path}: {_plain(str(error))}") from error


def list_recipe_keys(config_class: Any = Recipe, prefix: str = "") -> list[str]:
    """Every dotted key of a recipe."""
    keys = []
    for name, nested in _nested(config_class).items():
        keys += [prefix + name, *(list_recipe_keys(nested, f"{prefix}{name}.") if nested else ())]
    return keys


def _nested(kind: Any) -> dict[str, Any]:
    """Field -> the dataclass it holds; None where it holds plain values, or options that a recipe does not know."""
    types = {one.name: get_args(one.type) or (one.type,) for one in fields(kind)}
    return {name: next(filter(is_dataclass, among), None) for name, among in types.items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"found no valid YAML ({error}), expected `key: value` lines") from error
    if not isinstance(values, dict):
        raise RecipeError(f"found {'nothing' if values is None else repr(values)}, expected `key: value` lines")
    return values


def _keys(values: Any, prefix: str = "") -> Iterator[str]:
    """The dotted keys of nested dictionaries."""
    for key, value in values.items() if isinstance(values, dict) else ():
        if not isinstance(key, str):
            raise RecipeError(
                f"found the key {prefix}{key}, expected a word; YAML reads on, off, yes and no as booleans"
            )
        yield prefix + key
        yield from _keys(value, f"{prefix}{key}.")


def _refuse_unknown(key: str) -> None:
    """Raise RecipeError for a dotted key that no dataclass has, with the nearest one or the place where it belongs."""
    kind: Any = Recipe
    for part in key.split("."):
        known = _nested(kind)
        if part not in known:
            elsewhere = [name for name in list_recipe_keys() if name.endswith(f".{part}")]
            hint = f". Did you mean {elsewhere[0]!r}?" if elsewhere else did_you_mean(part, known)
            raise RecipeError(f"unknown key {key!r}{hint}")
        kind = known[part]
        if kind is None:
            return


def _plain(message: str) -> str:
    """The parser's message without its own vocabulary."""
    message = re.sub(r"Parser key \"([^\"]+)\":", r"\1:", " ".join(message.split()))
    return re.sub(r"<class '(\w+)'>", r"\1", message).replace("a typing.Literal", "one of ")
