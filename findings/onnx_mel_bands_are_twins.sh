#!/usr/bin/env bash
# onnx_mel_bands_are_twins: onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6
#
# Behavior: ONNX has an operator for the matrix of a mel spectrogram, MelWeightMatrix. It moves the corners of each
# triangle to whole bins of the DFT first. Where bands are narrower than bins (128 bands of a DFT of 512 at 16 kHz, 80
# of 400) several neighbors become one and the same filter, others lie up to a bin off. ONNX's reference evaluator does
# the same, so it is the standard and not one runtime.
#
# Plausible guess: the operator gives the matrix of the formula, which librosa, torchaudio and Kaldi compute with
# corners between the bins, so that the front end of a network can be exported with it.
#
# Seen (pairs of equal neighbors, and the frequency of the largest weight against the band's center):
#   128 bands, 512 samples at 16000 Hz: twins by ONNX 13 by the formula 0
#     onnxruntime like the reference: True
#     largest weight at [0.0, 0.0, 31.25, 31.25, 62.5, 62.5] Hz
#     center of the band [14.0, 28.0, 42.0, 57.0, 72.0, 87.0] Hz
#   80 bands, 400 samples at 16000 Hz: twins by ONNX 5 by the formula 0
#     onnxruntime like the reference: True
#     largest weight at [0.0, 40.0, 40.0, 80.0, 80.0, 120.0] Hz
#     center of the band [22.0, 45.0, 68.0, 93.0, 118.0, 144.0] Hz
#
# Meaning: an exported network gets other features than in training, the most in low bands, where speech and most
# sources are; a check with one loud tone above 1 kHz passes. Export the matrix as a constant instead.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > check.py <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__, "numpy", np.__version__)


def from_onnx(bands: int, length: int, rate: int) -> list[np.ndarray]:
    values = [("bands", bands), ("length", length), ("rate", rate), ("low", 0.0), ("high", rate / 2)]
    kinds = [TensorProto.INT64] * 3 + [TensorProto.FLOAT] * 2
    inputs = [helper.make_tensor(name, kind, [], [value]) for (name, value), kind in zip(values, kinds)]
    node = helper.make_node("MelWeightMatrix", [name for name, _ in values], ["matrix"])
    output = helper.make_tensor_value_info("matrix", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "mel", [], [output], inputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [session.run(None, {})[0], ReferenceEvaluator(model).run(None, {})[0]]


def corners(bands: int, rate: int) -> np.ndarray:
    """Hertz of the corners and centers, evenly spread over the mel scale (2595 log10(1 + f / 700))."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    return 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)


def from_formula(bands: int, length: int, rate: int) -> np.ndarray:
    at, bins = corners(bands, rate), np.arange(length // 2 + 1)[:, None] * rate / length
    up, down = (bins - at[:-2]) / np.diff(at)[:-1], (at[2:] - bins) / np.diff(at)[1:]
    return np.maximum(0, np.minimum(up, down))


def twins(matrix: np.ndarray) -> int:
    return int((matrix[:, 1:] == matrix[:, :-1]).all(axis=0).sum())


pairs = {}
for setting in ((128, 512, 16000), (80, 400, 16000)):
    bands, length, rate = setting
    ours, (ort, reference) = from_formula(*setting), from_onnx(*setting)
    pairs[setting] = twins(ort), twins(ours)
    print(bands, "bands,", length, "samples at", rate, "Hz: twins by ONNX", pairs[setting][0], "by the formula",
          pairs[setting][1])
    print("  onnxruntime like the reference:", bool(np.allclose(ort, reference)))
    print("  largest weight at", (ort.argmax(axis=0)[:6] * rate / length).tolist(), "Hz")
    print("  center of the band", corners(bands, rate)[1:7].round().tolist(), "Hz")
if any(formula for _, formula in pairs.values()):
    sys.exit("the formula has twins as well")
if not all(operator for operator, _ in pairs.values()):
    sys.exit("the behavior is gone: each band has its own filter")
PY
venv/bin/python check.py
