"""Eight bits: weights and activations of convolutions and linear layers, as calibration data have them.

Static quantisation of onnxruntime, in its QDQ form: weights by channel. Normalisation, spectrogram and the map itself
stay float32.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from whence.data.image import prepare_images
from whence.errors import InputError
from whence.export.convert import require
from whence.export.graph import PICTURE, SOUND
from whence.export.session import unscaled, windows
from whence.frontend import InputSpec
from whence.types import AudioVisualDataset

CALIBRATION = 6006  # the seed of the scenes; training has 0, tests and thresholds have others
QUANTISED = ("Conv", "Gemm")


def scenes(front_end: InputSpec, length: int = 64) -> AudioVisualDataset:
    """What a model is calibrated on where no data are named: scenes of a seed of their own."""
    from whence.data.datasets import open_dataset, scoring_options

    options = scoring_options("scenes-interactive", front_end) | {"length": length, "seed": CALIBRATION}
    return open_dataset("scenes-interactive", **options)


def refuse_int8(front_end: InputSpec) -> None:
    """Raise InputError where there is nothing to calibrate on, or no library to do it."""
    require("onnxruntime")
    if front_end.image.flow or front_end.audio.vector:
        what = "optical flow" if front_end.image.flow else "vectors in place of sounds"
        raise InputError(f"int8: this model takes {what}, which the calibration data lack. Export it in float32.")


def quantised(model: Any, front_end: InputSpec, data: AudioVisualDataset, batch: int = 8) -> Any:
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
            self.batches = _batches(front_end, data, batch)

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
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        made = onnx.load(small)
    del made.metadata_props[:]
    made.metadata_props.extend(model.metadata_props)
    return made


def _batches(front_end: InputSpec, data: AudioVisualDataset, batch: int) -> Iterator[dict[str, Any]]:
    spec = unscaled(front_end.image)
    for first in range(0, len(data), batch):
        some = range(first, min(first + batch, len(data)))
        yield {
            PICTURE: prepare_images([data.read_image(i) for i in some], spec).numpy(),
            SOUND: windows([data.read_sound(i) for i in some], front_end.audio).numpy(),
        }
