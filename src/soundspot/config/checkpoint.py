"""Checkpoints: one safetensors file holds the weights and, in its header, all that is needed to use them.

The header carries the method and its options, the front end, the upsampling, the recipe, the fitted threshold and the
library's version, so loading takes no flags and cannot pair weights with the wrong front end. Frozen encoders that come
with the library (`weights: bundled`) are not repeated: the header names the hash of their file.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from threading import get_ident
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn.modules.module import register_module_parameter_registration_hook

from soundspot._version import __version__
from soundspot.config.frontend import InputSpec
from soundspot.config.upsampling import Upsampling
from soundspot.errors import CheckpointError, SoundspotError
from soundspot.methods import create
from soundspot.methods.base import Method
from soundspot.models.frozen_weights import find_bundled_encoders, list_frozen_names, read_frozen_weights
from soundspot.models.packaged_weights import hash_bundle
from soundspot.models.weights import (
    Shape,
    check_match,
    halve,
    load_strict,
    match_weights,
    weight_shapes,
    without_initialization,
)
from soundspot.utils.atomic_io import atomic_write
from soundspot.utils.safe_read import check_fields, convert_read_errors, parse_json

MAX_LIST, MAX_OPTION = 10_000, 1_000_000  # entries of a list of options, and sum of the numbers in it
MAX_OMITTED = 2_000  # weights that a checkpoint may leave to the library's file of encoders
_REMEDY = "If an older version of soundspot wrote it, load it with that one, or train it anew"
_EXPECTED = "expected a checkpoint of `soundspot train`. If it was damaged, copy it again"
STATISTICS = "statistics/"  # beginning of the names of tensors that are no weights of the method


def save_checkpoint(
    method: Method,
    path: str | Path,
    half_precision: bool = False,
    statistics: Mapping[str, Tensor] | None = None,
    **header_fields: Any,
) -> None:
    """Write the weights and the header of a method; a reader sees the complete file or none.

    Frozen stages of encoders with `weights: bundled` are left out: they are read from the library when it is loaded.

    Args:
        method: method with its weights.
        path: path of the .safetensors file; an existing file is replaced.
        half_precision: whether large matrices and kernels are stored in float16; they are loaded as float32.
        statistics: further tensors by name, which `read_statistics` returns; None: there are none.
        header_fields: values for the header that JSON can hold: `recipe`, `threshold`, `step`...

    Raises:
        OutputError: the file cannot be written (DiskFullError: no space is left).
    """
    header = {
        "soundspot": __version__,
        "method": method.name,
        "config": method.config,
        "front_end": asdict(method.front_end),
        "upsampling": asdict(method.upsampling),
        **header_fields,
    }
    encoders = find_bundled_encoders(method)
    if encoders:
        header["bundle"] = {"sha256": hash_bundle(), "encoders": encoders}
    omitted = list_frozen_names(method, encoders)
    weights = {name: value for name, value in method.state_dict().items() if name not in omitted}
    weights = halve(weights) if half_precision else weights
    _write(Path(path), weights | {STATISTICS + name: value for name, value in (statistics or {}).items()}, header)


def update_header(path: str | Path, output: str | Path | None = None, **header_fields: Any) -> None:
    """Write values into the header of a checkpoint; its weights stay the same to the bit.

    Args:
        path: path of the checkpoint.
        output: path of the file to write, which is replaced at once; None: `path`.
        header_fields: names and values to add or replace, which JSON can hold; other fields stay.

    Raises:
        CheckpointError: the file is missing, cut short, or no checkpoint of this library.
        OutputError: the file cannot be written.
    """
    _write(Path(output or path), _read_tensors(path), read_header(path) | header_fields)


def read_statistics(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint that are no weights of its method.

    Args:
        path: path of the .safetensors file.

    Returns:
        Name -> tensor, as `save_checkpoint` got them; empty where there are none.

    Raises:
        CheckpointError: the file is missing, cut short, or no checkpoint of this library.
    """
    read_header(path)
    tensors = _read_tensors(path)
    return {name.removeprefix(STATISTICS): value for name, value in tensors.items() if name.startswith(STATISTICS)}


