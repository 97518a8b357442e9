#!/usr/bin/env bash
# mono_level_by_format: av 18.1.0, numpy 2.4.6
#
# Behavior: how loud PyAV's AudioResampler makes the mono of a stereo or 5.1 sound depends on the sample format that
# it is asked for. For integers (s16) the weights of the channels are scaled so that they sum to 1; for floating point
# (flt, fltp) they are not: stereo comes out 3 dB louder, 5.1 10.7 dB louder than as integers, and beyond full scale.
# Mono to stereo is not the way back either: each channel has 0.707 of the level.
#
# Plausible guess: the format is only about how a sample is stored, so that s16 / 32768 and flt are the same sound.
#
# Seen, level of the mono over that of the channels, which all hold one tone of amplitude 0.6:
#   stereo -> mono   s16 1.000   flt 1.414   peak of flt 0.849
#   5.1    -> mono   s16 1.000   flt 3.414   peak of flt 2.049
#   mono -> stereo   s16 0.707   flt 0.707
#
# Meaning: spectrograms of one data set differ by a constant 3 or 10.7 dB when a reader goes over from s16 to flt, and a
# model that was trained on one and fed by the other is off its normalization. Loud float mono also clips when it is
# saved. Decide for one format, or mix the channels yourself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cat > check.py <<'PY'
import sys

import av
import numpy as np

print("av", av.__version__, "numpy", np.__version__)
tone = (0.6 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)).astype(np.float32)


def convert(channels: int, layout: str, to: str, to_layout: str) -> np.ndarray:
    """Samples in [-1, 1] of a sound whose channels all hold the tone."""
    frame = av.AudioFrame.from_ndarray(np.stack([tone] * channels), format="fltp", layout=layout)
    frame.rate = 48000
    resampler = av.AudioResampler(format=to, layout=to_layout, rate=48000)
    parts = [out.to_ndarray() for out in [*resampler.resample(frame), *resampler.resample(None)]]
    return np.concatenate(parts, axis=1) / (32768 if to == "s16" else 1)


ratios = {}
for channels, layout, to_layout in ((2, "stereo", "mono"), (6, "5.1", "mono"), (1, "mono", "stereo")):
    for to in ("s16", "flt"):
        samples = convert(channels, layout, to, to_layout)
        ratios[layout, to] = float(samples.std() / tone.std())
        print(layout, "->", to_layout, to, round(ratios[layout, to], 3), "peak", round(float(np.abs(samples).max()), 3))
if abs(ratios["stereo", "s16"] - 1) > 0.01 or abs(ratios["5.1", "s16"] - 1) > 0.01:
    sys.exit("the mono of integers has changed")
if not (1.4 < ratios["stereo", "flt"] < 1.43 and 3.3 < ratios["5.1", "flt"] < 3.5):
    sys.exit("the behavior is gone: the level does not depend on the sample format")
if not 0.7 < ratios["mono", "flt"] < 0.72:
    sys.exit("the stereo of a mono sound has changed")
PY
venv/bin/python check.py
