#!/usr/bin/env bash
# pyroomacoustics_is_late: pyroomacoustics 0.10.1, numpy 2.4.6
#
# Behavior: the impulse responses of pyroomacoustics are built of fractional delay filters of 81 samples, and the half
# of that filter stays in front: each response, and each simulated signal, is 40 samples later than distance / speed of
# sound. At 16 kHz that is 2.5 ms, or 86 cm of way; at 8 kHz twice as much.
#
# Plausible guess: the peak of the direct sound is at distance / c * fs, in an anechoic room at the least.
#
# Seen, of a source and a microphone 3.43 m apart:
#   8000 Hz: expected 80.0 peak of the response 120 of the signal 120
#   16000 Hz: expected 160.0 peak of the response 200 of the signal 200
#   48000 Hz: expected 480.0 peak of the response 520 of the signal 520
#   samples that are too many: [40.0, 40.0, 40.0]
#
# Meaning: differences between microphones are right, so direction finding does not show it; distances, times of onsets
# and the alignment of the simulated sound with a picture or with the dry source are off. Take `frac_delay_length // 2`
# samples away.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyroomacoustics==0.10.1 numpy==2.4.6
cat > check.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import pyroomacoustics as pra

print("pyroomacoustics", version("pyroomacoustics"), "numpy", np.__version__)
late = {}
for rate in (8000, 16000, 48000):
    room = pra.ShoeBox([6, 5, 3], fs=rate, max_order=0)
    room.add_source([1, 1, 1], signal=np.r_[1.0, np.zeros(99)])
    room.add_microphone([4.43, 1, 1])
    room.simulate()
    way = 3.43 / room.c * rate
    peaks = [int(np.abs(room.rir[0][0]).argmax()), int(np.abs(room.mic_array.signals[0]).argmax())]
    late[rate] = peaks[0] - way
    print(rate, "Hz: expected", round(way, 1), "peak of the response", peaks[0], "of the signal", peaks[1])
print("samples that are too many:", [round(samples, 1) for samples in late.values()])
if any(abs(samples) < 2 for samples in late.values()):
    sys.exit("the behavior is gone: the direct sound is in time")
if any(abs(samples - pra.constants.get("frac_delay_length") // 2) > 1 for samples in late.values()):
    sys.exit("the behavior has changed: it is not half of the filter")
PY
venv/bin/python check.py
