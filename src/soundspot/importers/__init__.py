"""Import of weights that papers released: their names become ours, and the result is a `Method`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from soundspot.errors import CheckpointError, did_you_mean
from soundspot.importers.release import Release
from soundspot.importers.releases import RELEASES
from soundspot.methods.base import METHODS, Method
from soundspot.models.encoders import PUBLIC_CHANNELS, match_public_weights
from soundspot.models.weights import WeightMatch, is_soundspot_checkpoint, read_state_dict, read_weight_files

IMPORTERS: dict[str, Release] = {
    name: replace(RELEASES[method.release or name], method=name)
    for name, method in METHODS.items()
    if (method.release or name) in RELEASES
}
RELEASE_FILES = {
    f"{method}: {file}": (release, prefix) for method, release in IMPORTERS.items() for prefix, file in release.files
}
NESTED_KEYS = ("model_state_dict", "state_dict", "model")  # under which files store their weights
PREFIXES = ("module.", "model.")  # that data parallelism and Lightning modules add to each name


def import_checkpoint(source: str | Path | Mapping[str, Any], method: str) -> Method:
    """Build a method from released weights, with the front end and upsampling they were trained for.

    Args:
        source: the downloaded file (opened with `weights_only=True`, so no code in it runs), the folder of the files
            where a release has several (SSPL), or its state dict. A dict that nests the weights under
            `model_state_dict`, `state_dict` or `model` is unwrapped, and a `module.` or `model.` prefix of all names is
            dropped.
        method: name of the method that the weights are of.

    Returns:
        The method in evaluation mode.

    Raises:
        CheckpointError: the file is missing or unreadable, weights are missing or of another shape, or there are names
            that the method does not know; where it fits another method, the message says which. Names are those of
            the file. (`soundspot.inspect_checkpoint` says more.)
    """
    if method not in IMPORTERS:
        raise CheckpointError(f"no importer for the released weights of {method!r}{did_you_mean(method, IMPORTERS)}")
    release, hint = IMPORTERS[method], ""
    if isinstance(source, Mapping):
        content, label = source, "the state dict"
    else:
        path, label = Path(source), str(source)
        if is_soundspot_checkpoint(path):
            raise CheckpointError(
                f"{source}: a checkpoint of soundspot and no released weights; soundspot.load opens it"
            )
        content = read_weight_files(path, release.files) if release.files and path.is_dir() else read_state_dict(path)
        hint = f". `soundspot checkpoint inspect {source}` says what it holds"
    weights = unwrap(content, label).weights
    try:
        return release(weights, label).eval()
    except CheckpointError as error:
        raise CheckpointError(f"{error}{match_release(weights).hint or hint}") from error


@dataclass(frozen=True)
class UnwrappedWeights:
    """Weights of a file, and how they were nested in it.

    Attributes:
        weights: names and weights.
        nesting: keys under which they lay, the outermost first.
        prefix: that each name began with, `module.`; it is removed.
        other_keys: of the file.
    """

    weights: dict[str, Tensor]
    nesting: tuple[str, ...] = ()
    prefix: str = ""
    other_keys: tuple[str, ...] = ()


def unwrap(content: Mapping[str, Any], source: str) -> UnwrappedWeights:
    """Return the weights of a file's content.

    Args:
        content: of the file.
        source: the file, in messages.

    Returns:
        The weights without nesting and common prefix.

    Raises:
        CheckpointError: it holds no weights, or more than weights.
    """
    state, nesting, prefix = dict(content), [], ""
    other_keys: list[str] = []
    while key := next((key for key in NESTED_KEYS if isinstance(state.get(key), Mapping)), None):
        nesting.append(key)
        other_keys += [str(name) for name in state if name != key]
        state = dict(state[key])
    if "pytorch-lightning_version" in content and any(str(name).startswith("method.") for name in state):
        raise CheckpointError(
            f"{source}: the training state of a soundspot run; its weights are in best.safetensors beside it"
        )
    no_tensors = [name for name, value in state.items() if not (isinstance(value, Tensor) and isinstance(name, str))]
    if no_tensors or not state:
        name = next(iter(no_tensors), None)
        problem = "it is empty" if name is None else f"{name!r} is a {type(state[name]).__name__}"
        keys = ", ".join(f"`{key}`" for key in NESTED_KEYS)
        raise CheckpointError(f"{source}: expected a dict of tensors, or one under {keys}; found that {problem}")
    while common := next((p for p in PREFIXES if all(name.startswith(p) for name in state)), ""):
        prefix += common
        state = {name.removeprefix(common): value for name, value in state.items()}
    return UnwrappedWeights(state, tuple(nesting), prefix, tuple(other_keys))


@dataclass(frozen=True)
class ReleaseMatch:
    """Releases whose names and shapes are those of some weights, or the nearest.

    Attributes:
        names: methods, files of their releases (`sspl: sound_best.pth`) or encoders with a public file, that the
            weights match, or else that they come nearest to; several where releases share their names and shapes, none
            where nothing here has any of their names.
        weight_match: of the weights with those.
    """

    names: tuple[str, ...]
    weight_match: WeightMatch

    @property
    def is_exact(self) -> bool:
        """True if all names and shapes match."""
        return bool(self.names) and not self.weight_match.num_mismatched

    @property
    def kind(self) -> Literal["release", "part", "public"]:
        """Kind of the nearest: a release, one of its several files, or an encoder's public file."""
        return "public" if self.names[0] in PUBLIC_CHANNELS else "part" if self.names[0] in RELEASE_FILES else "release"

    @property
    def hint(self) -> str:
        """Remedy to add to an error of importing; empty where nothing matches."""
        if not self.is_exact:
            return ""
        if self.kind == "public":
            return f". It is the public file of an encoder: give it as the `weights` of {self.names[0]!r}"
        if self.kind == "part":
            return f". It is one file of several ({', '.join(self.names)}): import the folder that holds them all"
        return f". Its names are those of {' or '.join(self.names)}: import it as that"


def match_release(weights: Mapping[str, Tensor]) -> ReleaseMatch:
    """Find the releases with the names and shapes of some weights, or those with the fewest mismatches.

    Args:
        weights: names and weights, unwrapped.

    Returns:
        The best match.
    """
    matches = {name: release.match(weights) for name, release in IMPORTERS.items()}
    matches |= {name: match_public_weights(name, weights) for name in PUBLIC_CHANNELS}
    matches |= {name: release.match(weights, file) for name, (release, file) in RELEASE_FILES.items()}
    near = {name: match for name, match in matches.items() if match.num_matching}
    if not near:
        return ReleaseMatch((), WeightMatch(0, unknown=tuple(weights)))
    best = min(near.values(), key=lambda match: match.num_mismatched)
    return ReleaseMatch(tuple(name for name, match in near.items() if match == best), best)
