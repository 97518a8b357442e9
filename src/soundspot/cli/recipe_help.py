"""List the keys of a recipe with its values, for `soundspot train RECIPE --help`."""

import re
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

from soundspot.utils.outlines import read_outline
from soundspot.utils.signatures import Option, format_options, read_options

HEADING = "keys of this recipe and their values; each is an option, such as `--train.lr 0.001`:"


def format_recipe_keys(recipe: str) -> str:
    """Format the keys of a recipe, with value, type and meaning of each.

    Args:
        recipe: a YAML file, or the name of a recipe of the library.

    Returns:
        A section for each group of keys; those of the method, the encoders and the data set are their own options.

    Raises:
        RecipeError: no such recipe, or a wrong one.
    """
    from soundspot.config.load import read_recipe

    values = read_recipe(recipe)
    sections = [f"{recipe}: {HEADING}"]
    for group in read_options(type(values)):
        for key, meaning, options in _list_groups(group.name, group.help, getattr(values, group.name)):
            sections.append(f"{key}: {meaning}\n{format_options(options, f'--{key}.')}")
    return "\n\n".join(sections)


def _list_groups(key: str, meaning: str, value: Any) -> Iterator[tuple[str, str, list[Option]]]:
    """Yield the groups of keys below a key: dotted key, meaning, and options whose defaults are the recipe's values."""
    if not is_dataclass(value):
        yield key, meaning, _fill(_list_own_options(key, value), value)
        return
    options = {option.name: option for option in read_options(type(value))}
    values = {name: getattr(value, name) for name in options}
    nested = [name for name, item in values.items() if is_dataclass(item)]
    yield (
        key,
        meaning,
        _fill([option for option in options.values() if option.name not in (*nested, "options")], values),
    )
    for name in nested:
        yield from _list_groups(f"{key}.{name}", options[name].help, values[name])
    if "options" in values:
        from soundspot.data.datasets.registry import list_dataset_options

        known = [option for option in list_dataset_options(values["name"]) if option.name != "root"]
        yield f"{key}.options", options["options"].help, _fill(known, values["options"])


def _list_own_options(group: str, values: dict[str, Any]) -> list[Option]:
    """List the options of the method of a recipe, or of an encoder."""
    if group == "method":
        own = read_options(_load_registered("methods", values["name"]))
        return [
            Option("name", str, None, "method (`soundspot methods`)."),
            *(o for o in own if o.name not in ("image", "audio", "front_end")),
        ]
    name = values.get("encoder", "resnet18")
    own = read_options(_load_registered("models", name))
    return [
        Option("encoder", str, name, "name of the encoder."),
        Option("weights", str, None, "where its weights come from; null: random."),
        *(o for o in own if o.name not in ("in_channels", "weights", "name")),
    ]


def find_outline(package: str, name: str) -> Any:
    """Find the outline of a method or an encoder of the library by its registration in the source.

    Args:
        package: `methods` or `models`.
        name: name that it is registered under.

    Returns:
        The outline of its class or function; None where no file registers that name.
    """
    pattern = rf'register\("{re.escape(name)}"\)(?:\n(?:class|def) (\w+)|\((\w+)\))'
    for path in sorted((Path(__file__).parent.parent / package).glob("*.py")):
        if match := re.search(pattern, path.read_text(encoding="utf-8")):
            return read_outline(f"soundspot.{package}.{path.stem}", match[1] or match[2])
    return None


def _load_registered(package: str, name: str) -> Any:
    """Return the class of a method or the function of an encoder; where torch is not imported yet, its outline."""
    if "torch" not in sys.modules and (outline := find_outline(package, name)) is not None:
        return outline
    from soundspot.methods import METHODS
    from soundspot.models.encoders import ENCODERS

    entry = METHODS[name] if package == "methods" else ENCODERS[name]
    return getattr(entry, "func", entry)


def _fill(options: list[Option], values: dict[str, Any]) -> list[Option]:
    """Return options with the values of a recipe in place of their defaults."""
    return [replace(option, default=values.get(option.name, option.default)) for option in options]
