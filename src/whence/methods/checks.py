"""Options told apart from nonsense when a method is made, and not at its first step."""

import math
from collections.abc import Iterable

from whence.errors import RecipeError, did_you_mean


def positive(**options: float) -> None:
    """Each is a finite number above 0; else RecipeError."""
    for name, found in options.items():
        if not (math.isfinite(found) and found > 0):
            raise RecipeError(f"method.{name}: found {found}, expected a number above 0")


def share(**options: float) -> None:
    """Each is a number from 0 to 1; else RecipeError."""
    for name, found in options.items():
        if not 0 <= found <= 1:
            raise RecipeError(f"method.{name}: found {found}, expected a share, from 0 to 1")


def one_of(known: Iterable[str], **options: str) -> None:
    """Each is one of the names that are known; else RecipeError with the nearest."""
    names = tuple(known)
    for name, found in options.items():
        if found not in names:
            raise RecipeError(f"method.{name}: unknown {found!r}{did_you_mean(str(found), names)}")
