"""The folder of a run: what may be written to it, and what a run is continued from."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from soundspot.config.load import read_yaml
from soundspot.config.schema import Recipe
from soundspot.errors import CheckpointError, OutputError, RecipeError
from soundspot.models.weights import Shape, check_match, match_weights, read_state_dict, weight_shapes
from soundspot.utils.atomic_io import atomic_write, remove_drafts

EXPECTED_RESUME_FILE = "expected the file that `soundspot train` writes. Delete it to train from the beginning"


def check_run_dir(folder: Path, recipe: Recipe, resume: bool, overwrite: bool) -> None:
    """Check that a run may be written to a folder.

    Args:
        folder: folder of the run, which need not exist.
        recipe: recipe of the run.
        resume: whether a run in the folder is to be continued.
        overwrite: whether a run in the folder may be replaced.

    Raises:
        OutputError: the folder is a file, holds something that is not a run, holds a run that is neither resumed nor
            replaced, or is to be resumed with another recipe (the number of workers may differ).
    """
    recipe_file = folder / "recipe.yaml"
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a folder with --output")
    if not folder.exists() or all(path.name.startswith(".recipe.yaml.draft-") for path in folder.iterdir()):
        return  # empty, or of a run that was killed at once
    if not recipe_file.exists():
        raise OutputError(f"{folder}: holds something that is not a run (there is no recipe.yaml); train elsewhere")
    if resume:
        try:
            theirs = read_yaml(recipe_file)
        except RecipeError as error:
            raise OutputError(f"{recipe_file}: {error} of the run. Replace the run by --overwrite") from error
        if _without_workers(_to_lists(recipe.as_dict())) != _without_workers(theirs):
            raise OutputError(
                f"{folder}: holds a run of another recipe (see {recipe_file}); resume with that, or train elsewhere"
            )
    if not (resume or overwrite):
        raise OutputError(
            f"{folder}: already exists. Continue the run in it by --resume, replace it by --overwrite, or name "
            "another folder with --output"
        )


def prepare_run_dir(folder: Path, recipe: Recipe, resume: bool) -> None:
    """Make the run's folder, without an older run unless that is resumed or drafts, and write the recipe into it.

    Args:
        folder: folder of the run.
        recipe: recipe of the run, written as recipe.yaml.
        resume: whether the files of an older run stay; other files are never deleted.
    """
    if folder.exists() and not resume:  # only what runs write: other files are the user's
        for name in ("best.safetensors", "last.safetensors", "resume.ckpt", "recipe.yaml"):
            (folder / name).unlink(missing_ok=True)
        for old in (folder / "logs", *folder.glob("neighbors-*"), *folder.glob("clusters-*")):
            shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    remove_drafts(folder)  # of files that a run continued at its end does not write again
    with atomic_write(folder / "recipe.yaml") as draft:
        draft.write_text(yaml.safe_dump(_to_lists(recipe.as_dict()), sort_keys=False), encoding="utf-8")


def check_resume_file(path: Path, shapes: Mapping[str, Shape]) -> None:
    """Check that a `resume.ckpt` continues a run of this method, before anything is restored from it.

    Args:
        path: path of the file, which may be somebody else's: it is read as tensors and plain values alone.
        shapes: parameter name -> shape of the module that is to be trained further.

    Raises:
        CheckpointError: the file is damaged, requires more than tensors and plain values, lacks an entry, or holds
            weights of other names or shapes.
    """
    state = read_state_dict(path)
    entries = {"callbacks": dict, "loops": dict, "lr_schedulers": list, "optimizer_states": list, "state_dict": dict}
    if wrong := [name for name, type_ in entries.items() if not isinstance(state.get(name), type_)]:
        raise CheckpointError(f"{path}: found no {wrong[0]} of a run, {EXPECTED_RESUME_FILE}")
    check_match(match_weights(shapes, weight_shapes(state["state_dict"])), str(path))


def _without_workers(recipe: Any) -> Any:
    """Return a recipe as YAML has it, without the one key that moves no number."""
    train = recipe.get("train")
    return {**recipe, "train": {**train, "workers": 0} if isinstance(train, dict) else train}


def _to_lists(value: object) -> object:
    """Return nested values with lists for tuples, as YAML has them."""
    if isinstance(value, dict):
        return {k: _to_lists(v) for k, v in value.items()}
    return [_to_lists(v) for v in value] if isinstance(value, list | tuple) else value
