"""Checks of a study before anything is trained: every recipe can be carried out, every test set opened."""

from soundspot.config.schema import Recipe
from soundspot.data.datasets.registry import list_dataset_options
from soundspot.errors import RecipeError, SoundspotError, did_you_mean
from soundspot.study.plan import Planner
from soundspot.study.schema import Arm, StudyData
from soundspot.training.checks import check_label_source
from soundspot.training.feature_cache import check_images_replaceable
from soundspot.training.fit import build_method


def check_study(planner: Planner) -> None:
    """Check that all of a study can be carried out.

    Args:
        planner: jobs of the study.

    Raises:
        RecipeError: a recipe has an unknown key, a method and its encoders or labels do not go together (the method is
            named, and how to leave it out), a test set has an unknown option, or tuning exceeds its budget.
    """
    study = planner.study
    for name, test in study.tests.items():
        check_test(test, f"tests.{name}")
    if study.tuning:
        check_test(study.tuning.data, "tuning.data")
    if study.calibration:
        check_test(study.calibration, "calibration")
    for arm in study.trained_arms:
        check_arm(arm, planner.recipe(arm))
        planner.tuning_jobs(arm)  # their recipes are built


def check_arm(arm: Arm, recipe: Recipe) -> None:
    """Check that a method can be trained with the encoders and the labels of its recipe.

    Args:
        arm: arm of the study.
        recipe: its recipe.

    Raises:
        RecipeError: it cannot.
    """
    try:
        check_label_source(recipe)
        method = build_method(recipe, 0)
        if recipe.feature_cache.folder:
            check_images_replaceable(method)
    except SoundspotError as error:
        raise RecipeError(
            f"{arm.name}: {error}. To name the method and not train it, give `methods: {{{arm.method}: {{left_out: "
            "REASON}}`"
        ) from error
    if recipe.validation.data is not None:
        raise RecipeError(
            f"{arm.name}: found validation.data, expected none: a study scores the last weights, and chooses by its "
            "`tuning`. Give `overrides: {validation: {data: null}}`"
        )


def check_test(test: StudyData, where: str) -> None:
    """Check the name and the options of a test set, without opening it.

    Args:
        test: the test set.
        where: key of the study's file, for messages.

    Raises:
        RecipeError: the name or an option is unknown.
    """
    known = {option.name for option in list_dataset_options(test.name)}
    for name in test.options:
        if name not in known:
            raise RecipeError(f"{where}.options: unknown option {name!r}{did_you_mean(name, known)}")
