"""Files of weights: read without running any code in them, and held against a module by names and shapes."""

import hashlib
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from pickletools import genops
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from soundspot.errors import CheckpointError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class WeightMatch:
    """How the weights of a file stand to those that are expected. Names are those of the file.

    Attributes:
        shared: how many names have the shape that is expected.
        missing, unknown: names that only one side has.
        reshaped: name, shape found, shape expected.
    """

    num_matching: int
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    reshaped: tuple[tuple[str, Shape, Shape], ...] = ()

    @property
    def num_mismatched(self) -> int:
        """How many names do not fit."""
        return len(self.missing) + len(self.unknown) + len(self.reshaped)

    def format_mismatches(self) -> str:
        """How many do not fit, and the first of each kind."""
        kinds = (
            (self.missing, "missing"),
            (self.unknown, "unknown"),
            ([name for name, *_ in self.reshaped], "of another shape"),
        )
        told = ", ".join(f"{len(names)} {kind} (first: {names[0]})" for names, kind in kinds if names)
        if not self.reshaped:
            return told
        name, found, expected = self.reshaped[0]
        return f"{told}; {name} is {list(found)}, expected {list(expected)}"


@dataclass(frozen=True)
class PublicWeights:
    """The public file of an encoder's weights.

    Attributes:
        word: what asks for it, in an encoder's `weights`. name: in messages.
        url: the digits in the file's name are the start of its SHA-256, which the download checks.
        first: the layer that looks at pictures or spectrograms.
        unused: beginning of names that an encoder has no use for, such as the classifier's; empty: there are none.
    """

    keyword: str
    name: str
    url: str
    first_layer: str
    unused_prefix: str = ""

    def select_used(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of the file that an encoder has."""
        return {
            name: value
            for name, value in state.items()
            if not (self.unused_prefix and name.startswith(self.unused_prefix))
        }

    def read(self, weights: str) -> dict[str, Any]:
        """What the file holds: fetched if `weights` is `word`, else the path of it or of another of the same names."""
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


def match_weights(expected: Mapping[str, Shape], actual: Mapping[str, Shape]) -> WeightMatch:
    """Names and shapes against those expected; batch norm's counters, which old files do not have, may be missing."""
    both = [name for name in expected if name in actual]
    return WeightMatch(
        sum(expected[name] == actual[name] for name in both),
        tuple(sorted(name for name in expected.keys() - actual.keys() if not name.endswith("num_batches_tracked"))),
        tuple(sorted(actual.keys() - expected.keys())),
        tuple((name, actual[name], expected[name]) for name in both if expected[name] != actual[name]),
    )


def weight_shapes(state: Mapping[str, Tensor]) -> dict[str, Shape]:
    """The shape of each weight."""
    return {name: tuple(value.shape) for name, value in state.items()}


def load_strict(
    module: nn.Module, state: Mapping[str, Tensor], source: str, rename: Callable[[str], str] = str
) -> None:
    """Loads `state` where every name and shape fits.

    Args:
        called: what the file calls a weight of ours.

    Raises:
        CheckpointError: as `refuse_misfit`.
    """
    own = {rename(name): value for name, value in module.state_dict().items()}
    check_match(match_weights(weight_shapes(own), weight_shapes(state)), source)
    given = {**own, **state}
    module.load_state_dict({name: given[rename(name)] for name in module.state_dict()})


def check_match(fit: WeightMatch, source: str) -> None:
    """Raise CheckpointError where names or shapes do not fit: how many, and the first."""
    if fit.num_mismatched:
        raise CheckpointError(f"{source} does not fit: of its weights {fit.format_mismatches()}")


def read_state_dict(path: Path) -> dict[str, Any]:
    """What a foreign file of weights holds, opened without running any code that it may carry.

    Raises:
        CheckpointError: missing, empty, cut short, of another kind, or a pickle that asks for more than tensors and
            plain values: what it would call is named.
    """
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "no such file"
        raise CheckpointError(f"{path}: {found}; give the path of a file of weights")
    if not path.stat().st_size:
        raise CheckpointError(f"{path}: the file is empty (0 bytes); fetch it again")
    try:
        state = _opened(path)
    except Exception as error:
        if called := _refused(error, path):
            raise CheckpointError(
                f"{path}: opening it would call {called}, which makes no tensor or plain value; it was refused, and "
                "nothing in it was run. Ask for a file that holds weights alone, or, if you trust this one, open it "
                "where it was made and save its state dict"
            ) from error
        reason = (str(error) or "it ends at once").splitlines()[0].split(". ")[0][:200]
        raise CheckpointError(
            f"{path}: cannot be opened as weights ({type(error).__name__}: {reason}); expected a .safetensors file or "
            "a torch file that holds tensors alone. If it was cut short, fetch it again"
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds a {type(state).__name__}, expected a dict of tensors")
    if strange := [name for name in state if not isinstance(name, str)]:
        raise CheckpointError(f"{path}: expected a dict of tensors by name; found the key {strange[0]!r}")
    return state


def read_weight_files(folder: Path, files: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """What several files of one release hold, each name after that of its part: (part, file) -> `part/name`."""
    return {f"{part}/{name}": value for part, file in files for name, value in read_state_dict(folder / file).items()}


def is_safetensors(path: Path) -> bool:
    """By its suffix, or by how the format begins: eight bytes of length, then an object of JSON."""
    with path.open("rb") as file:
        return path.suffix == ".safetensors" or file.read(9)[8:] == b"{"


def is_soundspot_checkpoint(path: Path) -> bool:
    """Whether a file is a checkpoint that soundspot wrote; CheckpointError where it is cut short."""
    if not (path.is_file() and path.stat().st_size and is_safetensors(path)):
        return False
    try:
        with safe_open(path, "pt") as file:
            return bool({"soundspot", "whence"} & set(file.metadata() or {}))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as safetensors ({error}). If it was cut short, copy or fetch it again"
        ) from error


def _opened(path: Path) -> Any:
    if is_safetensors(path):
        from safetensors.torch import load_file

        return load_file(path)
    with torch.serialization.safe_globals(_numbers()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of formats that are refused anyway
        return torch.load(path, map_location="cpu", weights_only=True)


def _numbers() -> list[Any]:
    """What a pickle needs for NumPy's numbers, such as the best score that training scripts keep beside the weights."""
    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")  # before NumPy 2 and since
    kinds = {type(np.dtype(kind)) for kind in "?efd" + np.typecodes["AllInteger"]}
    return [*((scalar, name) for name in names), np.dtype, *kinds]


def _refused(error: Exception, path: Path) -> str | None:
    """The name of what a pickle asked for and did not get."""
    if found := re.search(r"GLOBAL (\S+)", str(error)):
        return found[1]
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


def weights_digest(module: nn.Module, *context: str) -> str:
    """16 hexadecimal digits that stand for a module's weights, by their names, and for what else is told."""
    found = hashlib.sha256("\n".join(context).encode())
    for name, value in sorted(module.state_dict().items()):
        found.update(name.encode() + value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]
