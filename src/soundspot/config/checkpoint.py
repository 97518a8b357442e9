"""Our checkpoints: one safetensors file holds weights and, in its header, all that is needed to use them.

The header carries the method and its options, the front end, the read-out, the recipe, the fitted threshold and the
library's version, so loading takes no flags and cannot pair weights with the wrong front end.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from soundspot._version import __version__
from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.config.upsampling import Upsampling
from soundspot.errors import CheckpointError
from soundspot.methods import create
from soundspot.methods.base import Method
from soundspot.models.weights import load_strict
from soundspot.utils.atomic_io import atomic_write


def save_checkpoint(method: Method, path: str | Path, **header_fields: Any) -> None:
    """Writes weights and header; the file appears whole or not at all.

    Args:
        extras: plain values for the header: `recipe`, `threshold`, `step`...
    """
    path = Path(path)
    header = {
        "soundspot": __version__,
        "method": method.name,
        "config": method.config,
        "front_end": asdict(method.front_end),
        "readout": asdict(method.upsampling),
        **header_fields,
    }
    weights = {name: value.detach().cpu().contiguous() for name, value in method.state_dict().items()}
    with atomic_write(path) as draft:
        draft.write_bytes(save(weights, metadata={"soundspot": json.dumps(header)}))


def update_header(path: str | Path, **header_fields: Any) -> None:
    """Writes plain values into the header of a checkpoint; its weights stay as they are, to the last bit."""
    path = Path(path)
    header = read_header(path)
    with safe_open(path, "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    with atomic_write(path) as draft:
        draft.write_bytes(save(weights, metadata={"soundspot": json.dumps(header | header_fields)}))


def describe_checkpoint(path: str | Path) -> dict[str, Any]:
    """What a report knows a checkpoint by: its name, the hash of its file, and what its threshold was fitted on."""
    path = Path(path)
    if not path.is_file():  # on the hub, where its name says which
        return {"checkpoint": str(path)}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"checkpoint": path.name, "sha256": digest, "calibration": read_header(path).get("calibration")}


def read_header(path: str | Path) -> dict[str, Any]:
    """What a checkpoint says of itself, without reading its weights.

    Raises:
        CheckpointError: missing, cut short, not a safetensors file, or not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; expected a .safetensors file that `soundspot train` wrote")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as safetensors ({error}); expected a checkpoint that `soundspot train` wrote. If it "
            "was cut short, copy it again; a file released by a paper goes through `soundspot.import_checkpoint`"
        ) from error
    if "soundspot" not in metadata:
        raise CheckpointError(
            f"{path}: is a safetensors file, but its header does not say what method it holds; expected a checkpoint "
            "of `soundspot train`. Released weights go through `soundspot.import_checkpoint`"
        )
    header: dict[str, Any] = json.loads(metadata["soundspot"])
    return header


def load_checkpoint(path: str | Path) -> tuple[Method, dict[str, Any]]:
    """The method of a checkpoint, in evaluation mode, and its header.

    Raises:
        CheckpointError: as `read_header`, or the weights do not fit the method that the header names.
    """
    header = read_header(path)
    method = method_from_header(header)
    with safe_open(path, "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    load_strict(method, weights, source=str(path))
    return method.eval(), header


def method_from_header(header: dict[str, Any]) -> Method:
    """The method that a header tells of, with fresh weights."""
    front_end = input_spec_from_dict(header["front_end"])
    config = {key: _without_weights(value) for key, value in header["config"].items()}
    method = create(header["method"], front_end=front_end, **config)
    method.upsampling = Upsampling(**header["readout"])
    return method


def input_spec_from_dict(spec: dict[str, Any]) -> InputSpec:
    """A front end from what `dataclasses.asdict` made of it, JSON's lists being tuples again."""
    return InputSpec(ImageSpec(**_tuples(spec["image"])), AudioSpec(**_tuples(spec["audio"])))


def hash_recipe(recipe: dict[str, Any]) -> str:
    """16 hexadecimal digits that stand for a recipe; the number of workers, which moves no number, is left out."""
    train = {key: value for key, value in recipe.get("train", {}).items() if key != "workers"}
    return hashlib.sha256(json.dumps(recipe | {"train": train}, sort_keys=True).encode()).hexdigest()[:16]


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples; specs are hashable values and need them."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def _without_weights(value: Any) -> Any:
    """Encoder options without the file they once started from: the checkpoint holds every weight."""
    return {k: v for k, v in value.items() if k != "weights"} if isinstance(value, dict) else value
