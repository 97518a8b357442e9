"""Load recipes from YAML files with command-line overrides; unknown keys are errors."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from soundspot.config.schema import Recipe
from soundspot.errors import RecipeError, did_you_mean
from soundspot.utils.renamed import RECIPE_KEYS
from soundspot.utils.safe_read import MAX_YAML_ITEMS, check_nesting


def find_yaml(name: str | Path, kind: Literal["recipe", "study"] = "recipe") -> Path:
    """Find the file of a recipe or of a study.

    Args:
        name: path of a YAML file, which comes first, or a name of the library's, such as `alignment/scenes` for a
            recipe and `debug` for a study.
        kind: kind of the file.

    Returns:
        Path of the YAML file.

    Raises:
        RecipeError: neither a file nor one of the library's has that name.
    """
    if Path(name).is_file():
        return Path(name)
    package, folder = Path(__file__).parent.parent, {"recipe": "recipes", "study": "studies"}[kind]
    folders = (package / folder, package.parent.parent / folder)  # installed; in a checkout
    known = {p.relative_to(root).with_suffix("").as_posix(): p for root in folders for p in root.rglob("*.yaml")}
    if str(name) not in known:
        hint = did_you_mean(str(name), known)
        raise RecipeError(f"{name}: no such {kind}, neither a file nor one of the library's{hint}")
    return known[str(name)]


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe; keys that the file lacks have their defaults.

    Args:
        path: path of a YAML file, or the name of a recipe of the library, such as `alignment/scenes`.
        overrides: flags of a command line that replace values of the file: `["--train.lr", "0.001"]`.

    Returns:
        The recipe.

    Raises:
        RecipeError: no such file, no YAML, an unknown key (with the nearest known key, or its present name), a value of
            the wrong type or out of range.

    Examples:
        >>> recipe = read_recipe("ezvsl/debug", ["--train.lr", "0.01"])
        >>> recipe.method["name"], recipe.train.lr
        ('ezvsl', 0.01)
        >>> read_recipe("ezvsl/debug", ["--train.rate", "0.01"])
        Traceback (most recent call last):
        ...
        soundspot.errors.RecipeError: ...unknown key 'train.rate'...
    """
    path = find_yaml(path)
    with _convert_parser_errors(str(path)):
        flags = [word[2:].partition("=")[0] for word in overrides if word.startswith("--")]
        for key in [*_iter_keys(read_yaml(path)), *flags]:
            _check_key(key)
        parser = _build_recipe_parser()
        parser.add_argument("--recipe", action="config")
        return _instantiate(parser, parser.parse_args(["--recipe", str(path), *overrides]))


def read_recipe_values(path: str | Path) -> dict[str, Any]:
    """Read the keys of a recipe's file as plain values, unchecked.

    Args:
        path: path of a YAML file, or the name of a recipe of the library.

    Returns:
        Nested dictionaries; keys that the file lacks are absent.

    Raises:
        RecipeError: no such file, or no YAML.
    """
    path = find_yaml(path)
    with _convert_parser_errors(str(path)):
        return read_yaml(path)


def build_recipe(values: Mapping[str, Any], source: str) -> Recipe:
    """Build a recipe of plain values; absent keys have their defaults.

    Args:
        values: nested dictionaries, as the YAML file of a recipe has them.
        source: what the values are of, the beginning of messages.

    Returns:
        The recipe.

    Raises:
        RecipeError: an unknown key (with the nearest known key, or its present name), or a value of the wrong type or
            out of range.
    """
    with _convert_parser_errors(source):
        for key in _iter_keys(values):
            _check_key(key)
        parser = _build_recipe_parser()
        return _instantiate(parser, parser.parse_object(dict(values)))


def _build_recipe_parser() -> Any:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False, prog="soundspot train")
    parser.add_class_arguments(Recipe, None)
    return parser


def _instantiate(parser: Any, parsed: Any) -> Recipe:
    values = parser.instantiate(parsed)
    return Recipe(**{field.name: values[field.name] for field in fields(Recipe)})


@contextmanager
def _convert_parser_errors(source: str) -> Iterator[None]:
    """Convert what the parser raises in the block to an error that begins with the source and names the key."""
    from jsonargparse import ArgumentError

    try:
        yield
    except (ArgumentError, TypeError, ValueError, RecipeError) as error:
        message = re.sub(r"Parser key \"([^\"]+)\":", r"\1:", " ".join(str(error).split()))
        message = re.sub(r"<class '(\w+)'>", r"\1", message).replace("a typing.Literal", "one of ")
        raise RecipeError(f"{source}: {message}") from error


def list_recipe_keys(config_class: Any = Recipe, prefix: str = "") -> list[str]:
    """List every dotted key of a recipe, in the order of its fields.

    Args:
        config_class: dataclass that holds the keys.
        prefix: text before each key, such as `train.`.

    Returns:
        Keys of groups and of their values: `method`, `image`, ..., `train`, `train.epochs`, ...
    """
    keys = []
    for name, nested in _nested_classes(config_class).items():
        keys += [prefix + name, *(list_recipe_keys(nested, f"{prefix}{name}.") if nested else ())]
    return keys


def _nested_classes(config_class: Any) -> dict[str, Any]:
    """Map each field to the dataclass it holds; None where it holds plain values, or options unknown to a recipe."""
    types = {field.name: get_args(field.type) or (field.type,) for field in fields(config_class)}
    return {name: next(filter(is_dataclass, options), None) for name, options in types.items()}


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the keys and values of a YAML file, whose nesting and size are limited.

    Args:
        path: path of the file.

    Returns:
        The values by their names.

    Raises:
        RecipeError: the file cannot be read, is no YAML, or holds no `key: value` lines; the message does not name it.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        check_nesting(values, MAX_YAML_ITEMS)
    except Exception as error:  # PyYAML's, and of dates, keys and depth Python's own
        raise RecipeError(
            f"found no valid YAML ({error or type(error).__name__}), expected `key: value` lines"
        ) from error
    if not isinstance(values, dict):
        raise RecipeError(f"found {'nothing' if values is None else f'{values!r:.60}'}, expected `key: value` lines")
    return values


def _iter_keys(values: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of nested dictionaries."""
    for key, value in values.items() if isinstance(values, dict) else ():
        if not isinstance(key, str):
            raise RecipeError(
                f"found the key {prefix}{key}, expected a word; YAML reads on, off, yes and no as booleans"
            )
        yield prefix + key
        yield from _iter_keys(value, f"{prefix}{key}.")


def _check_key(key: str) -> None:
    """Raise RecipeError for a dotted key that no dataclass has, with the new or the nearest name."""
    config_class: Any = Recipe
    for name in key.split("."):
        known = _nested_classes(config_class)
        if name not in known:
            for old in (key, key[: key.find(name) + len(name)]):
                if old in RECIPE_KEYS:
                    raise RecipeError(f"`{old}` is now `{RECIPE_KEYS[old]}`")
            elsewhere = [other for other in list_recipe_keys() if other.endswith(f".{name}")]
            hint = f". Did you mean {elsewhere[0]!r}?" if elsewhere else did_you_mean(name, known)
            raise RecipeError(f"unknown key {key!r}{hint}")
        config_class = known[name]
        if config_class is None:
            return
