"""What a file of weights is: one of our checkpoints, a method's released weights, the public classifier, or neither."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open

from soundspot.config.checkpoint import hash_recipe, method_from_header, read_header
from soundspot.config.frontend import AudioSpec
from soundspot.config.refinement import Refinement
from soundspot.errors import SoundspotError
from soundspot.importers import match_release, unwrap
from soundspot.models.weights import (
    Shape,
    WeightMatch,
    is_soundspot_checkpoint,
    match_weights,
    read_state_dict,
    weight_shapes,
)

FileKind = Literal["checkpoint", "release", "part", "public", "unknown"]
BATCHNORM_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")  # what batch norm keeps and no step moves


@dataclass(frozen=True)
class Inspection:
    """What `inspect_checkpoint` found in a file.

    Attributes:
        kind: `checkpoint`: ours; `release`: a method's released weights; `part`: one of its files, where they are
            several; `public`: an encoder's public file (ResNet-18, VGG-16, VGGish); `unknown`: none of these.
        methods: whose weights they are, several where releases share their names and shapes; of a part, `method: file`;
            of a public file, the encoder; of `unknown`, what of these comes nearest, or nothing.
        fit: how the weights stand to those of `methods`; None where this version cannot tell.
        bytes: size of the file; tensors: how many it holds; parameters: numbers in them, statistics of batch norm
            aside.
        nesting: keys that the weights lie under, the outermost first; prefix: what is before each name; beside: other
            keys of the file.
        about: of our checkpoints, what the header says: method, options, encoders, front end, read-out, recipe,
            threshold, calibration.
    """

    path: str
    kind: FileKind
    methods: tuple[str, ...]
    fit: WeightMatch | None
    num_bytes: int
    num_tensors: int
    num_parameters: int
    nesting: tuple[str, ...] = ()
    prefix: str = ""
    other_keys: tuple[str, ...] = ()
    header_summary: dict[str, Any] | None = None

    @property
    def is_usable(self) -> bool:
        """Whether something here can be built of it, by itself."""
        return self.kind not in ("unknown", "part") and self.fit is not None and not self.fit.num_mismatched

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as `--json` prints them."""
        return asdict(self) | {"usable": self.is_usable}

    def format_summary(self) -> str:
        """Some lines for the terminal."""
        tell = {
            "checkpoint": _checkpoint,
            "release": _release,
            "part": _part,
            "public": _public,
            "unknown": _unknown,
        }
        return "\n".join([*tell[self.kind](self), *_contents(self)])


def inspect_checkpoint(path: str | Path) -> Inspection:
    """What a file of weights is; nothing in it is run, and no weight of it is used.

    Args:
        path: a .safetensors file, or a torch file of any code base.

    Raises:
        CheckpointError: missing, empty, cut short, no file of weights, or a pickle that asks for more than weights.
    """
    path = Path(path)
    if is_soundspot_checkpoint(path):
        return _ours(path)
    content = read_state_dict(path)
    found = unwrap(content, str(path))
    who = match_release(found.weights)
    kind: FileKind = who.kind if who.is_exact else "unknown"
    counts = _counts(weight_shapes(found.weights))
    size = path.stat().st_size
    return Inspection(
        str(path), kind, who.names, who.weight_match, size, *counts, found.nesting, found.prefix, found.other_keys
    )


def _ours(path: Path) -> Inspection:
    header = read_header(path)
    with safe_open(path, "pt") as file:
        found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no mapping)
    fit = None
    with suppress(SoundspotError, KeyError, TypeError), warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")  # nothing is filled; of another version, it may not be known how
        fit = match_weights(weight_shapes(method_from_header(header).state_dict()), found)
    size, counts = path.stat().st_size, _counts(found)
    return Inspection(
        str(path), "checkpoint", (str(header.get("method")),), fit, size, *counts, header_summary=_about(header)
    )


def _about(header: Mapping[str, Any]) -> dict[str, Any]:
    config = dict(header.get("config", {}))
    encoders = {side: config.pop(side, {}) for side in ("image", "audio")}
    recipe, calibration = header.get("recipe"), dict(header.get("calibration") or {})
    calibration.pop("ids", None)
    told = {
        "soundspot": header.get("soundspot"),
        "method": header.get("method"),
        "options": config,
        "encoders": encoders,
    }
    told |= {name: header.get(name) for name in ("front_end", "readout", "step", "selected", "threshold")}
    told["recipe"] = (
        {"id": hash_recipe(recipe), "data": recipe["data"]["name"], **_training(recipe)} if recipe else None
    )
    return told | {"calibration": calibration or None}


