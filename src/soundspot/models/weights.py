"""Files of weights: read without running any code in them, and compared with a module by names and shapes."""

import hashlib
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from pickletools import genops
from threading import Lock
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from soundspot.errors import CheckpointError

Shape = tuple[int, ...]
MIN_HALVED = 4096  # values of the smallest kernel in half precision
_ALLOWED = Lock()  # torch has one list of allowed globals, and the first thread to end would empty it for the others


@dataclass(frozen=True)
class WeightMatch:
    """Comparison of the weights of a file with the expected ones, by name and shape.

    Attributes:
        num_matching: number of names with the expected shape.
        missing: names that only the expected weights have.
        unknown: names that only the file has.
        reshaped: (name, actual shape, expected shape) of common names whose shapes differ.
    """

    num_matching: int
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    reshaped: tuple[tuple[str, Shape, Shape], ...] = ()

    @property
    def num_mismatched(self) -> int:
        """Number of names that are missing, unknown or of another shape."""
        return len(self.missing) + len(self.unknown) + len(self.reshaped)

    def format_mismatches(self) -> str:
        """Format the number of mismatches of each kind, and the first of them.

        Returns:
            Part of a sentence, such as `2 missing (first: conv1.weight)`; empty where all match.
        """
        kinds = (
            (self.missing, "missing"),
            (self.unknown, "unknown"),
            ([name for name, *_ in self.reshaped], "of another shape"),
        )
        counts = ", ".join(f"{len(names)} {kind} (first: {names[0]})" for names, kind in kinds if names)
        if not self.reshaped:
            return counts
        name, actual, expected = self.reshaped[0]
        return f"{counts}; {name} is {list(actual)}, expected {list(expected)}"