def describe_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return the facts that identify a checkpoint in a report.

    Args:
        path: path of the checkpoint, or its name on the hub.

    Returns:
        `checkpoint` (file name), `sha256` (hexadecimal digits of the file) and `calibration` (of its threshold, or
        None); of a name on the hub `checkpoint` alone.

    Raises:
        CheckpointError: the file is no checkpoint of this library.
    """
    path = Path(path)
    if not path.is_file():
        return {"checkpoint": str(path)}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"checkpoint": path.name, "sha256": digest, "calibration": read_header(path).get("calibration")}


def read_header(path: str | Path) -> dict[str, Any]:
    """Read the header of a checkpoint, without its weights.

    Args:
        path: path of the .safetensors file.

    Returns:
        Fields by name: `soundspot` (version), `method`, `config` (its options), `front_end`, `upsampling`, and those
        that were passed to `save_checkpoint`, such as `recipe`, `threshold` and `step`.

    Raises:
        CheckpointError: the file is missing, cut short, not a safetensors file, not a checkpoint of this library, or
            written when the library was called `whence`.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; expected a .safetensors file of `soundspot train`")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as safetensors ({error}); expected a checkpoint of `soundspot train`. If it "
            "was cut short, copy it again; weights released by a paper go through `soundspot checkpoint import`."
        ) from error
    if "whence" in metadata:
        raise CheckpointError(
            f"{path}: is a checkpoint of `whence`, as this library was called before; expected one of `soundspot`. "
            "Train it again by its recipe (`soundspot train` names the new keys), or import the released weights again"
        )
    if "soundspot" not in metadata:
        raise CheckpointError(
            f"{path}: is a safetensors file, but its header does not name a method; expected a checkpoint of "
            "`soundspot train`. Released weights go through `soundspot checkpoint import`."
        )
    with convert_read_errors(path, _EXPECTED, CheckpointError):
        header: dict[str, Any] = parse_json(metadata["soundspot"])
        types = {"soundspot": str, "method": str, "config": dict, "front_end": dict, "upsampling": dict}
        for name, type_ in types.items():
            if not isinstance(header[name], type_):
                raise CheckpointError(f"{path}: its header has {header[name]!r:.60} for {name}, {_EXPECTED}")
        return header


def load_checkpoint(path: str | Path) -> tuple[Method, dict[str, Any]]:
    """Load the method of a checkpoint, on the CPU.

    Args:
        path: path of the .safetensors file.

    Returns:
        The method with its weights, in evaluation mode, and the fields of the header.

    Raises:
        CheckpointError: the file is missing, cut short, or no checkpoint of this library; its weights do not fit the
            method that the header names; or its frozen encoders are of another file than the one that comes with the
            library.
        RecipeError: this version does not know the method or an option of it.
    """
    header = read_header(path)
    with convert_read_errors(path, _EXPECTED, CheckpointError):
        return _load(path, header), header


def _load(path: str | Path, header: dict[str, Any]) -> Method:
    shapes = read_weight_shapes(path)
    _check_options(header["config"])
    with suppress(NotImplementedError):  # a method of one's own that has no shapes before it runs
        with _limit_parameters(10 * len(shapes) + MAX_OMITTED):
            expected = _build_shapes(header)
        check_match(match_weights(expected, shapes), str(path), _REMEDY)
    with without_initialization():
        method = method_from_header(header)
    weights = {name: value for name, value in _read_tensors(path).items() if not name.startswith(STATISTICS)}
    if "bundle" in header:
        source = f"{path} (of soundspot {header['soundspot']})"
        weights |= read_frozen_weights(method, header["bundle"]["encoders"], header["bundle"]["sha256"], source)
    load_strict(method, weights, source=str(path))
    return method.eval()


