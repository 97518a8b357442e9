#!/usr/bin/env bash
# gradio_audio_at_full_scale: gradio 6.31.0, soundfile 0.14.0, numpy 2.4.6
#
# Behavior: a function that returns audio to `gradio.Audio` as floating point has it divided by its own peak: what is
# soft is played, and saved for download, at full scale. The same sound as 16 or 32 bit integers keeps its level. For
# float32 nothing is said.
#
# Plausible guess: float audio in [-1, 1] is played as it is, as in soundfile, librosa and torch.
#
# Seen, peak of the file that the component makes of a tone:
#   peak 0.5 float32 -> 1.0
#   peak 0.5 int16 -> 0.5
#   peak 0.01 float32 -> 1.0
#   peak 0.01 int16 -> 0.01
#   peak 0.0001 float32 -> 1.0
#   peak 0.0001 int16 -> 0.0001
#
# Meaning: in a demo of separation or denoising the residue that should be nearly silent sounds as loud as the source,
# and a comparison of two outputs by ear says nothing about level. Return int16.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check gradio==6.31.0 soundfile==0.14.0 numpy==2.4.6
cat > check.py <<'PY'
import sys
import warnings

import gradio
import numpy as np
import soundfile

warnings.simplefilter("ignore")
print("gradio", gradio.__version__, "soundfile", soundfile.__version__, "numpy", np.__version__)
component = gradio.Audio(type="numpy", format="wav")
peaks = {}
for level in (0.5, 0.01, 0.0001):
    tone = level * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    for kind, scale in ((np.float32, 1), (np.int16, 32767)):
        name = np.dtype(kind).name
        file = component.postprocess((16000, (tone * scale).astype(kind)))
        samples, _ = soundfile.read(file.path)
        peaks[level, name] = float(np.abs(samples).max())
        print("peak", level, name, "->", round(peaks[level, name], 4))
if abs(peaks[0.01, "int16"] - 0.01) > 0.001:
    sys.exit("the level of integers is no longer kept")
if any(peaks[level, "float32"] < 0.9 for level in (0.5, 0.01, 0.0001)):
    sys.exit("the behavior is gone: the level of floats is kept")
PY
venv/bin/python check.py
