"""Checks of a recipe before anything heavy is imported, built or read."""

from collections.abc import Sequence

from soundspot.config.schema import Recipe
from soundspot.errors import RecipeError, did_you_mean
from soundspot.evaluation.metrics.registry import get_metric_info, list_metrics
from soundspot.methods import METHODS, check_method_options
from soundspot.types import AudioVisualDataset


def check_recipe(recipe: Recipe) -> None:
    """Check what a recipe tells by itself: its method's options, its labels, and the score it selects by.

    Args:
        recipe: recipe of the run.

    Raises:
        RecipeError: the method, one of its options or the metric is unknown, or the labels do not go with the method.
    """
    check_method_options(recipe.method["name"], recipe.method.keys() - {"name"})
    check_label_source(recipe)
    metric, known = recipe.validation.metric, ["loss", *list_metrics()]
    if recipe.validation.data and metric not in known and get_metric_info(metric).family == "Other":
        raise RecipeError(f"validation.metric: no score {metric!r}{did_you_mean(metric, known)}")


def check_label_source(recipe: Recipe) -> None:
    """Check that the recipe provides the labels that its method learns from, from the beginning on.

    Args:
        recipe: recipe of the run.

    Raises:
        RecipeError: the recipe does not, or held-out samples have no labels for the loss that selects the best
            checkpoint.
    """
    method, labels = METHODS[recipe.method["name"]], recipe.labels
    schedule = labels.cluster_schedule
    needs_labels = method.learns_from == "labels"
    if needs_labels and (labels.source == "none" or min(schedule, default=0.0) > 0):
        problem = "labels.source is 'none'"
        if schedule:
            problem = f"there are none before {min(schedule):g} of the training (labels.cluster_schedule)"
        raise RecipeError(
            f"method {method.name!r} learns from class labels, and {problem}. Give `labels.source`: `category`, the "
            "data set's own, which is supervision; a table, as `soundspot pseudo-label` writes it with classifiers of "
            "yours; or `clusters` from the beginning (`cluster_schedule: [0.0]`)"
        )
    is_selected_by_loss = recipe.validation.data and recipe.validation.metric == "loss"
    if needs_labels and labels.source == "clusters" and is_selected_by_loss:
        raise RecipeError(
            f"validation.metric: method {method.name!r} learns from labels, and held-out samples have no clusters, so "
            "their loss is not known; select by a score, or not at all (`validation.data: null`)"
        )
    if method.learns_from == "clusters" and labels.source != "clusters":
        raise RecipeError(
            f"method {method.name!r} learns from clusters of its own features, and labels.source is {labels.source!r}; "
            "give `labels: {source: clusters, cluster_schedule: [0.2, 0.4]}`"
        )


def check_not_test_split(validation_data: AudioVisualDataset) -> None:
    """Check that a held-out set is no test split, whatever chose it (by default cut-outs take the split `test`).

    Args:
        validation_data: held-out data set.

    Raises:
        RecipeError: its `split` is `test`.
    """
    if validation_data.split == "test":
        raise RecipeError("validation.data: this is a test split, and nothing is selected on one; give it `split: val`")


def check_even_batches(recipe: Recipe, processes_per_machine: Sequence[int]) -> None:
    """Check that a batch can be divided evenly over the processes, and these over the machines.

    Args:
        recipe: recipe with the batch size, of all processes together.
        processes_per_machine: number of processes on the machine of each process, as many as there are processes.

    Raises:
        RecipeError: the batch or the processes cannot be divided evenly.
    """
    if recipe.train.batch_size % len(processes_per_machine):
        raise RecipeError(
            f"train.batch_size: found {recipe.train.batch_size} samples for {len(processes_per_machine)} processes, "
            "expected a multiple of their number. It is of all of them together: raise or lower it"
        )
    if len(sizes := set(processes_per_machine)) > 1:
        raise RecipeError(
            f"found machines with {' and '.join(map(str, sorted(sizes)))} processes, expected as many on each. "
            "Give each torchrun the same --nproc-per-node"
        )