def read_weight_shapes(path: str | Path) -> dict[str, Shape]:
    """Read the shapes of the weights of a checkpoint, without the weights.

    Args:
        path: path of the .safetensors file.

    Returns:
        Name -> shape; statistics are left out.
    """
    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if not name.startswith(STATISTICS)]  # noqa: SIM118 (no mapping)
        return {name: tuple(file.get_slice(name).get_shape()) for name in names}


def expected_shapes(header: dict[str, Any]) -> dict[str, Shape] | None:
    """Return the shapes of the weights that a header describes, without allocating any of them.

    Args:
        header: fields of the header by name (see `read_header`).

    Returns:
        Name -> shape; None where this version cannot build the method.

    Raises:
        CheckpointError: an option is larger than that of any network.
    """
    _check_options(header["config"])
    with suppress(SoundspotError, KeyError, TypeError, NotImplementedError):
        return _build_shapes(header)
    return None


@contextmanager
def _limit_parameters(max_parameters: int) -> Iterator[None]:
    """Raise CheckpointError where a module of more parameters is built in the block, in this thread."""
    num_parameters, thread = 0, get_ident()

    def count(*_: object) -> None:
        nonlocal num_parameters
        num_parameters += get_ident() == thread
        if num_parameters > max_parameters:
            raise CheckpointError(f"its header describes a network of more than {max_parameters} weights, {_EXPECTED}")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _build_shapes(header: dict[str, Any]) -> dict[str, Shape]:
    with torch.device("meta"), without_initialization():
        method = method_from_header(header)
        omitted = list_frozen_names(method, (header.get("bundle") or {}).get("encoders", {}))
        return {name: shape for name, shape in weight_shapes(method.state_dict()).items() if name not in omitted}


def _check_options(options: Any) -> None:
    """Raise CheckpointError for numbers of layers and channels by which building alone would take for ever."""
    items = options.values() if isinstance(options, dict) else options if isinstance(options, list) else ()
    sizes = [abs(item) for item in items if isinstance(item, int | float)]
    if len(items) > MAX_LIST or sum(sizes) > MAX_OPTION:
        raise CheckpointError(
            f"found the options {options!r:.60} of its method, expected at most {MAX_LIST} of a list or group, of at "
            f"most {MAX_OPTION} together. It is no checkpoint of `soundspot train`: ask for the file again"
        )
    for item in items:
        _check_options(item)


def method_from_header(header: dict[str, Any]) -> Method:
    """Build the method that a header describes.

    Args:
        header: fields of the header by name (see `read_header`).

    Returns:
        The method with fresh weights, its front end and its upsampling; no file of weights is read.

    Raises:
        RecipeError: this version does not know the method or an option of it.
    """
    # Options of encoders without the file they once started from: the checkpoint holds every weight.
    config = {
        key: {k: v for k, v in value.items() if k != "weights"} if isinstance(value, dict) else value
        for key, value in header["config"].items()
    }
    method = create(header["method"], front_end=InputSpec.from_dict(header["front_end"]), **config)
    method.upsampling = Upsampling(**header["upsampling"])
    check_fields(method.upsampling)
    return method


def hash_recipe(recipe: dict[str, Any]) -> str:
    """Compute a short hash of a recipe; the number of workers, which moves no number, is left out.

    Args:
        recipe: recipe as plain values (see `Recipe.as_dict`).

    Returns:
        The first 16 hexadecimal digits of the SHA-256 of its JSON with sorted keys.
    """
    train = {key: value for key, value in recipe.get("train", {}).items() if key != "workers"}
    return hashlib.sha256(json.dumps(recipe | {"train": train}, sort_keys=True).encode()).hexdigest()[:16]


def _read_tensors(path: str | Path) -> dict[str, Tensor]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)


def _write(path: Path, weights: dict[str, Tensor], header: dict[str, Any]) -> None:
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    with atomic_write(path) as draft:
        draft.write_bytes(save(tensors, metadata={"soundspot": json.dumps(header)}))
