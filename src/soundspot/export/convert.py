"""Conversion from torch to ONNX: one graph for all, which can be split where images and audio are encoded."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
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
from soundspot.utils.safe_read import parse_json

KEY = "soundspot"  # of the metadata
SUBGRAPHS = {
    "image": ((IMAGE,), (ENCODED_IMAGE,)),
    "audio": ((AUDIO,), (ENCODED_AUDIO,)),
    "map": ((ENCODED_IMAGE, ENCODED_AUDIO), (MAP,)),
}
"""Name -> inputs and outputs of each subgraph."""


def check_installed(*names: str) -> None:
    """Raise InputError where a library of the extra `export` is not installed.

    Args:
        names: import names of the libraries.

    Raises:
        InputError: a library is missing; the message names all that are.
    """
    from importlib.util import find_spec

    if missing := [name for name in names if find_spec(name) is None]:
        raise InputError(f'export needs {", ".join(missing)}; install it with `pip install "soundspot[export]"`')


def to_onnx(method: Method) -> Any:
    """Convert a method to a graph with inputs `image` and `audio`, outputs `map`, `encoded_image`, `encoded_audio`.

    The first axis of all of them is free, a batch of any size. A float32 copy on the CPU is converted; the method
    itself is not changed.

    Args:
        method: method with trained weights, on any device.

    Returns:
        Model as an onnx.ModelProto, without soundspot's metadata.

    Raises:
        InputError: `onnx` or `onnxscript` is not installed, or torch's exporter cannot convert the method; the message
            gives its reason.
    """
    check_installed("onnx", "onnxscript")
    copy = freeze_switches(method)
    image, audio = example_inputs(copy)
    with torch.no_grad():
        graphs = ImageGraph(copy), AudioGraph(copy), MapGraph(copy)
        encoded = graphs[0](image), graphs[1](audio)
        graphs[2](*encoded)  # cached tables (windows, mel bands) are made of numbers now, and not of traced values
        try:
            map_graph = _export("map", graphs[2], encoded)  # first, as it is the quickest to fail
            image_graph, audio_graph = _export("image", graphs[0], (image,)), _export("audio", graphs[1], (audio,))
        except Exception as error:  # of the exporter, which raises many kinds
            raise InputError(
                f"{method.name}: cannot be exported, since torch's exporter does not follow it ({_reason(error)}). "
                "docs/export.md says what a method of your own must keep to."
            ) from error
    return _join({"image": image_graph, "audio": audio_graph, "map": map_graph})


def _reason(error: BaseException) -> str:
    """Return the first line of the first cause of an exporter's error."""
    while error.__cause__:
        error = error.__cause__
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _export(name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    from onnxscript import optimizer

    batch = torch.export.Dim("b", min=1)
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            inputs,
            dynamo=True,
            input_names=list(SUBGRAPHS[name][0]),
            output_names=list(SUBGRAPHS[name][1]),
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            custom_translation_table=_translations(),
            optimize=False,  # its rewriting drops what is added where that is small: log(x + 1e-10) of silence
        )
        assert program is not None
        optimizer.fold_constants(program.model)
        optimizer.remove_unused_nodes(program.model)
    return program.model_proto


def _join(subgraphs: Mapping[str, Any]) -> Any:
    """Join three subgraphs into one: outputs of two are inputs of the third, other names get their subgraph's prefix.

    Exported as one from the start, one subgraph would take its batch size from the other's input, and could not be
    split.
    """
    from onnx.compose import add_prefix

    model, *others = (
        add_prefix(subgraph, f"{name}/", rename_inputs=False, rename_outputs=False)
        for name, subgraph in subgraphs.items()
    )
    for other in others:
        model.graph.node.extend(other.graph.node)
        model.graph.initializer.extend(other.graph.initializer)
        model.graph.value_info.extend(other.graph.value_info)
        model.graph.input.extend(x for x in other.graph.input if x.name not in ENCODINGS)
        model.graph.output.extend(other.graph.output)
    order = (MAP, *ENCODINGS)
    outputs = sorted(model.graph.output, key=lambda output: order.index(output.name))
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    return model


def _translations() -> dict[Any, Any]:
    """Return translations of operators that torch's exporter does not know."""
    from onnxscript import opset20 as op

    def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: int | None = None) -> Any:
        """Compute torch.cdist with p = 2 from differences."""
        if p != 2:
            raise NotImplementedError(f"torch.cdist is exported with p = 2 only, and here p = {p:g}")
        difference = op.Sub(op.Unsqueeze(x1, [-2]), op.Unsqueeze(x2, [-3]))
        return op.ReduceL2(difference, [-1], keepdims=0)

    return {torch.ops.aten._cdist_forward.default: cdist}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's progress and its warnings of libraries that are not installed."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def split_model(model: Any) -> dict[str, Any]:
    """Split a graph into its three subgraphs, each a model by itself with the same metadata.

    Args:
        model: onnx.ModelProto that `to_onnx` returned, quantized or not.

    Returns:
        Dict of `image`, `audio` and `map` -> onnx.ModelProto.
    """
    from onnx.utils import Extractor

    extractor = Extractor(model)
    models = {name: extractor.extract_model(list(i), list(o)) for name, (i, o) in SUBGRAPHS.items()}
    for subgraph in models.values():
        del subgraph.metadata_props[:]
        subgraph.metadata_props.extend(model.metadata_props)
    return models


def build_metadata(localizer: Localizer, source: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Collect the metadata that running an exported model requires, as JSON-serializable values.

    Args:
        localizer: localizer of the model to export.
        source: origin of the model, a dict from `soundspot.config.checkpoint.describe_checkpoint` with file name, hash
            and calibration; the sample ids of the calibration are left out. None: no origin.

    Returns:
        Dict with the keys `soundspot` (version), `method`, `title`, `front_end`, `upsampling`, `threshold`, `notes`,
        `channels` (of the image input), `samples` (length of the audio input), `weights` (`float32`) and `source`.
    """
    method, source = localizer.method, dict(source or {})
    if calibration := source.get("calibration"):
        source["calibration"] = {key: value for key, value in calibration.items() if key != "ids"}
    return {
        "soundspot": __version__,
        "method": localizer.name,
        "title": localizer.title,
        "front_end": asdict(method.front_end),
        "upsampling": asdict(method.upsampling),
        "threshold": localizer.threshold,
        "notes": [*localizer.notes, *localizer.supervision],
        "channels": method.front_end.image.num_channels,
        "samples": input_length(method.front_end.audio),
        "weights": "float32",
        "source": source,
    }


def read_metadata(model: Any) -> dict[str, Any] | None:
    """Read the metadata of a model.

    Args:
        model: onnx.ModelProto.

    Returns:
        Dict that `write_metadata` stored; None if the model has no soundspot metadata.
    """
    text = next((entry.value for entry in model.metadata_props if entry.key == KEY), None)
    return None if text is None else parse_json(text)


def write_metadata(model: Any, metadata: Mapping[str, Any]) -> None:
    """Write metadata into a model in place, as JSON under the key `soundspot`; other metadata are removed.

    Args:
        model: onnx.ModelProto to change.
        metadata: JSON-serializable dict from `build_metadata`.
    """
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(metadata)
