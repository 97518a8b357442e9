"""Identify a file of weights: a checkpoint of soundspot, a method's released weights, a public encoder, or neither."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from soundspot.config.checkpoint import expected_shapes, hash_recipe, read_header, read_weight_shapes
from soundspot.config.frontend import AudioSpec
from soundspot.config.refinement import Refinement
from soundspot.errors import CheckpointError
from soundspot.importers import match_release, unwrap
from soundspot.models.weights import (
    Shape,
    WeightMatch,
    is_soundspot_checkpoint,
    match_weights,
    read_state_dict,
    weight_shapes,
)
from soundspot.utils.safe_read import convert_read_errors

FileKind = Literal["checkpoint", "release", "part", "public", "unknown"]
BATCHNORM_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")  # state of batch norm that is not learned


@dataclass(frozen=True)
class Inspection:
    """Contents of a file of weights, as `inspect_checkpoint` identifies them.

    Attributes:
        path: path of the file.
        kind: `checkpoint`: of soundspot; `release`: a method's released weights; `part`: one of its files, where they
            are several; `public`: an encoder's public file (ResNet-18, VGG-16, VGGish, EfficientNet-Lite0, aiSFX);
            `unknown`: none of these.
        methods: methods that the weights fit, several where releases share their names and shapes; of a part, `method:
            file`; of a public file, the encoder; of `unknown`, the nearest of these, or nothing.
        fit: match of the weights with those of `methods`; None where this version cannot say.
        num_bytes: size of the file in bytes.
        num_tensors: number of tensors in it.
        num_parameters: number of values in them, without the statistics of batch norm.
        nesting: keys that the weights lie under, the outermost first.
        prefix: text before each name of a weight.
        other_keys: other keys of the file.
        header_summary: method, options, encoders, front end, upsampling, recipe, threshold and calibration of a
            checkpoint; None for other files.
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
        """True if the file by itself fills a method or an encoder of this version: every name and shape matches."""
        return self.kind not in ("unknown", "part") and self.fit is not None and not self.fit.num_mismatched

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values, which `soundspot checkpoint inspect --json` prints.

        Returns:
            The attributes and `is_usable`, by name.
        """
        return asdict(self) | {"is_usable": self.is_usable}

    def format_summary(self) -> str:
        """Format the inspection for the terminal.

        Returns:
            Several lines of text.
        """
        formats = {
            "checkpoint": _format_checkpoint,
            "release": _format_release,
            "part": _format_file_of_release,
            "public": _format_public,
            "unknown": _format_unknown,
        }
        with convert_read_errors(self.path, "expected the header of a checkpoint", CheckpointError):
            return "\n".join([*formats[self.kind](self), *_format_contents(self)])


def inspect_checkpoint(path: str | Path) -> Inspection:
    """Identify a file of weights; nothing in it is run, and no weight of it is used.

    Args:
        path: path of a .safetensors file, or of a torch file of any code base.

    Returns:
        Description of the contents of the file.

    Raises:
        CheckpointError: the file is missing, empty, cut short, no file of weights, or a pickle that asks for more than
            weights.
    """
    with convert_read_errors(path, "expected a file of weights", CheckpointError):
        return _inspect(Path(path))


def _inspect(path: Path) -> Inspection:
    nested: dict[str, Any] = {}
    kind: FileKind = "checkpoint"
    methods: tuple[str, ...]
    if is_soundspot_checkpoint(path):
        header = read_header(path)
        shapes, expected = read_weight_shapes(path), expected_shapes(header)
        fit = None if expected is None else match_weights(expected, shapes)
        methods, nested = (str(header.get("method")),), {"header_summary": _summarize(header)}
    else:
        content = unwrap(read_state_dict(path), str(path))
        match = match_release(content.weights)
        shapes, fit, methods = weight_shapes(content.weights), match.weight_match, match.names
        kind = match.kind if match.is_exact else "unknown"
        nested = {"nesting": content.nesting, "prefix": content.prefix, "other_keys": content.other_keys}
    return Inspection(str(path), kind, methods, fit, path.stat().st_size, *_count_parameters(shapes), **nested)


def _summarize(header: Mapping[str, Any]) -> dict[str, Any]:
    config = dict(header.get("config", {}))
    encoders = {modality: config.pop(modality, {}) for modality in ("image", "audio")}
    recipe, calibration = header.get("recipe"), dict(header.get("calibration") or {})
    calibration.pop("ids", None)
    fields = ("soundspot", "method", "front_end", "upsampling", "step", "selected", "threshold", "bundle")
    summary = {name: header.get(name) for name in fields} | {"options": config, "encoders": encoders, "recipe": None}
    if recipe:
        training = {key: recipe["train"].get(key) for key in ("epochs", "batch_size", "seed")}
        summary["recipe"] = {"id": hash_recipe(recipe), "data": recipe["data"]["name"], **training}
    return summary | {"calibration": calibration or None}


def _count_parameters(shapes: Mapping[str, Shape]) -> tuple[int, int]:
    """Return the number of tensors, and of the numbers in those that are learned."""
    learned = [shape for name, shape in shapes.items() if not name.endswith(BATCHNORM_BUFFERS)]
    return len(shapes), sum(torch.Size(shape).numel() for shape in learned)


def _format_checkpoint(inspection: Inspection) -> Iterator[str]:
    summary = inspection.header_summary or {}
    yield f"{inspection.path}: a checkpoint of soundspot {summary.get('soundspot')}"
    yield f"  method      {summary['method']}{_format_options(summary['options'])}"
    for modality, options in summary["encoders"].items():
        rest = {key: value for key, value in options.items() if key != "encoder"}
        yield f"  {modality:<11} {options.get('encoder', 'resnet18')}{_format_options(rest)}"
    if front_end := summary["front_end"]:
        image, audio = front_end["image"], front_end["audio"]
        yield f"  image       {image['size']} x {image['size']}, {image['resize']}"
        rate = f"{audio['rate']} Hz" if audio["rate"] else "its own rate"
        line = f"  sound       {audio['seconds']:g} s ({audio['window']}) at {rate}"
        with suppress(TypeError):  # of another version, with options that are not known here
            spec = AudioSpec(**audio)
            spectrogram = "{}: {} x {}".format(spec.scaling, *spec.shape)
            is_waveform = spec.window_function == "waveform"
            line += ", waveform" if is_waveform else f", {spec.window_function} {spec.n_fft}/{spec.hop}, {spectrogram}"
        yield line
    yield f"  recipe      {_format_recipe(summary)}"
    yield f"  threshold   {_format_threshold(summary)}"
    presence = ((summary["calibration"] or {}).get("presence") or {}).get("kind")
    yield f"  probability {presence or 'none'}"
    if bundle := summary["bundle"]:
        encoders = ", ".join(sorted(bundle["encoders"].values()))
        yield f"  frozen      {encoders}: in the file that comes with the library (SHA-256 {bundle['sha256'][:8]}...)"
    if inspection.fit is None:
        yield "  this version cannot build its method: it has other options, or does not exist; use the version above"
    elif inspection.fit.num_mismatched:
        yield f"  its weights do not fit its method: {inspection.fit.format_mismatches()}"


def _format_options(options: Mapping[str, Any]) -> str:
    text = ", ".join(f"{key} {value}" for key, value in options.items() if value is not None)
    return f" ({text})" if text else ""


def _format_recipe(summary: Mapping[str, Any]) -> str:
    recipe, selected = summary["recipe"], summary["selected"]
    if recipe is None:
        return "none: it was not trained by a recipe"
    text = f"{recipe['id']}: {recipe['data']}, {recipe['epochs']:g} epochs of batches of {recipe['batch_size']}"
    text += f", seed {recipe['seed']}, step {summary['step']}"
    return f"{text}; best {selected['metric']} {selected['best']:.4g}" if selected else text


def _format_threshold(summary: Mapping[str, Any]) -> str:
    if summary["threshold"] is None:
        return "none (`soundspot calibrate` fits one)"
    calibration = summary["calibration"] or {}
    fitted = f", {calibration['rule']} of the peaks over {calibration['dataset']}" if calibration else ""
    if refinement := Refinement.from_dict(calibration.get("refinement")):
        fitted += f", of maps refined by {refinement}"
    return f"{summary['threshold']:.4f}{fitted}"


def _format_release(inspection: Inspection) -> Iterator[str]:
    yield f"{inspection.path}: released weights of {' or '.join(inspection.methods)}"
    if len(inspection.methods) > 1:
        yield "  These releases share their names and shapes, so the file does not tell which of them it is."
        yield "  Import it as the one it came from:"
    for name in inspection.methods:
        yield f"  soundspot checkpoint import {shlex.quote(str(inspection.path))} {name}"


def _format_file_of_release(inspection: Inspection) -> Iterator[str]:
    yield f"{inspection.path}: one of several files of released weights, {' or '.join(inspection.methods)}"
    yield "  It is no method by itself. Put all files of its release into one folder, by these names, and import that:"
    for name in sorted({method.partition(":")[0] for method in inspection.methods}):
        yield f"  soundspot checkpoint import FOLDER {name}"


def _format_public(inspection: Inspection) -> Iterator[str]:
    (name,) = inspection.methods
    modality = "audio" if name in ("vggish", "aisfx") else "image"
    yield f"{inspection.path}: the public file of the encoder {name}, or one of its shape"
    yield "  It is no localizer. An encoder can begin with it, in a recipe or by an option of `soundspot train`:"
    yield f"  --{modality}.encoder {name} --{modality}.weights {inspection.path}"


def _format_unknown(inspection: Inspection) -> Iterator[str]:
    yield f"{inspection.path}: weights that fit no method here"
    fit = inspection.fit
    if fit is None or not inspection.methods:
        yield "  No method here has any of its names."
        return
    yield f"  nearest: {' or '.join(inspection.methods)}, with {fit.num_matching} names and shapes in common"
    reshaped = [f"{name} is {list(actual)}, expected {list(expected)}" for name, actual, expected in fit.reshaped]
    for names, problem in ((fit.missing, "missing"), (fit.unknown, "unknown"), (reshaped, "of another shape")):
        if names:
            yield f"  {len(names)} {problem}; the first: {names[0]}"


def _format_contents(inspection: Inspection) -> Iterator[str]:
    size = f"{inspection.num_bytes / 1e6:.1f} MB"
    yield f"  weights     {inspection.num_tensors} tensors, {inspection.num_parameters:,} parameters, {size}"
    if inspection.kind != "checkpoint":
        under = " / ".join(f"`{key}`" for key in inspection.nesting) or "no key: the file is the state dict itself"
        before = f", with `{inspection.prefix}` before each name" if inspection.prefix else ""
        yield f"  they lie    under {under}{before}"
    if inspection.other_keys:
        yield f"  other keys  {', '.join(inspection.other_keys)}"
