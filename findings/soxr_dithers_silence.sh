#!/usr/bin/env bash
# soxr_dithers_silence: soxr 1.1.0, numpy 2.4.6
#
# Behavior: `soxr.resample` of int16 samples adds dither: digital silence becomes a hiss of -1, 0 and 1. As floating
# point, silence stays silence. The hiss is the same in each call.
#
# Plausible guess: zeros in, zeros out, whatever the type of the samples.
#
# Seen, of a second of zeros and of a soft tone, 48000 to 16000 Hz:
#   zeros as int16 -> {-1: 1858, 0: 12267, 1: 1875}
#   zeros as int32 -> {0: 16000}
#   zeros as float32 -> {0.0: 16000}
#   two calls alike: True
#
# Meaning: "is this clip silent?" by `samples.any()` says no after resampling, log spectrograms of silent stretches have
# a floor of -97 dB in place of the logarithm's own, and the same file gives other bits through the two types. Go to
# floating point before resampling, not after.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check soxr==1.1.0 numpy==2.4.6
cat > check.py <<'PY'
import sys

import numpy as np
import soxr

print("soxr", soxr.__version__, "numpy", np.__version__)
silent = {}
for name in ("int16", "int32", "float32"):
    zeros = soxr.resample(np.zeros(48000, name), 48000, 16000)
    silent[name] = not zeros.any()
    values, counts = np.unique(zeros, return_counts=True)
    print("zeros as", name, "->", dict(zip(values.tolist(), counts.tolist())))
again = [soxr.resample(np.zeros(48000, np.int16), 48000, 16000) for _ in range(2)]
print("two calls alike:", bool((again[0] == again[1]).all()))
if not silent["float32"]:
    sys.exit("silence of floating point is no longer kept")
if silent["int16"]:
    sys.exit("the behavior is gone: zeros stay zeros")
PY
venv/bin/python check.py
