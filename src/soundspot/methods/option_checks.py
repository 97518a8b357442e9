"""Checks of method options, made when a method is built and not at its first training step."""

import math
from collections.abc import Iterable, Sequence

from soundspot.errors import RecipeError, did_you_mean


def check_positive(**options: float | int) -> None:
    """Raise RecipeError unless each option is a finite number above 0.

    Args:
        options: name -> value.

    Raises:
        RecipeError: a value is 0, negative or not finite.
    """
    for name, value in options.items():
        if not (math.isfinite(value) and value > 0):
            raise RecipeError(f"method.{name}: found {value}, expected a number above 0")


def check_not_negative(**options: float | int) -> None:
    """Raise RecipeError unless each option is 0 or a finite number above it.

    Args:
        options: name -> value.

    Raises:
        RecipeError: a value is negative or not finite.
    """
    for name, value in options.items():
        if not (math.isfinite(value) and value >= 0):
            raise RecipeError(f"method.{name}: found {value}, expected 0 or more")


def check_fraction(**options: float | int) -> None:
    """Raise RecipeError unless each option is in [0, 1].

    Args:
        options: name -> value.

    Raises:
        RecipeError: a value is below 0, above 1 or nan.
    """
    for name, value in options.items():
        if not 0 <= value <= 1:
            raise RecipeError(f"method.{name}: found {value}, expected a fraction, from 0 to 1")


def check_choice(choices: Iterable[str], **options: str) -> None:
    """Raise RecipeError, with the nearest choice, unless each option is one of `choices`.

    Args:
        choices: allowed values.
        options: name -> value.

    Raises:
        RecipeError: a value is not among `choices`.
    """
    names = tuple(choices)
    for name, value in options.items():
        if value not in names:
            raise RecipeError(f"method.{name}: unknown {value!r}{did_you_mean(str(value), names)}")


def check_triple(description: str, **options: Sequence[float | int]) -> None:
    """Raise RecipeError unless each option is a sequence of three numbers.

    Args:
        description: meaning of the three numbers, for the message.
        options: name -> sequence of numbers.

    Raises:
        RecipeError: a value has another length.
    """
    for name, value in options.items():
        if len(value) != 3:
            raise RecipeError(f"method.{name}: found {list(value)}, expected three: {description}")


def check_has_negatives(num_samples: int) -> None:
    """Raise RecipeError for a batch of a single sample, in which a contrastive loss has no negatives.

    Args:
        num_samples: number of samples of the batch, over all processes.

    Raises:
        RecipeError: `num_samples` is below 2.
    """
    if num_samples < 2:
        raise RecipeError(
            "train.batch_size: found a batch of one sample, and the loss compares a sample's own audio with another's; "
            "expected 2 or more (a held-out set is a batch too). Raise it"
        )
