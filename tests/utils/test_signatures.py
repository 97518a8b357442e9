"""Options are read from signature and docstring, described in plain words, and checked."""

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from typing_extensions import TypedDict, Unpack

from soundspot.errors import RecipeError
from soundspot.utils.signatures import (
    check_options,
    describe_type,
    format_options,
    format_value,
    has_type,
    read_options,
)


class Extra(TypedDict, total=False):
    """Further options.

    Args:
        deep: how deep.
    """

    deep: int


def call(first: str, range: tuple[int, int] = (0, 2), *rest: int, **extra: Unpack[Extra]) -> None:
    """Do.

    Args:
        first: what comes
            first.
        range: least and largest; None: any.

    Returns:
        range: nothing.
    """


@dataclass
class Fields:
    """Fields.

    Attributes:
        width, height: pixels.
    """

    width: int
    height: int = 3


class More(Fields):
    """More."""

    def __init__(self, depth: int, **others: Any) -> None:
        """Make."""


def test_options_of_functions_and_dataclasses() -> None:
    first, range_, deep = read_options(call)
    assert (first.name, first.hint, first.help, first.is_required) == ("first", str, "what comes first.", True)
    assert (range_.default, range_.help, range_.group) == ((0, 2), "least and largest; None: any.", "")
    assert (deep.name, deep.hint, deep.help, deep.group) == ("deep", int, "how deep.", "Further options")
    assert [(o.name, o.help, o.is_required) for o in read_options(Fields)] == [
        ("width", "pixels.", True),
        ("height", "pixels.", False),
    ]
    assert [option.name for option in read_options(More)] == ["depth", "width", "height"]
    assert read_options(lambda x: x)[0].hint is Any
    assert read_options(call)[1].default is not inspect.Parameter.empty


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "a whole number"),
        (float | int, "a number"),
        (float | None, "a number"),
        (tuple[int, int], "two whole numbers"),
        (tuple[float, float, float], "three numbers"),
        (tuple[float, ...], "a list of numbers"),
        (Iterable[str | Path], "a list of text or paths"),
        (Literal["a", "b"], "a or b"),
        (dict[str, Any] | None, "a mapping"),
        (Any, "any value"),
    ],
)
def test_a_type_is_described_in_plain_words(hint, words) -> None:
    assert describe_type(hint) == words


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (3, int, True),
        (True, int, False),
        (True, bool, True),
        (3, float, True),
        ("3", float, False),
        (3.0, int, False),
        (None, int | None, True),
        (None, int, False),
        ([1, 2], tuple[int, int], True),
        ((1, 2, 3), tuple[int, int], False),
        (0.2, tuple[float, float], False),
        ([0.1, "b"], tuple[float, float], False),
        ([], tuple[float, ...], True),
        (["a"], Iterable[str], True),
        ("a", Iterable[str], False),
        (iter("a"), Iterable[str], True),
        ({"a": 1}, Sequence[str], False),
        ([{"a": 1}], Sequence[dict[str, int]], True),
        ("p", str | Path, True),
        (Path("p"), Path, True),
        ("c", Literal["a", "b"], False),
        ("x", "no type", True),
    ],
)
def test_a_value_fits_a_type_or_not(value, hint, expected) -> None:
    assert has_type(value, hint) is expected


def test_a_wrong_option_is_refused_with_what_was_expected() -> None:
    with pytest.raises(RecipeError, match=r"call: found range: \[1, 2, 3\], expected two whole numbers\. Correct"):
        check_options("call", {"first": "a", "range": [1, 2, 3], "unknown": 1}, read_options(call))
    check_options("call", {"range": [1, 2]}, read_options(call))


def test_options_are_listed_with_value_type_and_meaning() -> None:
    assert format_options(read_options(call)[:2], "--").splitlines() == [
        "  --first: required  (text)",
        "      what comes first.",
        "  --range: [0, 2]  (two whole numbers)",
        "      least and largest; null: any.",
    ]
    assert [format_value(v) for v in (None, True, "", {"a": (1, None)})] == ["null", "true", "''", "{a: [1, null]}"]