def _training(recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {key: recipe["train"].get(key) for key in ("epochs", "batch_size", "seed")}


def _counts(found: Mapping[str, Shape]) -> tuple[int, int]:
    """Tensors, and numbers in those that are learned."""
    learned = [shape for name, shape in found.items() if not name.endswith(BATCHNORM_BUFFERS)]
    return len(found), sum(torch.Size(shape).numel() for shape in learned)


# In words.


def _checkpoint(found: Inspection) -> Iterator[str]:
    about = found.header_summary or {}
    yield f"{found.path}: a checkpoint of soundspot {about.get('soundspot')}"
    yield f"  method      {about['method']}{_options(about['options'])}"
    for side, options in about["encoders"].items():
        rest = {key: value for key, value in options.items() if key != "encoder"}
        yield f"  {side:<11} {options.get('encoder', 'resnet18')}{_options(rest)}"
    yield from _front_end(about["front_end"])
    yield f"  recipe      {_recipe(about)}"
    yield f"  threshold   {_threshold(about)}"
    if found.fit is None:
        yield "  this version cannot build its method: it has other options, or is not there; use the version above"
    elif found.fit.num_mismatched:
        yield f"  its weights do not fit its method: {found.fit.format_mismatches()}"


def _options(options: Mapping[str, Any]) -> str:
    told = ", ".join(f"{key} {value}" for key, value in options.items() if value is not None)
    return f" ({told})" if told else ""


def _front_end(front_end: Mapping[str, Any] | None) -> Iterator[str]:
    if front_end is None:
        return
    image, audio = front_end["image"], front_end["audio"]
    yield f"  picture     {image['size']} x {image['size']}, {image['resize']}"
    rate = f"{audio['rate']} Hz" if audio["rate"] else "its own rate"
    told = f"{audio['seconds']:g} s ({audio['window']}) at {rate}, {audio['function']} {audio['n_fft']}/{audio['hop']}"
    with suppress(TypeError):  # of another version, with options that are not known here
        told += ", {}: {} x {}".format(audio["scaling"], *AudioSpec(**audio).shape)
    yield f"  sound       {told}"


def _recipe(about: Mapping[str, Any]) -> str:
    recipe, chosen = about["recipe"], about["selected"]
    if recipe is None:
        return "none: it was not trained by a recipe"
    told = f"{recipe['id']}: {recipe['data']}, {recipe['epochs']:g} epochs of batches of {recipe['batch_size']}"
    told += f", seed {recipe['seed']}, step {about['step']}"
    return f"{told}; best {chosen['metric']} {chosen['best']:.4g}" if chosen else told


def _threshold(about: Mapping[str, Any]) -> str:
    if about["threshold"] is None:
        return "none (`soundspot calibrate` fits one)"
    fitted = about["calibration"] or {}
    on = f", {fitted['rule']} of the peaks over {fitted['dataset']}" if fitted else ""
    if refinement := Refinement.from_dict(fitted.get("refinement")):
        on += f", of maps refined by {refinement}"
    return f"{about['threshold']:.4f}{on}"


def _release(found: Inspection) -> Iterator[str]:
    yield f"{found.path}: released weights of {' or '.join(found.methods)}"
    if len(found.methods) > 1:
        yield "  These releases share their names and shapes, so the file does not tell which of them it is."
        yield "  Import it as the one it came from:"
    yield from (f'  soundspot.import_checkpoint("{found.path}", method="{name}")' for name in found.methods)


def _part(found: Inspection) -> Iterator[str]:
    yield f"{found.path}: one of several files of released weights, {' or '.join(found.methods)}"
    yield "  It is no method by itself. Put all files of its release into one folder, by these names, and import that:"
    names = sorted({one.partition(":")[0] for one in found.methods})
    yield from (f'  soundspot.import_checkpoint("FOLDER", method="{name}")' for name in names)


def _public(found: Inspection) -> Iterator[str]:
    (name,) = found.methods
    side = "audio" if name == "vggish" else "image"
    yield f"{found.path}: the public file of the encoder {name}, or one of its shape"
    yield "  It is no localiser. An encoder can begin with it, in a recipe or by an option of `soundspot train`:"
    yield f"  --{side}.encoder {name} --{side}.weights {found.path}"


def _unknown(found: Inspection) -> Iterator[str]:
    yield f"{found.path}: weights that fit no method here"
    if found.fit is None or not found.methods:
        yield "  No method here has any of its names."
        return
    yield f"  nearest: {' or '.join(found.methods)}, with {found.fit.num_matching} names and shapes in common"
    for names, kind in (
        (found.fit.missing, "missing"),
        (found.fit.unknown, "unknown"),
        ([f"{name} is {list(a)}, expected {list(b)}" for name, a, b in found.fit.reshaped], "of another shape"),
    ):
        if names:
            yield f"  {len(names)} {kind}; the first: {names[0]}"


def _contents(found: Inspection) -> Iterator[str]:
    size = f"{found.num_bytes / 1e6:.1f} MB"
    yield f"  weights     {found.num_tensors} tensors, {found.num_parameters:,} parameters, {size}"
    under = " / ".join(f"`{key}`" for key in found.nesting) or "no key: the file is the state dict itself"
    if found.kind != "checkpoint":
        yield f"  they lie    under {under}" + (f", with `{found.prefix}` before each name" if found.prefix else "")
    if found.other_keys:
        yield f"  beside them {', '.join(found.other_keys)}"
