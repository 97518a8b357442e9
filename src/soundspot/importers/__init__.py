"""Weights released by papers become a `Method`: one file for each published code base, its names to ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from soundspot.errors import CheckpointError, did_you_mean
from soundspot.importers import attention10k, ezvsl, heartheflow, jsa, slavc, sslalignment, sspl
from soundspot.importers.names import Release
from soundspot.methods.base import Method
from soundspot.models.encoders import PUBLIC_CHANNELS, match_public_weights
from soundspot.models.weights import WeightMatch, is_soundspot_checkpoint, read_state_dict, read_weight_files

IMPORTERS: dict[str, Release] = {
    "alignment": sslalignment.alignment,
    "attention10k": attention10k.attention10k,
    "heartheflow": heartheflow.heartheflow,
    "joint_slots": jsa.joint_slots,
    "ezvsl": ezvsl.ezvsl,
    "fnac": ezvsl.fnac,
    "lvs": sslalignment.lvs,
    "marginnce": ezvsl.marginnce,
    "slavc": slavc.slavc,
    "sspl": sspl.sspl,
    "sspl_pcm": sspl.sspl_pcm,
    "ssltie": sslalignment.ssltie,
}
RELEASE_FILES = {
    f"{method}: {file}": (release, part) for method, release in IMPORTERS.items() for part, file in release.files
}
NESTED_KEYS = ("model_state_dict", "state_dict", "model")  # where files keep their weights
PREFIXES = ("module.", "model.")  # what training on several devices, and Lightning modules, put before each name


def import_checkpoint(source: str | Path | Mapping[str, Any], method: str) -> Method:
    """A method from released weights, in evaluation mode, with the front end and read-out they were made for.

    Args:
        source: the downloaded file (opened with `weights_only=True`, so no code in it runs), the folder of the files
            where a release is several (SSPL), or its state dict. A dict
            that nests the weights under `model_state_dict`, `state_dict` or `model` is unwrapped, and a `module.`
            or `model.` prefix of every name is dropped.
        method: whose weights they are.

    Raises:
        CheckpointError: the file is missing or unreadable, weights are missing or of another shape, or there are names
            that no part of the method knows; where it fits another method, the message says which. Names are those of
            the file. (`soundspot.inspect_checkpoint` tells more.)
    """
    if method not in IMPORTERS:
        raise CheckpointError(f"no importer for the released weights of {method!r}{did_you_mean(method, IMPORTERS)}")
    in_memory = isinstance(source, Mapping)
    if not isinstance(source, Mapping) and is_soundspot_checkpoint(Path(source)):
        raise CheckpointError(f"{source}: a checkpoint of ours and no released weights; soundspot.load opens it")
    what = "the state dict" if in_memory else str(source)
    files = IMPORTERS[method].files
    if isinstance(source, Mapping):
        content = source
    elif files and Path(source).is_dir():
        content = read_weight_files(Path(source), files)
    else:
        content = read_state_dict(Path(source))
    weights = unwrap(content, what).weights
    try:
        return IMPORTERS[method](weights, what).eval()
    except CheckpointError as error:
        further = "" if in_memory else f". `soundspot checkpoint inspect {source}` says what it holds"
        raise CheckpointError(f"{error}{match_release(weights).hint or further}") from error


@dataclass(frozen=True)
class UnwrappedWeights:
    """The weights of a file and how they lay in it.

    Attributes:
        nesting: the keys that they lay under, the outermost first; prefix: `module.` where each name began with it.
        beside: the other keys of the file.
    """

    weights: dict[str, Tensor]
    nesting: tuple[str, ...] = ()
    prefix: str = ""
    other_keys: tuple[str, ...] = ()


def unwrap(content: Mapping[str, Any], what: str) -> UnwrappedWeights:
    """The weights of a file's content; CheckpointError where it holds none, or more than weights."""
    state, nesting, prefix = dict(content), [], ""
    beside: list[str] = []
    while key := next((key for key in NESTED_KEYS if isinstance(state.get(key), Mapping)), None):
        nesting.append(key)
        beside += [str(name) for name in state if name != key]
        state = dict(state[key])
    if "pytorch-lightning_version" in content and any(str(name).startswith("method.") for name in state):
        raise CheckpointError(f"{what}: the state of a training of ours; its weights are in best.safetensors beside it")
    strange = [name for name, value in state.items() if not (isinstance(value, Tensor) and isinstance(name, str))]
    if strange or not state:
        found = f"{strange[0]!r} is a {type(state[strange[0]]).__name__}" if strange else "it is empty"
        keys = ", ".join(f"`{key}`" for key in NESTED_KEYS)
        raise CheckpointError(f"{what}: expected a dict of tensors, or one under {keys}; found that {found}")
    while before := next((one for one in PREFIXES if all(name.startswith(one) for name in state)), ""):
        prefix += before
        state = {name.removeprefix(before): value for name, value in state.items()}
    return UnwrappedWeights(state, tuple(nesting), prefix, tuple(beside))


@dataclass(frozen=True)
class ReleaseMatch:
    """Whose weights they are, by names and shapes.

    Attributes:
        names: methods, files of their releases (`sspl: sound_best.pth`) or encoders with a public file, that they fit,
            or else that they come nearest to; several where releases share their names and shapes, none where nothing
            here has any of theirs.
        fit: how they stand to those.
    """

    names: tuple[str, ...]
    weight_match: WeightMatch

    @property
    def is_exact(self) -> bool:
        return bool(self.names) and not self.weight_match.num_mismatched

    @property
    def kind(self) -> Literal["release", "part", "public"]:
        """Of what they fit or come nearest to: a release, one of its several files, or an encoder's public file."""
        return "public" if self.names[0] in PUBLIC_CHANNELS else "part" if self.names[0] in RELEASE_FILES else "release"

    @property
    def hint(self) -> str:
        """What an error of importing goes on with; empty where nothing fits."""
        if not self.is_exact:
            return ""
        if self.kind == "public":
            return f". It is the public file of an encoder: give it as the `weights` of {self.names[0]!r}"
        if self.kind == "part":
            return f". It is one file of several ({', '.join(self.names)}): import the folder that holds them all"
        return f". Its names are those of {' or '.join(self.names)}: import it as that"


def match_release(weights: Mapping[str, Tensor]) -> ReleaseMatch:
    """The methods whose released weights have these names and shapes, or the fewest others; the first that is best."""
    fits = {name: release.match(weights) for name, release in IMPORTERS.items()}
    fits |= {name: match_public_weights(name, weights) for name in PUBLIC_CHANNELS}
    fits |= {name: release.match_file(part, weights) for name, (release, part) in RELEASE_FILES.items()}
    near = {name: fit for name, fit in fits.items() if fit.num_matching}
    if not near:
        return ReleaseMatch((), WeightMatch(0, unknown=tuple(weights)))
    best = min(near.values(), key=lambda fit: fit.num_mismatched)
    return ReleaseMatch(tuple(name for name, fit in near.items() if fit == best), best)
