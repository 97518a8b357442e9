#!/usr/bin/env bash
# librosa_silence_is_sound: librosa 0.11.0, soundfile 0.14.0, numpy 2.4.6
#
# Behavior: `librosa.effects.split` and `trim` measure level against the loudest frame of the same signal, and take
# nothing for softer than -100 dB. Of digital silence every frame is as loud as the loudest one, so all of it counts as
# sound, and so does noise of the last bit. Behind a tone of -63 dB even zeros count, since they are not 50 dB softer
# than it.
#
# Plausible guess: `top_db` is a threshold below full scale, or zeros are always silent: silence has no intervals and is
# trimmed to nothing.
#
# Seen, intervals of 2 s at 16 kHz with top_db=50 (in seconds):
#   zeros: [[0.0, 2.0]], with ref=1.0 []
#   noise of the last of 16 bits: [[0.0, 2.0]], with ref=1.0 []
#   a tone of 0.5, then zeros: [[0.0, 1.09]], with ref=1.0 [[0.0, 1.09]]
#   a tone of 0.001, then zeros: [[0.0, 2.0]], with ref=1.0 []
#   zeros, trimmed: 2.0 s
#
# Meaning: used as "when does it sound?", for pseudo-labels or to drop silent clips, it keeps the silent ones whole.
# Give `ref=1.0`, or a level of the data set, and a top_db that suits it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check librosa==0.11.0 soundfile==0.14.0 numpy==2.4.6
cat > check.py <<'PY'
import sys

import librosa
import numpy as np
import soundfile

print("librosa", librosa.__version__, "soundfile", soundfile.__version__, "numpy", np.__version__)
rate = 16000
tone = np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate) * (np.arange(2 * rate) < rate)
noise = np.random.default_rng(0).integers(-1, 2, 2 * rate) / 32768
signals = {"zeros": np.zeros(2 * rate), "noise of the last of 16 bits": noise, "a tone of 0.5, then zeros": 0.5 * tone,
           "a tone of 0.001, then zeros": 0.001 * tone}
intervals = {}
for name, signal in signals.items():
    for ref in (np.max, 1.0):
        found = librosa.effects.split(signal, top_db=50, ref=ref)
        intervals[name, ref] = (found / rate).round(2).tolist()
    print(f"{name}: {intervals[name, np.max]}, with ref=1.0 {intervals[name, 1.0]}")
print("zeros, trimmed:", len(librosa.effects.trim(signals["zeros"])[0]) / rate, "s")
if intervals["zeros", 1.0] or intervals["a tone of 0.5, then zeros", np.max][0][1] > 1.2:
    sys.exit("silence counts as sound with ref=1.0 or behind a loud tone as well")
if intervals["zeros", np.max] != [[0.0, 2.0]]:
    sys.exit("the behavior is gone: zeros have no intervals")
PY
venv/bin/python check.py
