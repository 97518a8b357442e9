"""A training run from a recipe: `train(read_recipe(path), "runs/mine")`."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from soundspot.config.schema import DataConfig, Recipe
from soundspot.data.datasets.registry import open_dataset
from soundspot.errors import OutputError, RecipeError
from soundspot.methods import METHODS, Method, create, method_options
from soundspot.training.clip_reader import ClipReader
from soundspot.training.datamodule import (
    FalseNegativeMask,
    ResumableBatchSampler,
    build_dataloader,
    shard_of_samples,
    uses_ground_truth,
)
from soundspot.types import AudioVisualDataset
from soundspot.utils.atomic_io import atomic_write
from soundspot.utils.distributed import all_gather_object, on_rank_zero, process_group, world_size


def train(
    recipe: Recipe, output: str | Path, resume: bool = False, overwrite: bool = False, progress: bool = True
) -> Path:
    """Trains by a recipe; under `torchrun` with all processes that it starts, each of which learns from its share of
    every batch, and which together learn what one would: `torchrun --nproc-per-node 8 -m soundspot train RECIPE`.

    Args:
        output: folder for `best.safetensors`, `last.safetensors`, `resume.ckpt`, `recipe.yaml` and `logs/`.
        resume: go on with the run that is there, to the same numbers it would have reached undisturbed.
        overwrite: throw away what is there.

    Returns:
        The path of `best.safetensors`.

    Raises:
        OutputError: the folder holds a run and neither `resume` nor `overwrite` is given, or another recipe's run.
        RecipeError, DataError, CheckpointError: the recipe cannot be carried out; nothing was written then.
    """
    with process_group():
        return _train(recipe, Path(output), resume, overwrite, progress)


def _train(recipe: Recipe, folder: Path, resume: bool, overwrite: bool, progress: bool) -> Path:
    here = all_gather_object(int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    on_rank_zero(lambda: check_even_batches(recipe, here))
    on_rank_zero(lambda: check_run_dir(folder, recipe, resume, overwrite))
    # After the cheap checks: importing the trainer takes seconds.
    import lightning as L
    from lightning.pytorch.callbacks import RichProgressBar
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    from soundspot.training.callbacks import CheckpointCallback, NeighborMiningCallback, ValidationCallback
    from soundspot.training.labels import LabelCallback
    from soundspot.training.lightning_module import LocalizationModule, resolve_precision, silence_lightning
    from soundspot.training.sync_batchnorm import convert_sync_batchnorm

    silence_lightning()
    check_label_source(recipe)
    data = open_recipe_dataset(recipe.data)
    held_out = (
        None
        if recipe.validation.data is None
        else open_recipe_dataset(resolve_validation_data(recipe.validation.data, recipe.data))
    )

    legs, leg = training_steps(len(data), recipe)
    steps = legs * leg
    labeller = LabelCallback(data, recipe, folder, legs, leg)
    torch.manual_seed(recipe.train.seed)
    method = build_method(recipe, labeller.num_classes)
    if recipe.train.sync_batchnorm and world_size() > 1:
        convert_sync_batchnorm(method, training_device())
    labeller.check_compatible(method, steps)
    miner = NeighborMiningCallback(data, recipe, folder, legs, leg)
    check_not_test_split(held_out)
    selector = None if held_out is None else ValidationCallback(held_out, recipe, labeller.for_dataset(held_out))

    def position() -> int:
        """The step that the next batch is for; by then neighbours and clusters for it must be there."""
        for one in (miner, labeller):
            one.update_neighbors(task.method, trainer.global_step)
        return trainer.global_step

    stream = ResumableBatchSampler(
        len(data), recipe, leg, position, miner.current_table, shard_of_samples(data, recipe.train)
    )
    clips = ClipReader(data, method.front_end, recipe.views, recipe.train.seed, uses_ground_truth(method, data))
    task = LocalizationModule(method, recipe, FalseNegativeMask(data, recipe, miner.current_table), labeller, steps)
    on_rank_zero(lambda: prepare_run_dir(folder, recipe, resume))
    attempt = len(list((folder / "logs").glob("attempt-*")))
    trainer = L.Trainer(
        accelerator="auto",
        max_epochs=legs,
        accumulate_grad_batches=recipe.train.accumulate,
        precision=resolve_precision(recipe.train.precision, training_device()),
        gradient_clip_val=recipe.train.grad_clip_norm or None,
        callbacks=[
            c
            for c in (miner, labeller, selector, CheckpointCallback(folder, recipe, selector, labeller.class_names))
            if c
        ]
        + ([RichProgressBar()] if progress else []),
        logger=[
            CSVLogger(folder, name="logs", version=f"attempt-{attempt}"),
            TensorBoardLogger(folder, name="logs", version="tensorboard"),
        ],
        log_every_n_steps=leg,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        use_distributed_sampler=False,
        **distributed_strategy(),
    )
    checkpoint = folder / "resume.ckpt"
    trainer.fit(
        task.to(memory_format=torch.channels_last),
        train_dataloaders=build_dataloader(clips, stream, recipe.train.workers),
        ckpt_path=str(checkpoint) if resume and checkpoint.exists() else None,
        weights_only=False,
    )
    return folder / "best.safetensors"


def check_label_source(recipe: Recipe) -> None:
    """Raise RecipeError where a method learns from labels that the recipe does not give it."""
    kind, source, at = METHODS[recipe.method["name"]], recipe.labels.source, recipe.labels.cluster_schedule
    wanted = kind.learns_from
    if wanted == "labels" and (source == "none" or min(at, default=0.0) > 0):
        found = f"none before {min(at):g} of the training (labels.at)" if at else "labels.source is 'none'"
        raise RecipeError(
            f"method {kind.name!r} learns from class labels, and {found}. Give `labels.source`: `category`, the data "
            "set's own, which is supervision; a table, as `soundspot label` writes it with classifiers of yours; or "
            "`clusters` from the beginning (`at: [0.0]`)"
        )
    if wanted == "labels" and source == "clusters" and recipe.validation.data and recipe.validation.metric == "loss":
        raise RecipeError(
            f"select.metric: method {kind.name!r} learns from labels, and held-out clips have no clusters, so "
            "their loss is not known; select by a score, or not at all (`select.data: null`)"
        )
    if wanted == "clusters" and source != "clusters":
        raise RecipeError(
            f"method {kind.name!r} learns from clusters of its own features, and labels.source is {source!r}; give "
            "`labels: {source: clusters, at: [0.2, 0.4]}`"
        )


def build_method(recipe: Recipe, num_classes: int) -> Method:
    """The method of a recipe, with fresh weights and a class head for each of the labels' classes.

    Raises:
        RecipeError: the recipe tells another number of `classes`; or as `create`.
    """
    options = {k: v for k, v in recipe.method.items() if k != "name"}
    told = "classes" in method_options(METHODS[recipe.method["name"]]) and num_classes
    if told and options.setdefault("classes", num_classes) != num_classes:
        raise RecipeError(
            f"method.classes is {options['classes']}, and the labels have {num_classes} classes; leave it out"
        )
    front_end = recipe.front_end.build()
    return create(recipe.method["name"], image=recipe.image, audio=recipe.audio, front_end=front_end, **options)


def open_recipe_dataset(data: DataConfig) -> AudioVisualDataset:
    """The data set that a recipe names."""
    return open_dataset(data.name, data.root, **data.options)


def resolve_validation_data(data: DataConfig, training: DataConfig) -> DataConfig:
    """A held-out set lies where the training set does and, of the same kind, has its options but for its own."""
    shared = training.options if data.name == training.name else {}
    return replace(data, root=data.root or training.root, options={**shared, **data.options})


def check_not_test_split(validation_data: AudioVisualDataset | None) -> None:
    """Nothing is selected on a test split, however it came to be chosen (cut-outs take it unless told otherwise)."""
    source = getattr(getattr(validation_data, "source", None), "catalogue", validation_data)
    if getattr(source, "split", None) == "test":
        raise RecipeError("select.data: this is a test split, and nothing is selected on one; give it `split: val`")


def training_steps(dataset_size: int, recipe: Recipe) -> tuple[int, int]:
    """(legs, steps in each): the epochs asked for, rounded up to whole legs."""
    per_epoch = max(1, dataset_size // (recipe.train.batch_size * recipe.train.accumulate))
    leg = recipe.train.checkpoint_every_n_steps or per_epoch
    return max(1, -(-round(recipe.train.epochs * per_epoch) // leg)), leg


def training_device() -> torch.device:
    """What Lightning's `auto` trains on, as far as precision is concerned."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def distributed_strategy() -> dict[str, Any]:
    """What Lightning is told of how many processes there are."""
    if world_size() == 1:
        return {"devices": 1}
    from lightning.pytorch.strategies import DDPStrategy

    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    # Stages of a method leave parameters out for a while, so which have gradients is found out at each step.
    return {"devices": here, "num_nodes": world_size() // here, "strategy": DDPStrategy(find_unused_parameters=True)}


def check_even_batches(recipe: Recipe, processes_per_machine: Sequence[int]) -> None:
    """Raise RecipeError where a batch cannot be shared out evenly over the processes, or these not over the machines.

    Args:
        here: how many processes the machine of each process has; as many numbers as there are processes.
    """
    if recipe.train.batch_size % len(processes_per_machine):
        raise RecipeError(
            f"train.batch_size: found {recipe.train.batch_size} clips for {len(processes_per_machine)} processes, expected a multiple "
            "of their number. It is of all of them together: raise or lower it"
        )
    if len(set(processes_per_machine)) > 1:
        raise RecipeError(
            f"found machines with {' and '.join(map(str, sorted(set(processes_per_machine))))} processes, expected as many on each. "
            "Give each torchrun the same --nproc-per-node"
        )


def check_run_dir(folder: Path, recipe: Recipe, resume: bool, overwrite: bool) -> None:
    """Raise OutputError where a run may not go into `folder`."""
    written = folder / "recipe.yaml"
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a folder with --output")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not written.exists():
        raise OutputError(f"{folder}: holds something that is not a run (there is no recipe.yaml); train elsewhere")
    ours, theirs = _plain(recipe.as_dict()), yaml.safe_load(written.read_text(encoding="utf-8"))
    if resume and _without_workers(ours) != _without_workers(theirs):
        raise OutputError(
            f"{folder}: holds a run of another recipe (see {written}); resume with that, or train elsewhere"
        )
    if not (resume or overwrite):
        raise OutputError(
            f"{folder}: already exists. Go on with the run in it by --resume, replace it by --overwrite, or name "
            "another folder with --output"
        )


def prepare_run_dir(folder: Path, recipe: Recipe, resume: bool) -> None:
    """Makes the run's folder, rid of an older run unless that is resumed, and writes the recipe into it."""
    if folder.exists() and not resume:  # only what runs write: whatever else lies there is somebody's
        for name in ("best.safetensors", "last.safetensors", "resume.ckpt", "recipe.yaml"):
            (folder / name).unlink(missing_ok=True)
        for old in (folder / "logs", *folder.glob("neighbours-*"), *folder.glob("clusters-*")):
            shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "recipe.yaml") as draft:
        draft.write_text(yaml.safe_dump(_plain(recipe.as_dict()), sort_keys=False), encoding="utf-8")


def _without_workers(recipe: Any) -> Any:
    """A recipe as YAML has it, less the one key that moves no number."""
    return {**recipe, "train": {**recipe.get("train", {}), "workers": 0}}


def _plain(value: object) -> object:
    """Tuples as lists, which is what YAML has."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
