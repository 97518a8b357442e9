"""Train a method by a recipe: `train(read_recipe(path), "runs/mine")`."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from soundspot.config.schema import DataConfig, Recipe
from soundspot.data.datasets.registry import open_dataset
from soundspot.errors import CheckpointError, RecipeError, SoundspotError
from soundspot.methods import METHODS, Method, create, method_options
from soundspot.models.weights import weight_shapes
from soundspot.training.checks import check_even_batches, check_not_test_split, check_recipe
from soundspot.training.clip_reader import ClipReader
from soundspot.training.run_folder import (
    EXPECTED_RESUME_FILE,
    check_resume_file,
    check_run_dir,
    prepare_run_dir,
)
from soundspot.training.sample_order import ResumableBatchSampler, check_categories, find_shard_ids, list_categories
from soundspot.types import AudioVisualDataset
from soundspot.utils.atomic_io import convert_full_disk
from soundspot.utils.distributed import all_gather_object, on_rank_zero, process_group, world_size
from soundspot.utils.safe_read import convert_read_errors


def train(
    recipe: Recipe, output: str | Path, resume: bool = False, overwrite: bool = False, progress: bool = True
) -> Path:
    """Train a method by a recipe.

    Under `torchrun` all processes that it starts learn from their shares of every batch, and together what a single
    process would: `torchrun --nproc-per-node 8 -m soundspot train RECIPE`.

    Args:
        recipe: all that the run is made of (see `soundspot.read_recipe`).
        output: folder for `best.safetensors`, `last.safetensors`, `resume.ckpt`, `recipe.yaml` and `logs/`.
        resume: whether to continue the run in that folder, to the same numbers it would have reached undisturbed.
        overwrite: whether to replace the run in that folder.
        progress: whether to show a progress bar.

    Returns:
        Path of `best.safetensors`.

    Raises:
        OutputError: the folder holds a run and neither `resume` nor `overwrite` is given, or another recipe's run.
        DiskFullError: the disk is full; the run can be resumed.
        RecipeError: the recipe cannot be carried out (nothing is written), or the loss is no longer finite.
        DataError: the data set cannot be opened or is too small; nothing is written.
        CheckpointError: weights that the recipe names cannot be loaded; nothing is written.
    """
    with process_group(), convert_full_disk(Path(output)):
        return _train(recipe, Path(output), resume, overwrite, progress)


def _train(recipe: Recipe, folder: Path, resume: bool, overwrite: bool, progress: bool) -> Path:
    local_sizes = all_gather_object(int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    on_rank_zero(lambda: check_even_batches(recipe, local_sizes))
    check_recipe(recipe)
    on_rank_zero(lambda: check_run_dir(folder, recipe, resume, overwrite))
    config, data, validation_data = recipe.validation.data, open_recipe_dataset(recipe.data), None
    if config is not None:
        validation_data = open_recipe_dataset(resolve_validation_data(config, recipe.data))
        check_not_test_split(validation_data)
    # After all that a user may have mistyped: importing Lightning takes seconds, and building a network too.
    from soundspot.training.callbacks import CheckpointCallback, NeighborMiningCallback, ValidationCallback
    from soundspot.training.datamodule import FalseNegativeMask, TrainingData, uses_ground_truth
    from soundspot.training.feature_cache import cache_features
    from soundspot.training.feature_embedder import FeatureEmbedder
    from soundspot.training.feature_plan import RepeatedEpochs
    from soundspot.training.labels import LabelCallback
    from soundspot.training.lightning_module import LocalizationModule
    from soundspot.training.sync_batchnorm import convert_sync_batchnorm

    check_categories(data, recipe.train)
    if recipe.feature_cache.folder is not None:
        data = RepeatedEpochs(data, recipe.feature_cache.epochs)
    num_intervals, interval_steps = training_steps(len(data), recipe)
    total_steps = num_intervals * interval_steps
    labels = LabelCallback(data, recipe, folder, num_intervals, interval_steps)
    torch.manual_seed(recipe.train.seed)
    method = build_method(recipe, labels.num_classes)
    if recipe.train.sync_batchnorm and world_size() > 1:
        convert_sync_batchnorm(method, training_device())
    labels.check_compatible(method, total_steps)
    neighbors = NeighborMiningCallback(data, recipe, folder, num_intervals, interval_steps)
    validation = None
    if validation_data is not None:
        validation = ValidationCallback(validation_data, recipe, labels.for_dataset(validation_data))
    checkpoint = CheckpointCallback(folder, recipe, validation, labels.class_names)
    shard_ids = find_shard_ids(data, recipe.train)
    sampler = ResumableBatchSampler(
        len(data),
        recipe,
        interval_steps,
        lambda: trainer.global_step,
        neighbors.current_table,
        shard_ids,
        lambda epoch: list_categories(data.at_epoch(epoch)),
    )
    reader = ClipReader(data, method.front_end, recipe.views, recipe.train.seed, uses_ground_truth(method, data))
    if recipe.feature_cache.folder is not None:
        reader = cache_features(method, reader, recipe, progress)
        if not reader.reads_media:
            neighbors.make_embedder = labels.make_embedder = partial(FeatureEmbedder, reader=reader)
    false_negatives = FalseNegativeMask(data, recipe, neighbors.current_table)
    module = LocalizationModule(method, recipe, false_negatives, labels, total_steps)
    on_rank_zero(lambda: prepare_run_dir(folder, recipe, resume))
    callbacks = [c for c in (neighbors, labels, validation, checkpoint) if c]
    trainer = build_trainer(recipe, folder, callbacks, num_intervals, interval_steps, progress)
    resume_file = folder / "resume.ckpt" if resume and (folder / "resume.ckpt").exists() else None
    if resume_file:
        check_resume_file(resume_file, weight_shapes(module.state_dict()))
    try:
        trainer.fit(
            module.to(memory_format=torch.channels_last),
            datamodule=TrainingData(reader, sampler, recipe.train.workers, (neighbors, labels)),
            ckpt_path=resume_file,
            weights_only=True,
        )
    except Exception as error:
        if resume_file is None or module.has_started or isinstance(error, SoundspotError):
            raise
        with convert_read_errors(resume_file, EXPECTED_RESUME_FILE, CheckpointError):  # Lightning could not restore it
            raise
    return folder / "best.safetensors"


def build_trainer(
    recipe: Recipe, folder: Path, callbacks: Sequence[Any], num_intervals: int, interval_steps: int, progress: bool
) -> Any:
    """Build Lightning's trainer; one of its epochs is one checkpoint interval.

    Args:
        recipe: recipe of the run.
        folder: folder of the run, for its logs.
        callbacks: Lightning callbacks, in order.
        num_intervals: number of checkpoint intervals.
        interval_steps: optimizer steps of each, between log lines too.
        progress: whether to show a progress bar.

    Returns:
        A `lightning.Trainer` for all processes of the group.
    """
    import lightning as L
    from lightning.pytorch.callbacks import RichProgressBar
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    from soundspot.training.lightning_module import resolve_precision, silence_lightning

    silence_lightning()
    attempt = len(list((folder / "logs").glob("attempt-*")))
    return L.Trainer(
        accelerator="auto",
        max_epochs=num_intervals,
        accumulate_grad_batches=recipe.train.accumulate,
        precision=resolve_precision(recipe.train.precision, training_device()),
        gradient_clip_val=recipe.train.grad_clip_norm or None,
        callbacks=[*callbacks, *([RichProgressBar()] if progress else [])],
        logger=[
            CSVLogger(folder, name="logs", version=f"attempt-{attempt}"),
            TensorBoardLogger(folder, name="logs", version="tensorboard"),
        ],
        log_every_n_steps=interval_steps,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        use_distributed_sampler=False,
        **distributed_strategy(),
    )


def build_method(recipe: Recipe, num_classes: int) -> Method:
    """Build the method of a recipe, with fresh weights and a class head for each of the labels' classes.

    Args:
        recipe: recipe with the method, its encoders and front end.
        num_classes: number of classes of the labels; 0: no labels.

    Returns:
        The method, on the CPU; encoders start from the weights that the recipe names.

    Raises:
        RecipeError: the recipe gives another number of `classes`, or an unknown method, encoder or option.
        CheckpointError: weights that the recipe names cannot be loaded.
    """
    name = recipe.method["name"]
    options = {key: value for key, value in recipe.method.items() if key != "name"}
    has_classes = "classes" in method_options(METHODS[name]) and num_classes
    if has_classes and options.setdefault("classes", num_classes) != num_classes:
        raise RecipeError(
            f"method.classes is {options['classes']}, and the labels have {num_classes} classes; leave it out"
        )
    return create(name, image=recipe.image, audio=recipe.audio, front_end=recipe.front_end.build(), **options)


def open_recipe_dataset(config: DataConfig) -> AudioVisualDataset:
    """Open the data set of a recipe.

    Args:
        config: name, root and options of the data set.

    Returns:
        The data set.

    Raises:
        DataError: its files are missing or wrong.
        RecipeError: the name or an option is unknown.
    """
    return open_dataset(config.name, config.root, **config.options)


def resolve_validation_data(validation: DataConfig, training: DataConfig) -> DataConfig:
    """Complete the configuration of a held-out set by values of the training set.

    Args:
        validation: configuration of the held-out set; its own values win.
        training: configuration of the training set.

    Returns:
        The held-out set with the training set's root where it has none and, if both have the same name, with its
        options.
    """
    shared = training.options if validation.name == training.name else {}
    return replace(validation, root=validation.root or training.root, options={**shared, **validation.options})


def training_steps(dataset_size: int, recipe: Recipe) -> tuple[int, int]:
    """Compute the length of a run: the epochs of the recipe, rounded up to whole checkpoint intervals.

    Args:
        dataset_size: number of samples of the training set.
        recipe: recipe with epochs, batch size, `accumulate` and `checkpoint_every_n_steps` (0: one epoch).

    Returns:
        Number of checkpoint intervals, at least 1, and number of optimizer steps in each.
    """
    per_epoch = max(1, dataset_size // (recipe.train.batch_size * recipe.train.accumulate))
    interval_steps = recipe.train.checkpoint_every_n_steps or per_epoch
    return max(1, -(-round(recipe.train.epochs * per_epoch) // interval_steps)), interval_steps


def training_device() -> torch.device:
    """Return the type of device that Lightning's `auto` trains on, as far as precision is concerned.

    Returns:
        CUDA where there is a GPU, else the CPU, also where Lightning takes MPS.
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def distributed_strategy() -> dict[str, Any]:
    """Return the arguments of Lightning's trainer that say how many processes there are.

    Returns:
        `devices`, and for several processes `num_nodes` and a DDP `strategy` that allows unused parameters.
    """
    if world_size() == 1:
        return {"devices": 1}
    from lightning.pytorch.strategies import DDPStrategy

    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    # Stages of a method leave parameters out for a while, so which have gradients is found out at each step.
    strategy = DDPStrategy(find_unused_parameters=True)
    return {"devices": local_size, "num_nodes": world_size() // local_size, "strategy": strategy}
