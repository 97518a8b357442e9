"""Import of weights that papers released: their names become ours, and the result is a `Method`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from soundspot.errors import CheckpointError, did_you_mean
from soundspot.importers.release import Release
from soundspot.importers.releases import RELEASES
from soundspot.methods.base import INFERENCE_METHODS, METHODS, Method
from soundspot.models.encoders import PUBLIC_CHANNELS, match_public_weights
from soundspot.models.weights import WeightMatch, is_soundspot_checkpoint, read_state_dict, read_weight_files
from soundspot.utils.safe_read import convert_read_errors, parse_json

IMPORTERS: dict[str, Release] = {
    name: replace(RELEASES[method.release or name], method=name)
    for name, method in {**METHODS, **INFERENCE_METHODS}.items()
    if (method.release or name) in RELEASES
}
RELEASE_FILES = {
    f"{method}: {file}": (release, prefix) for method, release in IMPORTERS.items() for prefix, file in release.files
}
NESTED_KEYS = ("model_state_dict", "state_dict", "model")  # under which files store their weights
EXPECTED_NAMES = "docs/released-weights.md lists the names that are expected"
PREFIXES = ("module.", "model.")  # that data parallelism and Lightning modules add to each name


def import_checkpoint(source: str | Path | Mapping[str, Any], method: str) -> Method:
    """Build a method from released weights, with the front end and upsampling they were trained for.

    Args:
        source: path of the downloaded file (opened with `weights_only=True`, so no code in it runs), of the folder of
            the files where a release has several (SSPL), or a state dict (parameter name -> weight). A dict that nests
            the weights under `model_state_dict`, `state_dict` or `model` is unwrapped, and a `module.` or `model.`
            prefix of all names is dropped. A configuration that a release needs (DenseAV) lies in it under
            `hyper_parameters`, as Lightning writes it, or in config.json beside the file, as the hub has it.
        method: name of the method whose release the weights are, such as `ezvsl`.

    Returns:
        The method in evaluation mode, on the CPU.

    Raises:
        CheckpointError: the method has no importer, the file is missing or unreadable or a checkpoint of soundspot,
            weights are missing or of another shape, names are unknown to the method, or a configuration that the
            weights need is missing. The message gives the names of the file and, where the weights fit another method,
            that method.
    """
    if method not in IMPORTERS:
        raise CheckpointError(f"no importer for the released weights of {method!r}{did_you_mean(method, IMPORTERS)}")
    release, hint = IMPORTERS[method], f". {EXPECTED_NAMES}"
    if isinstance(source, Mapping):
        content, label = source, "the state dict"
    else:
        path, label = Path(source), str(source)
        if is_soundspot_checkpoint(path):
            raise CheckpointError(
                f"{source}: a checkpoint of soundspot and no released weights; soundspot.load opens it"
            )
        content = read_weight_files(path, release.files) if release.files and path.is_dir() else read_state_dict(path)
        hint += f"; `soundspot checkpoint inspect {source}` says what it holds"
    weights = unwrap(content, label).weights
    config = content.get("hyper_parameters")
    if not isinstance(config, Mapping):
        config = {} if isinstance(source, Mapping) else _read_config(Path(source))
    try:
        return release(weights, label, config).eval()
    except CheckpointError as error:
        raise CheckpointError(f"{error}{match_release(weights).hint or hint}") from error


def _read_config(path: Path) -> dict[str, Any]:
    """Read the config.json beside a file, as the hub has it; empty where there is none."""
    config = path.with_name("config.json")
    if not config.is_file():
        return {}
    with convert_read_errors(config, "expected the JSON object beside the released weights", CheckpointError):
        values = parse_json(config.read_text(encoding="utf-8"))
        return dict(values)


@dataclass(frozen=True)
class UnwrappedWeights:
    """Weights of a file, and how they were nested in it.

    Attributes:
        weights: parameter name -> weight, without `prefix`.
        nesting: keys under which the weights were nested, the outermost first.
        prefix: prefix that was removed from each name, such as `module.`; empty: none was.
        other_keys: further keys of the file, beside the keys in `nesting`.
    """

    weights: dict[str, Tensor]
    nesting: tuple[str, ...] = ()
    prefix: str = ""
    other_keys: tuple[str, ...] = ()


def unwrap(content: Mapping[str, Any], source: str) -> UnwrappedWeights:
    """Extract the weights from a file's content, which may nest them and prefix their names.

    Args:
        content: dict that the file holds: weights, or a dict with weights under `model_state_dict`, `state_dict` or
            `model`.
        source: name of the file for messages.

    Returns:
        Weights without nesting and without the prefixes `module.` and `model.` where all names have them.

    Raises:
        CheckpointError: the content is empty, holds values other than tensors beside the weights, or is the training
            state of a soundspot run.
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
    """Releases whose parameter names and shapes match some weights, or match them best.

    Attributes:
        names: methods, files of their releases (`sspl: sound_best.pth`) or encoders with a public file that match
            best; several where releases share names and shapes, none where no release has any of the names.
        weight_match: comparison of the weights with the releases in `names`.
    """

    names: tuple[str, ...]
    weight_match: WeightMatch

    @property
    def is_exact(self) -> bool:
        """True if all names and shapes match."""
        return bool(self.names) and not self.weight_match.num_mismatched

    @property
    def kind(self) -> Literal["release", "part", "public"]:
        """Kind of the best match: `release`, `part` (a file of several) or `public` (an encoder's public file)."""
        return "public" if self.names[0] in PUBLIC_CHANNELS else "part" if self.names[0] in RELEASE_FILES else "release"

    @property
    def hint(self) -> str:
        """Remedy to append to an import error; empty where no release matches exactly."""
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
        weights: parameter name -> weight, as `unwrap` extracts them.

    Returns:
        Names of the best matching releases and the comparison with them; no names where no release has any of the
        weights.
    """
    matches = {name: release.match(weights) for name, release in IMPORTERS.items() if release.may_match(weights)}
    matches |= {name: match_public_weights(name, weights) for name in PUBLIC_CHANNELS}
    matches |= {name: release.match(weights, file) for name, (release, file) in RELEASE_FILES.items()}
    near = {name: match for name, match in matches.items() if match.num_matching}
    if not near:
        return ReleaseMatch((), WeightMatch(0, unknown=tuple(weights)))
    best = min(near.values(), key=lambda match: match.num_mismatched)
    return ReleaseMatch(tuple(name for name, match in near.items() if match == best), best)
