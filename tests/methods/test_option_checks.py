"""Options out of range are refused when a method is made, by their name."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from soundspot.errors import RecipeError
from soundspot.methods import METHODS, Method, method_options
from soundspot.methods.option_checks import check_choice


@pytest.mark.parametrize("found", [0.0, -0.03, math.nan, math.inf])
@pytest.mark.parametrize("name", [name for name in METHODS if "tau" in method_options(METHODS[name])])
def test_a_temperature_is_above_zero(name: str, found: float, toy: Callable[..., Method]) -> None:
    with pytest.raises(RecipeError, match=r"method\.tau: found .*, expected a number above 0"):
        toy(name, tau=found)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("lvs", {"sigmoid_width": 0.0}, "method.sigmoid_width: found 0.0, expected a number above 0"),
        ("ezvsl", {"dropout": 2.0}, "method.dropout: found 2.0, expected a fraction"),
        ("ezvsl", {"width": 0}, "method.width: found 0, expected a number above 0"),
        ("slavc", {"momentum": 5.0}, "method.momentum: found 5.0, expected a fraction"),
        ("fnac", {"warmup": 7.0}, "method.warmup: found 7.0, expected a fraction"),
        ("fnac", {"weights": [1.0]}, "method.weights: found [1.0], expected three"),
        ("ssltie", {"weights": []}, "method.weights: found [], expected three"),
        ("ssltie", {"flip_probability": -3.0}, "method.flip_probability: found -3.0, expected a fraction"),
        ("joint_slots", {"mask_ratio": 1.5}, "method.mask_ratio: found 1.5, expected a fraction"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 12 else "",
)
def test_what_is_out_of_range(name: str, options: dict[str, Any], said: str, toy: Callable[..., Method]) -> None:
    with pytest.raises(RecipeError) as error:
        toy(name, **options)
    assert str(error.value).startswith(said)


def test_a_name_that_is_none_of_those_known() -> None:
    check_choice(("max", "mean"), reducer="max")
    with pytest.raises(RecipeError, match=r"method.reducer: unknown 'maxx'. Did you mean 'max'\?"):
        check_choice(("max", "mean"), reducer="maxx")
