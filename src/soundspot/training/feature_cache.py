"""Features of frozen encoders: computed once before the first step, read in every step of this run and later ones."""

import shutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import get_args

import torch

from soundspot.config.schema import Recipe
from soundspot.errors import RecipeError
from soundspot.methods import Method
from soundspot.models.staged import StagedEncoder
from soundspot.training.clip_reader import ClipReader
from soundspot.training.feature_fill import FEATURES, GROUND_TRUTH, fill_features
from soundspot.training.feature_plan import FeaturePlan, Modality, count_epochs, list_items
from soundspot.training.feature_reader import FeatureReader, FeatureStore
from soundspot.training.lightning_module import resolve_precision
from soundspot.utils.atomic_io import DiskFullError, format_bytes
from soundspot.utils.distributed import on_rank_zero
from soundspot.utils.progress import progress_bar


def cache_features(method: Method, reader: ClipReader, recipe: Recipe, progress: bool = True) -> FeatureReader:
    """Compute what the frozen stages of a method's encoders make of a training set, and make training read that.

    Features lie in a folder for each modality, named by a hash of all that they depend on: the encoder, its frozen
    weights, the front end, the data set and the ids of its samples, the views and the seed. What is there is not
    computed again. In a group of processes the first one computes.

    Args:
        method: method to be trained; its encoders, and copies of them, will take stored features as well as inputs.
        reader: reader of the training set.
        recipe: recipe of the run, with the folder and the limits in `feature_cache`.
        progress: whether to print the size, and show a progress bar.

    Returns:
        Reader of stored features; of images or of sounds where their encoder has no frozen stages.

    Raises:
        RecipeError: no encoder has frozen stages, the losses need images themselves, or the features are larger than
            `feature_cache.max_gb`.
        DataError: the data have changed since their features were computed.
        OutputError: the folder cannot be written (DiskFullError: its disk has not enough room).
    """
    plans = plan_features(method, reader, recipe)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    on_rank_zero(lambda: _fill(plans, device, progress))
    stores: dict[Modality, FeatureStore] = {}
    for plan in plans:
        for name, module in method.named_modules():  # momentum copies of the encoder too
            if isinstance(module, StagedEncoder) and name.rpartition(".")[2] == f"{plan.modality}_encoder":
                module.stored_shapes = plan.shapes
        folder, has_ground_truth = plan.folder, plan.ground_truth_side > 0
        stores[plan.modality] = FeatureStore(
            folder / FEATURES,
            folder / GROUND_TRUTH if has_ground_truth else None,
            plan.channels,
            plan.num_variants,
            plan.ranges,
            plan.items.positions,
        )
    return FeatureReader(reader, stores.get("image"), stores.get("audio"))


def plan_features(method: Method, reader: ClipReader, recipe: Recipe) -> list[FeaturePlan]:
    """Plan the features of each encoder that has frozen stages.

    Args:
        method: method to be trained.
        reader: reader of the training set.
        recipe: recipe of the run.

    Returns:
        One plan, or two.

    Raises:
        RecipeError: no encoder has frozen stages, or the losses need images themselves.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = resolve_precision(recipe.train.precision, device)
    num_epochs = count_epochs(reader.data, recipe.feature_cache.epochs)
    plans = []
    for modality in get_args(Modality):
        encoder = getattr(method, f"{modality}_encoder")
        if isinstance(encoder, StagedEncoder) and encoder.frozen_stages():
            items = list_items(reader.data, modality, num_epochs, reader.with_ground_truth)
            plans.append(FeaturePlan(modality, encoder, reader, recipe, items, precision))
    if not plans:
        raise RecipeError(
            "feature_cache.folder: found no encoder with frozen stages, expected one whose stages can be computed once "
            "(`image: {encoder: efficientnet_lite0, trained: 0}`, `audio: {encoder: aisfx, trained: 0}`); freeze one, "
            "or leave feature_cache.folder out"
        )
    check_images_replaceable(method)
    return plans


def check_images_replaceable(method: Method) -> None:
    """Check that a method learns from features as well as from the images that they are of.

    Args:
        method: method to be trained.

    Raises:
        RecipeError: its image encoder has frozen stages, and its losses need images or their optical flow.
    """
    encoder = method.image_encoder
    is_stored = isinstance(encoder, StagedEncoder) and encoder.frozen_stages()
    if is_stored and (method.transforms_images or method.front_end.image.flow):
        reason = "reads optical flow" if method.front_end.image.flow else "transforms images in its losses"
        raise RecipeError(
            f"feature_cache.folder: method {method.name!r} {reason}, and features cannot stand for the images; leave "
            "feature_cache.folder out, or train the image encoder as a whole (`image.trained: all`): features of "
            "sounds alone are then stored"
        )


def _fill(plans: Sequence[FeaturePlan], device: torch.device, progress: bool) -> None:
    """Check and print the sizes, and compute what is missing."""
    check_size(plans)
    for plan in plans:
        if progress:
            sys.stderr.write(f"features:  {describe_size(plan)}, in {plan.folder}\n")
        with progress_bar() if progress else nullcontext(lambda done, total: None) as on_progress:
            fill_features(plan, device, on_progress)


def describe_size(plan: FeaturePlan) -> str:
    """Describe the size of a plan in words.

    Args:
        plan: features of one modality.

    Returns:
        Numbers of items and variants, and the bytes, such as `100 images x 5 variants, 173 MB`.
    """
    items = "images" if plan.modality == "image" else "sounds"
    return f"{len(plan.items)} {items} x {plan.num_variants} variants, {format_bytes(plan.num_bytes)}"


def check_size(plans: Sequence[FeaturePlan]) -> None:
    """Check that features are within the recipe's limit, and that the disk has room for what is missing.

    Args:
        plans: features of both modalities, not empty.

    Raises:
        RecipeError: all of them together are larger than `feature_cache.max_gb`.
        DiskFullError: the disk has less room than is missing.
    """
    config = plans[0].recipe.feature_cache
    total = sum(plan.num_bytes for plan in plans)
    if total > config.max_gb * 1e9:
        raise RecipeError(
            f"feature_cache: found {format_bytes(total)} ({'; '.join(map(describe_size, plans))}), expected at most "
            f"{config.max_gb:g} GB; lower `feature_cache.augmentations` ({config.augmentations}), "
            f"`feature_cache.epochs` ({config.epochs}) where scenes are composed, or `front_end.size`, or raise "
            "`feature_cache.max_gb`"
        )
    folder = Path(config.folder or "").absolute()
    parent = next(path for path in (folder, *folder.parents) if path.exists())
    written = sum(file.stat().st_size for plan in plans for file in plan.folder.glob("*.npy"))
    free, missing = shutil.disk_usage(parent).free, max(0, total - written)
    if missing > free:
        raise DiskFullError(
            f"{folder}: found {format_bytes(free)} free, expected {format_bytes(missing)} for features. Make room, or "
            "name a folder on another disk by `feature_cache.folder`"
        )
