"""Reading of files that somebody else may have made or damaged: nothing in them is believed before it is checked.

What a library raises on a broken file is one of our errors with the file's name (`convert_read_errors`); JSON and YAML
have a limit of nesting, arrays one of size, and none of them can carry code.
"""

import io
import json
import os
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cache
from math import prod
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from soundspot.errors import DataError, SoundspotError

MAX_DEPTH = 64  # of nested lists and objects in JSON and YAML
MAX_YAML_ITEMS = 100_000  # of a YAML file, its aliases written out
_FINITE = 1e300
MAX_ENTRY_BYTES = 256 * 2**20  # of one array in an archive, unpacked
ErrorClass = type[SoundspotError]


@contextmanager
def convert_read_errors(
    path: str | os.PathLike[str], expected: str, error_class: ErrorClass = DataError
) -> Iterator[None]:
    """Convert whatever a library raises in the block, which reads `path`, to an error that names the file.

    Args:
        path: path of the file or folder that is read, for the message.
        expected: what it should be and the remedy: `expected a report. Evaluate again`.
        error_class: class of the error.

    Raises:
        SoundspotError: an error of `error_class`; errors of soundspot pass unchanged.
    """
    try:
        yield
    except SoundspotError:
        raise
    except Exception as error:  # decoders raise of any kind, AssertionError and MemoryError included
        raise error_class(f"{path}: cannot be read ({describe_error(error)}), {expected}") from error


def describe_error(error: Exception) -> str:
    """Describe an exception of a library in one short line.

    Args:
        error: the exception.

    Returns:
        Name of its class and the first 200 characters of the first line of its message.
    """
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def parse_json(text: str | bytes) -> Any:
    """Parse JSON whose nesting is limited, so that code that follows it cannot exhaust the stack.

    Args:
        text: the JSON, in UTF-8 where it is bytes.

    Returns:
        The value.

    Raises:
        ValueError: the text is no JSON, or is nested more than `MAX_DEPTH` deep.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"found more than {MAX_DEPTH} nested values") from error
    check_nesting(value)
    return value


def read_json_object(path: Path, expected: str, error_class: ErrorClass = DataError) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Args:
        path: path of the file, in UTF-8; a byte order mark is skipped.
        expected: what it should be and the remedy, for the message.
        error_class: class of the error.

    Returns:
        The values by their names.

    Raises:
        SoundspotError: an error of `error_class`: the file cannot be read, is no JSON, or holds no object.
    """
    with convert_read_errors(path, expected, error_class):
        value = parse_json(path.read_text(encoding="utf-8-sig"))
        if not isinstance(value, dict):
            raise TypeError(f"found a {type(value).__name__}, not an object")
        return value


def check_nesting(value: Any, max_items: int | None = None) -> None:
    """Check that nested lists and dictionaries are not deeper than `MAX_DEPTH`.

    Args:
        value: value as JSON or YAML have it; it may contain itself.
        max_items: number of items in all, each as often as it is reached; None: any.

    Raises:
        ValueError: the value is nested deeper, or has more items.
    """
    level, num_items = [value], 1
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item) if isinstance(child, dict | list)]
        num_items += sum(map(len, level))
        if not level:
            return
        if max_items is not None and num_items > max_items:
            raise ValueError(f"found more than {max_items} values")
    raise ValueError(f"found more than {MAX_DEPTH} nested values")


def _children(item: Any) -> Any:
    return item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()


def check_fields(value: Any) -> None:
    """Check that the fields of a dataclass, whose values were read from a file, have the types that it declares.

    Args:
        value: instance of a dataclass of plain values.

    Raises:
        ValueError: a field has a value of another type, or an infinite number; the message names it.
    """
    hints = _type_hints(cast(Hashable, type(value)))
    for name in hints:
        if not has_type(getattr(value, name), hints[name]):
            raise ValueError(f"found {getattr(value, name)!r:.60} for {name}, expected {hints[name]}")


def has_type(value: Any, hint: Any) -> bool:
    """Return whether a value, as JSON has it, is of an annotated type.

    Args:
        value: the value; an int is a float, a bool is no number, and numbers are not infinite.
        hint: a class, `Literal`, a union, or a tuple or dict of such; a dataclass is checked field by field.

    Returns:
        True where it is.
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return any(type(value) is type(arg) and value == arg for arg in args)
    if origin in (Union, UnionType):
        return any(has_type(value, arg) for arg in args)
    if origin is tuple:
        args = args[:1] * len(value) if args[1:] == (...,) and isinstance(value, tuple) else args
        return isinstance(value, tuple) and len(value) == len(args) and all(map(has_type, value, args))
    if origin is dict:
        return isinstance(value, dict) and all(has_type(k, args[0]) and has_type(v, args[1]) for k, v in value.items())
    if hint in (int, float):
        return type(value) in (int, hint) and not abs(value) >= _FINITE
    if is_dataclass(hint):
        hints = _type_hints(cast(Hashable, hint))
        return type(value) is hint and all(has_type(getattr(value, name), hints[name]) for name in hints)
    return hint is Any or bool(isinstance(value, origin or hint))


@cache
def _type_hints(type_: Hashable) -> dict[str, Any]:
    hints = get_type_hints(type_)
    return {field.name: hints[field.name] for field in fields(cast(Any, type_))}


def load_npy(path: str | os.PathLike[str], mmap_mode: Literal["r", "c"] | None = None) -> NDArray[Any]:
    """Read an .npy file whose size is that of the array which its header describes.

    Args:
        path: path of the file.
        mmap_mode: `r` or `c` maps the file into memory, as `numpy.load` does; None reads it.

    Returns:
        The array.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file is no .npy, holds Python objects, or is shorter than its header says.
    """
    with open(path, "rb") as file:
        check_npy_header(file, os.path.getsize(path))
    try:
        array: NDArray[Any] = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except Exception as error:  # also tokenizer's, of a damaged header
        raise ValueError(describe_error(error)) from error
    return array


def check_npy_header(file: Any, num_bytes: int) -> None:
    """Check the header of an .npy file or archive entry, before an array of its shape is allocated.

    Args:
        file: open binary file, such as an entry of an archive, which is read up to the first value.
        num_bytes: size of the file, header included.

    Raises:
        ValueError: it is no .npy, holds Python objects, or is shorter than its header says.
    """
    try:
        start = file.read(10)
        start += b"" if start[6:7] == b"\1" else file.read(2)  # the length of the header has two bytes, or four
        header = io.BytesIO(start + file.read(min(int.from_bytes(start[8:], "little"), num_bytes)))
        version = np.lib.format.read_magic(header)
        read = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(header)
    except Exception as error:
        raise ValueError(f"no header of .npy: {describe_error(error)}") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize > num_bytes:
        raise ValueError(f"its header describes an array of shape {shape}, and it has {num_bytes} bytes")
