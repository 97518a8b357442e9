"""The recipe of each training, and the key of what its numbers depend on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundspot.errors import RecipeError
from soundspot.study import recipes
from soundspot.study.recipes import (
    build_arm_recipe,
    hash_values,
    list_choices,
    merge_values,
    recipe_identity,
    with_paths,
    with_seed,
)
from soundspot.study.schema import build_study
from study.test_schema import SMALL, TUNING


def test_another_encoder_replaces_the_options_of_the_first() -> None:
    base = {"image": {"encoder": "resnet", "blocks": [1]}, "train": {"lr": 1, "epochs": 2}}
    merged = merge_values(base, {"image": {"encoder": "aisfx", "width": 3}, "train": {"lr": 2}})
    assert merged == {"image": {"encoder": "aisfx", "width": 3}, "train": {"lr": 2, "epochs": 2}}
    assert merge_values(base, {"image": {"width": 3}})["image"] == {"encoder": "resnet", "blocks": [1], "width": 3}
    assert base["train"]["lr"] == 1


def test_a_recipe_is_made_of_layers_the_arms_own_last() -> None:
    values: dict[str, Any] = {"overrides": {"train": {"lr": 0.5, "epochs": 3}}, "tuning": {**TUNING, "seed": 9}}
    values["tuning"]["overrides"] = {"train": {"epochs": 1}}
    study = build_study({**SMALL, **values, "methods": {"ezvsl": {"train": {"lr": 0.25}}}})
    (arm,) = study.arms
    recipe = build_arm_recipe(study, arm)
    assert (recipe.method["name"], recipe.train.lr, recipe.train.epochs, recipe.train.workers) == ("ezvsl", 0.25, 3, 0)
    tried = build_arm_recipe(study, arm, (("train.lr", 0.125),), is_tuning=True)
    assert (tried.train.lr, tried.train.epochs) == (0.125, 1)


def test_an_inline_recipe_serves_every_method() -> None:
    study = build_study({**SMALL, "recipe": {"views": {"semantic": False}}, "methods": {"lvs": None, "ezvsl": None}})
    assert [build_arm_recipe(study, arm).method["name"] for arm in study.arms] == ["lvs", "ezvsl"]


def test_a_recipe_of_one_method_serves_others_without_its_options() -> None:
    study = build_study({**SMALL, "recipe": "ezvsl/real", "methods": {"lvs": None, "ezvsl": {"method": {"width": 8}}}})
    lvs, ezvsl = (build_arm_recipe(study, arm) for arm in study.arms)
    assert (lvs.method, ezvsl.method) == ({"name": "lvs"}, {"name": "ezvsl", "tau": 0.07, "width": 8})
    assert lvs.image == ezvsl.image


def test_a_wrong_key_of_a_recipe_names_the_arm() -> None:
    study = build_study({**SMALL, "methods": {"ezvsl": {"train": {"rate": 1}}}})
    with pytest.raises(RecipeError, match=r"ezvsl: unknown key 'train.rate'"):
        build_arm_recipe(study, study.arms[0])
    study = build_study({**SMALL, "methods": {"ezvsl": {"method": {"name": "lvs"}}}})
    with pytest.raises(RecipeError, match="ezvsl: found the recipe of lvs, expected one of ezvsl"):
        build_arm_recipe(study, study.arms[0])


def test_every_method_has_the_same_budget_and_varies_what_it_has() -> None:
    keys = {"train.lr": [1, 2], "method.width": [3, 4]}
    tuning = build_study({**SMALL, "tuning": {**TUNING, "keys": keys, "budget": 4}}).tuning
    assert tuning is not None
    assert len(list_choices(tuning, "ezvsl")) == 4
    assert list_choices(tuning, "lvs") == [(("train.lr", 1),), (("train.lr", 2),)]  # no width of its own
    with pytest.raises(RecipeError, match="found 4 combinations for ezvsl, expected at most 3"):
        list_choices(replace(tuning, budget=3), "ezvsl")


def test_trainings_share_the_images_of_scenes_whose_masks_they_do_not_read() -> None:
    data = {"name": "scenes", "options": {"length": 8}}
    recipe = build_arm_recipe(build_study({**SMALL, "overrides": {"data": data}}), build_study(SMALL).arms[0])
    assert with_paths(recipe, None, Path("out"), None).data.options["image_folder"] == str(Path("out", "images"))
    masked = replace(recipe.data, options={"length": 8, "train_ground_truth": "own"})
    assert "image_folder" not in with_paths(replace(recipe, data=masked), None, Path("out"), None).data.options


def test_a_key_is_of_what_moves_numbers_and_of_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    study = build_study(SMALL)
    recipe = build_arm_recipe(study, study.arms[0])
    key = hash_values(recipe_identity(recipe))
    assert hash_values(recipe_identity(with_paths(recipe, "elsewhere", Path("shared"), None))) == key
    assert hash_values(recipe_identity(with_seed(recipe, 5))) != key
    monkeypatch.setattr(recipes, "__version__", "0")
    assert hash_values(recipe_identity(recipe)) != key
