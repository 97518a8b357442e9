"""Quantization to 8 bits: weights and activations of convolutions and linear layers, calibrated on data.

Static quantization of onnxruntime, in its QDQ form: weights by channel. Normalization, spectrogram and the map itself
stay float32.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from soundspot.config.frontend import InputSpec
from soundspot.data.media.image import preprocess_images
from soundspot.errors import InputError
from soundspot.export.convert import check_installed
from soundspot.export.graph import AUDIO, IMAGE
from soundspot.export.session import stack_windows, without_normalization
from soundspot.types import AudioVisualDataset

CALIBRATION_SEED = 6006  # of the scenes; training has 0, tests and thresholds have others
QUANTIZED_OPS = ("Conv", "Gemm")


def calibration_scenes(front_end: InputSpec, length: int = 64) -> AudioVisualDataset:
    """Open the default calibration data: procedural scenes of a seed that training and tests do not use.

    Args:
        front_end: preprocessing of the model, which determines size and duration of the scenes.
        length: number of samples.

    Returns:
        Data set of `length` scenes.
    """
    from soundspot.data.datasets.registry import open_dataset, scoring_options

    options = scoring_options("scenes-interactive", front_end) | {"length": length, "seed": CALIBRATION_SEED}
    return open_dataset("scenes-interactive", **options)


def check_quantizable(front_end: InputSpec) -> None:
    """Raise InputError for a method whose inputs no calibration data have, or without the library.

    Args:
        front_end: preprocessing of the model.

    Raises:
        InputError: the model takes optical flow or audio embeddings, or `onnxruntime` is not installed.
    """
    check_installed("onnxruntime")
    if front_end.image.flow or front_end.audio.embedding_dim:
        inputs = "optical flow" if front_end.image.flow else "audio embeddings"
        raise InputError(f"int8: this model takes {inputs}, which the calibration data lack. Export it in float32.")


def quantize_model(model: Any, front_end: InputSpec, data: AudioVisualDataset, batch_size: int = 8) -> Any:
    """Quantize convolutions and linear layers of a model to 8 bits; inputs, outputs and metadata stay the same.

    Args:
        model: float32 onnx.ModelProto from `to_onnx`; it is not changed.
        front_end: preprocessing of the model.
        data: calibration data, all of whose images and audio set the ranges of activations; a few dozen samples are
            enough.
        batch_size: number of samples per calibration step; the last batch may be smaller.

    Returns:
        Quantized onnx.ModelProto, with int8 weights per channel and uint8 activations.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        """Batches of the graph's inputs."""

        def __init__(self) -> None:
            self.batches = _batches(front_end, data, batch_size)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.batches, None)

    with tempfile.TemporaryDirectory() as folder:
        original, folded, small = (str(Path(folder) / f"{name}.onnx") for name in ("original", "folded", "small"))
        onnx.save(model, original)
        quant_pre_process(original, folded, skip_symbolic_shape=True)  # folds batch norms into convolutions
        quantization.quantize_static(
            folded,
            small,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED_OPS),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        quantized = onnx.load(small)
    del quantized.metadata_props[:]
    quantized.metadata_props.extend(model.metadata_props)
    return quantized


def _batches(front_end: InputSpec, data: AudioVisualDataset, batch_size: int) -> Iterator[dict[str, Any]]:
    spec = without_normalization(front_end.image)
    for start in range(0, len(data), batch_size):
        rows = range(start, min(start + batch_size, len(data)))
        yield {
            IMAGE: preprocess_images([data.read_image(i) for i in rows], spec).numpy(),
            AUDIO: stack_windows([data.read_audio(i) for i in rows], front_end.audio).numpy(),
        }
