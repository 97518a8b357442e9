"""Options of functions and dataclasses: name, type, default and meaning, read from signature and docstring.

The command line, the lists of options that it prints, and the checks of options of data sets all read these.
"""

import collections.abc
import inspect
import numbers
import os
import re
import textwrap
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from typing_extensions import Unpack, is_typeddict

from soundspot.errors import RecipeError

_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Any: "any value"}
_CONSTANTS = {"None": None, "True": True, "False": False}


@dataclass(frozen=True)
class Option:
    """A parameter of a function, or a field of a dataclass.

    Attributes:
        name: name in Python.
        hint: type; Any where none is given.
        default: value where none is given; `inspect.Parameter.empty` where one must be; None for a key of a
            `TypedDict`, which has none.
        help: meaning, from the docstring; empty where it says none.
        group: title of its options where it comes from a `TypedDict`; else empty.
    """

    name: str
    hint: Any
    default: Any
    help: str
    group: str = ""

    @property
    def is_required(self) -> bool:
        """True where a value must be given."""
        return self.default is inspect.Parameter.empty


def read_options(function: Callable[..., Any]) -> list[Option]:
    """Read the options of a function or a dataclass.

    Args:
        function: what is called; the keys of `**options: Unpack[T]` of a TypedDict `T` are options too, whose group is
            the first line of its docstring. A class with other `**` parameters has those of its base class as well.

    Returns:
        The options in the order of the signature.
    """
    helps = read_docstring_arguments(function)
    try:
        hints = get_type_hints(function.__init__ if isinstance(function, type) else function)  # type: ignore[misc]
    except NameError:  # a name that is imported for type checkers alone
        hints = {}
    options = []
    parameters = inspect.signature(function).parameters
    for name, parameter in parameters.items():
        hint = hints.get(name, Any)
        if get_origin(hint) is Unpack and is_typeddict(get_args(hint)[0]):
            options += list(_read_typed_dict(get_args(hint)[0]))
        elif parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            options.append(Option(name, hint, parameter.default, helps.get(name, "")))
        elif parameter.kind is parameter.VAR_KEYWORD and isinstance(function, type) and function.__base__ is not object:
            options += [
                option for option in read_options(cast(type, function.__base__)) if option.name not in parameters
            ]
    return options


def _read_typed_dict(keys: type) -> Iterator[Option]:
    helps = read_docstring_arguments(keys)
    title = (inspect.getdoc(keys) or "").partition("\n")[0].rstrip(".")
    for name, hint in get_type_hints(keys).items():
        yield Option(name, hint, None, helps.get(name, ""), title)


def read_docstring_arguments(documented: Any) -> dict[str, str]:
    """Read the sections `Args:` and `Attributes:` of a docstring.

    Args:
        documented: a function, or a class, whose base classes are read too.

    Returns:
        Name -> meaning, on one line.
    """
    sources = reversed(documented.__mro__) if isinstance(documented, type) else (documented,)
    text = "\n".join(inspect.cleandoc(source.__doc__ or "") for source in sources if source is not object)
    helps: dict[str, str] = {}
    for section in re.findall(r"^(?:Args|Attributes):\n((?: {4}.*(?:\n|\Z)|\n)+)", text, re.MULTILINE):
        for names, meaning in re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {5,}.*)*)", section, re.MULTILINE):
            helps |= dict.fromkeys(names.split(", "), " ".join(meaning.split()))
    return helps


