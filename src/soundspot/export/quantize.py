"""Eight bits: weights and activations of convolutions and linear layers, as calibration data have them.

Static quantisation of onnxruntime, in its QDQ form: weights by channel. Normalisation, spectrogram and the map itself
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

CALIBRATION_SEED = 6006  # the seed of the scenes; training has 0, tests and thresholds have others
QUANTIZED_OPS = ("Conv", "Gemm")


def calibration_scenes(front_end: InputSpec, length: int = 64) -> AudioVisualDataset:
    """What a model is calibrated on where no data are named: scenes of a seed of their own."""
    from soundspot.data.datasets.registry import open_dataset, scoring_options

    options = scoring_options("scenes-interactive", front_end) | {"length": length, "seed": CALIBRATION_SEED}
    return open_dataset("scenes-interactive", **options)


def check_quantizable(front_end: InputSpec) -> None:
    """Raise InputError where there is nothing to calibrate on, or no library to do it."""
    check_installed("onnxruntime")
    if front_end.image.flow or front_end.audio.embedding_dim:
        what = "optical flow" if front_end.image.flow else "vectors in place of sounds"
        raise InputError(f"int8: this model takes {what}, which the calibration data lack. Export it in float32.")


def quantize(model: Any, front_end: InputSpec, data: AudioVisualDataset, batch_size: int = 8) -> Any:
    """An onnx.ModelProto in 8 bits, with the same inputs, outputs and metadata.

    Args:
        data: the ranges of activations are those of its pictures and sounds; some dozens will do.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        """Batches of what the graph takes."""

        def __init__(self) -> None:
            self.batches = _batches(front_end, data, batch_size)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.batches, None)

    with tempfile.TemporaryDirectory() as folder:
        plain, folded, small = (str(Path(folder) / f"{name}.onnx") for name in ("plain", "folded", "small"))
        onnx.save(model, plain)
        quant_pre_process(plain, folded, skip_symbolic_shape=True)  # batch norms become a part of convolutions
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
        made = onnx.load(small)
    del made.metadata_props[:]
    made.metadata_props.extend(model.metadata_props)
    return made


def _batches(front_end: InputSpec, data: AudioVisualDataset, batch_size: int) -> Iterator[dict[str, Any]]:
    spec = without_normalization(front_end.image)
    for first in range(0, len(data), batch_size):
        some = range(first, min(first + batch_size, len(data)))
        yield {
            IMAGE: preprocess_images([data.read_image(i) for i in some], spec).numpy(),
            AUDIO: stack_windows([data.read_audio(i) for i in some], front_end.audio).numpy(),
        }
