"""Weights released by papers become a `Method`: one file for each published code base, its names to ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from whence.errors import CheckpointError, did_you_mean
from whence.importers import attention10k, ezvsl, heartheflow, jsa, slavc, sslalignment, sspl
from whence.importers.names import Release
from whence.methods.base import Method
from whence.models.encoders import PUBLIC, fit_public
from whence.models.weights import Fit, is_ours, read_folder, read_state

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
PARTS = {f"{method}: {file}": (release, part) for method, release in IMPORTERS.items() for part, file in release.files}
NESTED = ("model_state_dict", "state_dict", "model")  # where files keep their weights
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
            the file. (`whence.inspect_checkpoint` tells more.)
    """
    if method not in IMPORTERS:
        raise CheckpointError(f"no importer for the released weights of {method!r}{did_you_mean(method, IMPORTERS)}")
    in_memory = isinstance(source, Mapping)
    if not isinstance(source, Mapping) and is_ours(Path(source)):
        raise CheckpointError(f"{source}: a checkpoint of ours and no released weights; whence.load opens it")
    what = "the state dict" if in_memory else str(source)
    files = IMPORTERS[method].files
    if isinstance(source, Mapping):
        content = source
    elif files and Path(source).is_dir():
        content = read_folder(Path(source), files)
    else:
        content = read_state(Path(source))
    weights = unwrap(content, what).weights
    try:
        return IMPORTERS[method](weights, what).eval()
    except CheckpointError as error:
        further = "" if in_memory else f". `whence checkpoint inspect {source}` says what it holds"
        raise CheckpointError(f"{error}{match(weights).hint or further}") from error


@dataclass(frozen=True)
class Unwrapped:
    """The weights of a file and how they lay in it.

    Attributes:
        nesting: the keys that they lay under, the outermost first; prefix: `module.` where each name began with it.
        beside: the other keys of the file.
    """

    weights: dict[str, Tensor]
    nesting: tuple[str, ...] = ()
    prefix: str = ""
    beside: tuple[str, ...] = ()


def unwrap(content: Mapping[str, Any], what: str) -> Unwrapped:
    """The weights of a file's content; CheckpointError where it holds none, or more than weights."""
    state, nesting, prefix = dict(content), [], ""
    beside: list[str] = []
    while key := next((key for key in NESTED if isinstance(state.get(key), Mapping)), None):
        nesting.append(key)
        beside += [str(name) for name in state if name != key]
        state = dict(state[key])
    if "pytorch-lightning_version" in content and any(str(name).startswith("method.") for name in state):
        raise CheckpointError(f"{what}: the state of a training of ours; its weights are in best.safetensors beside it")
    strange = [name for name, value in state.items() if not (isinstance(value, Tensor) and isinstance(name, str))]
    if strange or not state:
        found = f"{strange[0]!r} is a {type(state[strange[0]]).__name__}" if strange else "it is empty"
        keys = ", ".join(f"`{key}`" for key in NESTED)
        raise CheckpointError(f"{what}: expected a dict of tensors, or one under {keys}; found that {found}")
    while before := next((one for one in PREFIXES if all(name.startswith(one) for name in state)), ""):
        prefix += before
        state = {name.removeprefix(before): value for name, value in state.items()}
    return Unwrapped(state, tuple(nesting), prefix, tuple(beside))


@dataclass(frozen=True)
class Match:
    """Whose weights they are, by names and shapes.

    Attributes:
        names: methods, files of their releases (`sspl: sound_best.pth`) or encoders with a public file, that they fit,
            or else that they come nearest to; several where releases share their names and shapes, none where nothing
            here has any of theirs.
        fit: how they stand to those.
    """

    names: tuple[str, ...]
    fit: Fit

    @property
    def exact(self) -> bool:
        return bool(self.names) and not self.fit.off

    @property
    def kind(self) -> Literal["release", "part", "public"]:
        """Of what they fit or come nearest to: a release, one of its several files, or an encoder's public file."""
        return "public" if self.names[0] in PUBLIC else "part" if self.names[0] in PARTS else "release"

    @property
    def hint(self) -> str:
        """What an error of importing goes on with; empty where nothing fits."""
        if not self.exact:
            return ""
        if self.kind == "public":
            return f". It is the public file of an encoder: give it as the `weights` of {self.names[0]!r}"
        if self.kind == "part":
            return f". It is one file of several ({', '.join(self.names)}): import the folder that holds them all"
        return f". Its names are those of {' or '.join(self.names)}: import it as that"


def match(weights: Mapping[str, Tensor]) -> Match:
    """The methods whose released weights have these names and shapes, or the fewest others; the first that is best."""
    fits = {name: release.fit(weights) for name, release in IMPORTERS.items()}
    fits |= {name: fit_public(name, weights) for name in PUBLIC}
    fits |= {name: release.fit_of_file(part, weights) for name, (release, part) in PARTS.items()}
    near = {name: fit for name, fit in fits.items() if fit.shared}
    if not near:
        return Match((), Fit(0, unknown=tuple(weights)))
    best = min(near.values(), key=lambda fit: fit.off)
    return Match(tuple(name for name, fit in near.items() if fit == best), best)