def describe_type(hint: Any, several: bool = False) -> str:
    """Describe a type in plain words.

    Args:
        hint: a type, such as `tuple[int, int] | None`.
        several: use the plural.

    Returns:
        Its description, such as `two whole numbers`; of a union without None.
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(map(str, args))
    if origin in (Union, types.UnionType):
        kinds = [arg for arg in args if arg is not type(None) and not (arg is int and float in args)]
        return " or ".join(dict.fromkeys(describe_type(kind, several) for kind in kinds))
    if origin is tuple and ... not in args:
        count = {2: "two", 3: "three"}.get(len(args), str(len(args)))
        return f"{count} {describe_type(args[0], several=True)}"
    if _is_class(origin or hint, collections.abc.Mapping):
        return "mappings" if several else "a mapping"
    if args and _is_class(origin, collections.abc.Iterable):
        return f"a list of {describe_type(args[0], several=True)}"
    if _is_class(origin or hint, os.PathLike):
        return "paths" if several else "a path"
    word = _WORDS.get(hint, getattr(hint, "__name__", str(hint)))
    return f"{word.removeprefix('a ')}s" if several and word.endswith("number") else word


def has_type(value: Any, hint: Any) -> bool:
    """Return True if a value of a recipe or a command line has a type.

    Args:
        value: the value.
        hint: a type; a whole number is a number too, text is a path, and any list or tuple a sequence.

    Returns:
        False where type or length differ; True for types that cannot be checked.
    """
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any or not (origin or isinstance(hint, type)):
        return hint is not None or value is None
    if origin is Literal:
        return value in args
    if origin in (Union, types.UnionType):
        return any(value is None if arg is type(None) else has_type(value, arg) for arg in args)
    if isinstance(value, bool):
        return hint is bool
    if hint in (int, float):
        return isinstance(value, numbers.Integral if hint is int else numbers.Real)
    kind = origin or hint
    if _is_class(kind, os.PathLike):
        return isinstance(value, str | os.PathLike)
    if _is_class(kind, collections.abc.Mapping):
        return isinstance(value, collections.abc.Mapping)
    if args and _is_class(kind, collections.abc.Iterable):
        if isinstance(value, str | bytes | collections.abc.Mapping) or not isinstance(value, collections.abc.Iterable):
            return False
        if not isinstance(value, collections.abc.Sequence):
            return True  # an iterator, which a check would use up
        if kind is tuple and ... not in args:
            return len(value) == len(args) and all(map(has_type, value, args))
        return all(has_type(item, args[0]) for item in value)
    return isinstance(value, kind)


def _is_class(kind: Any, base: type) -> bool:
    return kind is not str and isinstance(kind, type) and issubclass(kind, base)


def check_options(owner: str, options: dict[str, Any], known: list[Option]) -> None:
    """Raise RecipeError for an option whose value has another type or length than expected.

    Args:
        owner: whose options they are, for the message.
        options: name -> value; names that are not known are not checked.
        known: the options that there are.

    Raises:
        RecipeError: a value does not fit.
    """
    hints = {option.name: option.hint for option in known}
    for name, value in options.items():
        if name in hints and not has_type(value, hints[name]):
            none = " or null" if type(None) in get_args(hints[name]) else ""
            is_item = isinstance(value, str) and has_type([value], hints[name])
            remedy = f"Write a list, as in `{name}: [{value}]`" if is_item else "Correct that option"
            raise RecipeError(
                f"{owner}: found {name}: {value!r}, expected {describe_type(hints[name])}{none}. {remedy}"
            )


def format_options(options: list[Option], prefix: str = "", width: int = 100) -> str:
    """Format options as a list.

    Args:
        options: the options.
        prefix: text before each name, such as `--train.`.
        width: longest line.

    Returns:
        For each a line `name: default  (type)`, and its meaning in the lines below; values as YAML has them.
    """
    lines = []
    for option in options:
        value = "required" if option.is_required else format_value(option.default)
        lines.append(f"  {prefix}{option.name}: {value}  ({describe_type(option.hint)})")
        meaning = re.sub(r"\b(None|True|False)\b", lambda word: format_value(_CONSTANTS[word[0]]), option.help)
        lines += textwrap.wrap(meaning, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def format_value(value: Any) -> str:
    """Format a value as YAML has it in a recipe, such as `[0, 2]`, `null` or `text`."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(format_value, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {format_value(item)}" for key, item in value.items()) + "}"
    return str(value) if value != "" else "''"
