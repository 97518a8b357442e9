"""Options told apart from nonsense when a method is made, and not at its first step."""

import math
from collections.abc import Iterable, Sequence

from soundspot.errors import RecipeError, did_you_mean


def check_positive(**options: float | int) -> None:
    """Each is a finite number above 0; else RecipeError."""
    for name, found in options.items():
        if not (math.isfinite(found) and found > 0):
            raise RecipeError(f"method.{name}: found {found}, expected a number above 0")


def check_fraction(**options: float | int) -> None:
    """Each is a number from 0 to 1; else RecipeError."""
    for name, found in options.items():
        if not 0 <= found <= 1:
            raise RecipeError(f"method.{name}: found {found}, expected a share, from 0 to 1")


def check_choice(choices: Iterable[str], **options: str) -> None:
    """Each is one of the names that are known; else RecipeError with the nearest."""
    names = tuple(choices)
    for name, found in options.items():
        if found not in names:
            raise RecipeError(f"method.{name}: unknown {found!r}{did_you_mean(str(found), names)}")


def check_triple(description: str, **options: Sequence[float | int]) -> None:
    """Each is three numbers; else RecipeError, which says `what` they are."""
    for name, found in options.items():
        if len(found) != 3:
            raise RecipeError(f"method.{name}: found {list(found)}, expected three: {description}")


def check_has_negatives(num_samples: int) -> None:
    """There are two clips or more; else RecipeError: of a loss that is nothing, or falls to nothing, without others."""
    if num_samples < 2:
        raise RecipeError(
            "train.batch_size: found a batch of one clip, and its loss compares a clip's own sound with another's; "
            "expected 2 or more (a held-out set is a batch too). Raise it"
        )
