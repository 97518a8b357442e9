"""The file of a study: what is wrong in it is named before anything runs."""

from typing import Any

import pytest

from conftest import ROOT
from soundspot.errors import RecipeError
from soundspot.study.schema import build_study, read_study

SMALL: dict[str, Any] = {
    "recipe": "{method}/debug",
    "methods": {"ezvsl": None, "alignment": {"method": {"reducer": "max"}}},
    "seeds": [0, 1],
    "tests": {"single": {"name": "scenes-single", "options": {"length": 4}}},
    "tables": {"Scores": {"cIoU": "single/ciou_adaptive"}},
}
TUNING = {"keys": {"train.lr": [1e-3]}, "budget": 1, "metric": "ciou", "seed": 9, "data": {"name": "scenes-single"}}


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_of_the_library_is_read(path: Any) -> None:
    assert read_study(path.stem).trained_arms


def test_methods_are_arms_and_so_are_variants() -> None:
    assert [arm.name for arm in build_study(SMALL).arms] == ["ezvsl", "alignment"]
    variants = {"warm": {"method": {"tau": 0.1}}, "cold": None}
    both = build_study({**SMALL, "variants": variants})
    assert [arm.name for arm in both.arms] == ["ezvsl, warm", "ezvsl, cold", "alignment, warm", "alignment, cold"]
    single = build_study({**SMALL, "methods": {"ezvsl": None}, "variants": variants})
    assert [arm.name for arm in single.arms] == ["warm", "cold"]


def test_a_method_that_is_left_out_is_named_and_not_trained() -> None:
    study = build_study({**SMALL, "methods": {"ezvsl": None, "heartheflow": {"left_out": "it needs videos"}}})
    assert [arm.left_out for arm in study.arms] == ["", "it needs videos"]
    assert [arm.name for arm in study.trained_arms] == ["ezvsl"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": {"ezvs": None}}, "methods: unknown method 'ezvs'. Did you mean 'ezvsl'"),
        ({"methods": {"ezvsl": {"left_out": "x", "train": {}}}}, "methods.ezvsl.left_out: expected a reason"),
        ({"methods": {"ezvsl": {"left_out": "x"}}}, "methods: found none that is trained"),
        ({"seeds": [0, 1, 0]}, "seeds: found 0 twice"),
        ({"seeds": [0.5]}, "seeds: found .0.5., expected whole numbers"),
        ({"seed": [0]}, "a study: unknown key 'seed'. Did you mean 'seeds'"),
        ({"recipe": 3}, "recipe: found 3"),
        ({"tests": {"single": {"nam": "x"}}}, "tests.single: unknown key 'nam'. Did you mean 'name'"),
        ({"tests": {"single": {}}}, "tests.single: `name` is missing"),
        ({"tests": {"single": {"name": 3}}}, "tests.single.name: found 3"),
        ({"tables": {}}, "tables: found none"),
        ({"tables": {"Scores": {"cIoU": "singl/ciou"}}}, "singl/ciou: unknown test 'singl'. Did you mean 'single'"),
        ({"tables": {"Scores": {"cIoU": "single/cio"}}}, "single/cio: unknown metric 'cio'. Did you mean 'ciou'"),
        ({"correlations": [["single/ciou"]]}, "correlations: found .'single/ciou'., expected pairs"),
        ({"tuning": {**TUNING, "data": {"name": "catalog", "options": {"split": "test"}}}}, "this is a test split"),
        ({"calibration": {"name": "catalog", "options": {"split": "test"}}}, "calibration: this is a test split"),
        ({"tuning": {**TUNING, "seed": 1}}, "tuning.seed: found 1, a seed of the study"),
        ({"tuning": {**TUNING, "budget": "x"}}, "tuning.budget: found 'x'"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_study({**SMALL, **change})


def test_an_unknown_study_is_named() -> None:
    with pytest.raises(RecipeError, match=r"debugg: no such study.*Did you mean 'debug'"):
        read_study("debugg")