@dataclass(frozen=True)
class PublicWeights:
    """Public file of an encoder's weights.

    Attributes:
        keyword: value of the encoder option `weights` that selects it.
        name: name of the network in messages.
        url: address of the file; the digits in its name are the start of its SHA-256, which the download checks.
        first_layer: name of the layer whose input is the image or spectrogram.
        unused_prefix: prefix of names that the encoder does not have, such as the classifier's; empty: there are none.
    """

    keyword: str
    name: str
    url: str
    first_layer: str
    unused_prefix: str = ""

    def select_used(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Select the weights that the encoder has, without those under `unused_prefix`.

        Args:
            state: parameter name -> weight of the file.

        Returns:
            Dict of parameter name -> weight.
        """
        prefix = self.unused_prefix
        return {name: value for name, value in state.items() if not (prefix and name.startswith(prefix))}

    def read(self, weights: str) -> dict[str, Any]:
        """Read the public file, from torch's cache or the network, or a local file of weights.

        Args:
            weights: `keyword` for the public file, else the path of a local file with the same names.

        Returns:
            Dict of parameter name -> weight.

        Raises:
            CheckpointError: the file cannot be fetched or read.
        """
        if weights != self.keyword:
            return read_state_dict(Path(weights))
        try:
            state: dict[str, Any] = torch.hub.load_state_dict_from_url(self.url, check_hash=True, weights_only=True)
        except (OSError, RuntimeError) as error:
            raise CheckpointError(
                f"the public {self.name} weights could not be fetched from {self.url} ({error}); fetch the file "
                f"yourself and give its path in place of `{self.keyword}`"
            ) from error
        return state


def halve(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert large matrices and kernels to half precision, which halves a file and hardly moves features.

    Args:
        state: parameter name -> weight.

    Returns:
        Parameter name -> contiguous weight: float16 where it has fractions, two axes or more and at least `MIN_HALVED`
        (4,096) values, as it is otherwise. Small kernels, of first layers and depthwise convolutions, move features
        most.
    """

    def is_large(value: Tensor) -> bool:
        return value.is_floating_point() and value.ndim > 1 and value.numel() >= MIN_HALVED

    return {name: (value.half() if is_large(value) else value).contiguous() for name, value in state.items()}


def match_weights(expected: Mapping[str, Shape], actual: Mapping[str, Shape]) -> WeightMatch:
    """Compare names and shapes; counters of batch norm, which old files do not have, may be missing.

    Args:
        expected: parameter name -> expected shape.
        actual: parameter name -> shape in a file.

    Returns:
        Number of names with equal shapes, and the names that are missing, unknown or of another shape.
    """
    common = [name for name in expected if name in actual]
    return WeightMatch(
        sum(expected[name] == actual[name] for name in common),
        tuple(sorted(name for name in expected.keys() - actual.keys() if not name.endswith("num_batches_tracked"))),
        tuple(sorted(actual.keys() - expected.keys())),
        tuple((name, actual[name], expected[name]) for name in common if expected[name] != actual[name]),
    )


def weight_shapes(state: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Return the shape of each weight.

    Args:
        state: parameter name -> weight.

    Returns:
        Dict of parameter name -> shape as a tuple.
    """
    return {name: tuple(value.shape) for name, value in state.items()}


def load_strict(
    module: nn.Module, state: Mapping[str, Tensor], source: str, rename: Callable[[str], str] = str
) -> None:
    """Load weights into a module, requiring that every name and shape matches.

    Args:
        module: module whose weights are replaced in place.
        state: parameter name -> weight of a file.
        source: name of the file for messages.
        rename: function from a parameter name of the module to that of the file; by default they are equal.

    Raises:
        CheckpointError: names or shapes do not match; only counters of batch norm (`num_batches_tracked`) may be
            missing, and retain their values.
    """
    current = {rename(name): value for name, value in module.state_dict().items()}
    check_match(match_weights(weight_shapes(current), weight_shapes(state)), source)
    weights = {**current, **state}
    module.load_state_dict({name: weights[rename(name)] for name in module.state_dict()})


def check_match(match: WeightMatch, source: str, remedy: str = "") -> None:
    """Raise CheckpointError where names or shapes do not match, with their number and the first of them.

    Args:
        match: comparison of the file with the expected weights.
        source: name of the file for the message.
        remedy: sentence that ends the message.

    Raises:
        CheckpointError: a name is missing, unknown or of another shape.
    """
    if match.num_mismatched:
        end = f". {remedy}" if remedy else ""
        raise CheckpointError(f"{source} does not fit: of its weights {match.format_mismatches()}{end}")


def read_state_dict(path: Path) -> dict[str, Any]:
    """Read a foreign file of weights without running any code that it may carry.

    Args:
        path: path of a .safetensors file or of a file that `torch.save` wrote.

    Returns:
        Dict of parameter name -> weight on the CPU, or a dict that nests such a dict, for example under `state_dict`.

    Raises:
        CheckpointError: the file cannot be read (`read_values`), or is not a dict with string keys.
    """
    state = read_values(path)
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds a {type(state).__name__}, expected a dict of tensors")
    if not_names := [name for name in state if not isinstance(name, str)]:
        raise CheckpointError(f"{path}: expected a dict of tensors by name; found the key {not_names[0]!r}")
    return state


def read_values(path: Path) -> Any:
    """Read tensors and plain values from a foreign file without running any code that it may carry.

    Args:
        path: path of a .safetensors file or of a file that `torch.save` wrote.

    Returns:
        What the file holds; tensors are on the CPU.

    Raises:
        CheckpointError: the file is missing, empty, cut short or of another format, or is a pickle that requires more
            than tensors and plain values; the message names the refused call.
    """
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "no such file"
        raise CheckpointError(f"{path}: {problem}; give the path of a file of weights")
    if not path.stat().st_size:
        raise CheckpointError(f"{path}: the file is empty (0 bytes); fetch it again")
    try:
        return _load(path)
    except Exception as error:
        if forbidden := _forbidden_call(error, path):
            raise CheckpointError(
                f"{path}: opening it would call {forbidden}, which makes no tensor or plain value; it was refused, and "
                "nothing in it was run. Ask for a file that holds weights only, or, if you trust this one, open it "
                "where it was made and save its state dict"
            ) from error
        reason = (str(error) or "it ends at once").splitlines()[0].split(". ")[0][:200]
        raise CheckpointError(
            f"{path}: cannot be opened as weights ({type(error).__name__}: {reason}); expected a .safetensors file or "
            "a torch file that holds tensors only. If it was cut short, fetch it again"
        ) from error


def read_weight_files(folder: Path, files: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Read weights that are distributed over several files into one dict.

    Args:
        folder: folder that holds the files.
        files: (prefix, file name) of each file.

    Returns:
        Dict of `prefix/name` -> weight, where `name` is the key in the file.

    Raises:
        CheckpointError: a file is missing, or cannot be read as a dict with string keys.
    """
    return {f"{prefix}/{name}": x for prefix, file in files for name, x in read_state_dict(folder / file).items()}


def is_safetensors(path: Path) -> bool:
    """Recognize safetensors by suffix, or by the start of the format: eight bytes of length, then a JSON object.

    Args:
        path: path of an existing file.

    Returns:
        True if the suffix is `.safetensors` or the file begins as the format does.
    """
    with path.open("rb") as file:
        return path.suffix == ".safetensors" or file.read(9)[8:] == b"{"


def is_soundspot_checkpoint(path: Path) -> bool:
    """Recognize a checkpoint that soundspot wrote, by the metadata of its safetensors file.

    Args:
        path: path of any file, which need not exist.

    Returns:
        True for a soundspot checkpoint; False for any other file, an empty file, a folder or a missing path.

    Raises:
        CheckpointError: the file looks like safetensors and cannot be read, for example cut short.
    """
    if not (path.is_file() and path.stat().st_size and is_safetensors(path)):
        return False
    try:
        with safe_open(path, "pt") as file:
            return bool({"soundspot", "whence"} & set(file.metadata() or {}))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as safetensors ({error}). If it was cut short, copy or fetch it again"
        ) from error


def _load(path: Path) -> Any:
    if is_safetensors(path):
        from safetensors.torch import load_file

        return load_file(path)
    with _ALLOWED, torch.serialization.safe_globals(_numpy_scalars()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of formats that are refused anyway
        return torch.load(path, map_location="cpu", weights_only=True)


def _numpy_scalars() -> list[Any]:
    """List the globals of pickled NumPy scalars, such as the best score that training scripts save with the weights."""
    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")  # before NumPy 2 and since
    dtypes = {type(np.dtype(code)) for code in "?efd" + np.typecodes["AllInteger"]}
    return [*((scalar, name) for name in names), np.dtype, *dtypes]


def _forbidden_call(error: Exception, path: Path) -> str | None:
    """Return the name of the global that a pickle required and was refused."""
    if match := re.search(r"GLOBAL (\S+)", str(error)):
        return match[1]
    if not isinstance(error, UnpicklingError):
        return None
    words: list[str] = []  # a pickle of another kind than torch's: read its first call, without following it
    with suppress(Exception), path.open("rb") as file:
        for code, argument, _ in genops(file):
            if code.name == "GLOBAL":
                return str(argument).replace(" ", ".")
            if code.name == "STACK_GLOBAL":
                return ".".join(words[-2:])
            words += [argument] if isinstance(argument, str) else []
    return None


_DRAWS = {Tensor.normal_, Tensor.uniform_}  # what torch.nn.init calls


class without_initialization(TorchFunctionMode):
    """Modules built in the block have the values that memory happens to hold: a file's replace them.

    To draw values for the meta device, torch 2.13 would import its compiler, which takes longer than all else.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return the tensor as it is where `func` draws values in place."""
        return args[0] if func in _DRAWS else func(*args, **(kwargs or {}))


def weights_digest(module: nn.Module, *context: str) -> str:
    """Hash the names and values of a module's weights and buffers with SHA-256.

    Args:
        module: module on any device.
        context: further strings that enter the digest.

    Returns:
        The first 16 hexadecimal digits of the digest.
    """
    digest = hashlib.sha256("\n".join(context).encode())
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
