"""From torch to ONNX and into parts: one graph for all, cut where the codes are."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from soundspot._version import __version__
from soundspot.errors import InputError
from soundspot.export.graph import (
    AUDIO,
    ENCODED_AUDIO,
    ENCODED_IMAGE,
    ENCODINGS,
    IMAGE,
    MAP,
    AudioGraph,
    ImageGraph,
    MapGraph,
    example_inputs,
    freeze_switches,
    input_length,
)
from soundspot.inference.localizer import Localizer
from soundspot.methods.base import Method

KEY = "soundspot"  # of the metadata
PARTS = {
    "picture": ((IMAGE,), (ENCODED_IMAGE,)),
    "sound": ((AUDIO,), (ENCODED_AUDIO,)),
    "map": ((ENCODED_IMAGE, ENCODED_AUDIO), (MAP,)),
}
"""What each part takes and gives."""


def check_installed(*names: str) -> None:
    """Raise InputError where a library of the extra `export` is not installed."""
    from importlib.util import find_spec

    if missing := [name for name in names if find_spec(name) is None]:
        raise InputError(f'export needs {", ".join(missing)}; install it with `pip install "soundspot[export]"`')


def to_onnx(method: Method) -> Any:
    """The graph of a method, an onnx.ModelProto: `picture` and `sound` in, `map`, `picture_code` and `sound_code` out.

    The first axis of all of them is free. Weights are float32, on whatever device the method lies.

    Raises:
        InputError: the exporter cannot follow the method; its own words are in the message.
    """
    check_installed("onnx", "onnxscript")
    copy = freeze_switches(method)
    picture, sound = example_inputs(copy)
    with torch.no_grad():
        see, hear, compare = ImageGraph(copy), AudioGraph(copy), MapGraph(copy)
        codes = see(picture), hear(sound)  # tables that are kept (windows, bands) are made of numbers now, and not of
        compare(*codes)  # what the exporter puts in their place
        try:
            last = _exported(compare, codes, *PARTS["map"])  # first, as it is the quickest to fail
            parts = {
                "picture": _exported(see, (picture,), *PARTS["picture"]),
                "sound": _exported(hear, (sound,), *PARTS["sound"]),
                "map": last,
            }
        except Exception as error:  # of the exporter, which raises many kinds
            raise InputError(
                f"{method.name}: cannot be exported, since torch's exporter does not follow it ({_reason(error)}). "
                "docs/export.md says what a method of your own must keep to."
            ) from error
    return _joined(parts)


def _reason(error: BaseException) -> str:
    """What an exporter's error began with: the first line of its first cause."""
    while error.__cause__:
        error = error.__cause__
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _exported(part: nn.Module, inputs: tuple[Tensor, ...], names: Sequence[str], outputs: Sequence[str]) -> Any:
    from onnxscript import optimizer

    rows = torch.export.Dim("b", min=1)
    with _quiet():
        program = torch.onnx.export(
            part.eval(),
            inputs,
            dynamo=True,
            input_names=list(names),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: rows} for _ in inputs),
            custom_translation_table=_translations(),
            optimize=False,  # its rewriting drops what is added where that is small: log(x + 1e-10) of silence
        )
        assert program is not None
        optimizer.fold_constants(program.model)
        optimizer.remove_unused_nodes(program.model)
    return program.model_proto


def _joined(parts: Mapping[str, Any]) -> Any:
    """One graph of the three: the codes of two are what the third takes, and all else has its part's name before it.

    Exported as one from the start, one part would take its batch's size from the other's input, and could not be cut.
    """
    from onnx.compose import add_prefix

    whole, *others = (
        add_prefix(part, f"{name}/", rename_inputs=False, rename_outputs=False) for name, part in parts.items()
    )
    for other in others:
        whole.graph.node.extend(other.graph.node)
        whole.graph.initializer.extend(other.graph.initializer)
        whole.graph.value_info.extend(other.graph.value_info)
        whole.graph.input.extend(one for one in other.graph.input if one.name not in ENCODINGS)
        whole.graph.output.extend(other.graph.output)
    order = (MAP, *ENCODINGS)
    outputs = sorted(whole.graph.output, key=lambda one: order.index(one.name))
    del whole.graph.output[:]
    whole.graph.output.extend(outputs)
    return whole


def _translations() -> dict[Any, Any]:
    """Operators that torch's exporter has no words for."""
    from onnxscript import opset20 as op

    def distances(x1: Any, x2: Any, p: float = 2.0, compute_mode: int | None = None) -> Any:
        """torch.cdist with p = 2, as it is written."""
        if p != 2:
            raise NotImplementedError(f"torch.cdist is exported with p = 2 alone, and here p = {p:g}")
        apart = op.Sub(op.Unsqueeze(x1, [-2]), op.Unsqueeze(x2, [-3]))
        return op.ReduceL2(apart, [-1], keepdims=0)

    return {torch.ops.aten._cdist_forward.default: distances}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's progress, and what it says of libraries that are not here, are not the user's affair."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def split_model(model: Any) -> dict[str, Any]:
    """The three parts of a graph (`PARTS`), each a model by itself with the same metadata."""
    from onnx.utils import Extractor

    extractor = Extractor(model)
    parts = {name: extractor.extract_model(list(given), list(made)) for name, (given, made) in PARTS.items()}
    for part in parts.values():
        del part.metadata_props[:]
        part.metadata_props.extend(model.metadata_props)
    return parts


def build_metadata(localizer: Localizer, source: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All that is needed to ask an exported model, as JSON can hold it.

    Args:
        source: where the model comes from, as `soundspot.config.checkpoint.identity` tells it.
    """
    method = localizer.method
    return {
        "soundspot": __version__,
        "method": localizer.name,
        "title": localizer.title,
        "front_end": asdict(method.front_end),
        "readout": asdict(method.upsampling),
        "threshold": localizer.threshold,
        "notes": [*localizer.notes, *localizer.supervision],
        "planes": method.front_end.image.num_channels,
        "samples": input_length(method.front_end.audio),
        "weights": "float32",
        "source": _brief(source or {}),
    }


def _brief(source: Mapping[str, Any]) -> dict[str, Any]:
    """Without the ids that a threshold was fitted on, which are many."""
    fitted = {key: value for key, value in (source.get("calibration") or {}).items() if key != "ids"}
    return {**source, "calibration": fitted} if fitted else dict(source)


def read_metadata(model: Any) -> dict[str, Any] | None:
    """What an onnx.ModelProto says of itself; None: it is not one of ours."""
    found = next((one.value for one in model.metadata_props if one.key == KEY), None)
    return None if found is None else json.loads(found)


def write_metadata(model: Any, metadata: Mapping[str, Any]) -> None:
    """Write that into a model."""
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(metadata)
