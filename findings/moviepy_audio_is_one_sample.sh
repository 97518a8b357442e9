#!/usr/bin/env bash
# moviepy_audio_is_one_sample: moviepy 2.2.1, soundfile 0.14.0, numpy 2.4.6
#
# Behavior: `AudioFileClip.to_soundarray(fps=16000)` of a recording of 2, 3, 5 or 10 s gives an array of the right shape
# whose rows are all the same: the sample at 1.0 s, over and over. No error, no warning. Of a recording of 1 s it raises
# OSError (at any rate). At the rate of the reader (44100 unless given) the longer ones are right.
#
# Plausible guess: `fps` resamples, as the docstring's "Frame rate of the sound for the conversion" says.
#
# Seen, of a steady tone (share of rows that equal the row before):
#   1 s at 16000 OSError Error in file tone.wav
#   1 s at 44100 OSError Error in file tone.wav
#   2 s at 16000 (32000, 2) the same as before: 1.0
#   2 s at 44100 (88200, 2) the same as before: 0.001
#   3 s at 16000 (48000, 2) the same as before: 1.0
#   3 s at 44100 (132300, 2) the same as before: 0.001
#   4 s at 16000 (64000, 2) the same as before: 0.0
#   4 s at 44100 (176400, 2) the same as before: 0.001
#   5 s at 16000 (80000, 2) the same as before: 1.0
#   5 s at 44100 (220500, 2) the same as before: 0.001
#   10 s at 16000 (160000, 2) the same as before: 1.0
#   10 s at 44100 (441000, 2) the same as before: 0.001
#
# Meaning: features of such clips are those of silence (a tone that is 0 at 1.0 s gives exact zeros), at the very rate
# that sound networks take. Read at the clip's own rate and resample by another library; check that what was read
# varies.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check moviepy==2.2.1 soundfile==0.14.0 numpy==2.4.6
cat > check.py <<'PY'
import sys
import warnings
from importlib.metadata import version

import numpy as np
import soundfile
from moviepy import AudioFileClip

warnings.simplefilter("error", UserWarning)
print("moviepy", version("moviepy"), "soundfile", soundfile.__version__, "numpy", np.__version__)
constant = {}
for seconds in (1, 2, 3, 4, 5, 10):
    tone = 0.5 * np.cos(2 * np.pi * 440.25 * np.arange(seconds * 44100) / 44100)
    soundfile.write("tone.wav", tone, 44100)
    for rate in (16000, 44100):
        with AudioFileClip("tone.wav") as clip:
            try:
                samples = clip.to_soundarray(fps=rate)
            except OSError as error:
                print(seconds, "s at", rate, "OSError", str(error).partition(",")[0])
                continue
        constant[seconds, rate] = float((np.diff(samples[:, 0]) == 0).mean())
        print(seconds, "s at", rate, samples.shape, "the same as before:", round(constant[seconds, rate], 3))
if any(constant[seconds, 44100] > 0.1 for seconds in (2, 3, 5, 10)):
    sys.exit("the reading at 44100 Hz has changed")
if any(constant[seconds, 16000] < 0.9 for seconds in (2, 3, 5, 10)):
    sys.exit("the behavior is gone: the sound varies")
PY
venv/bin/python check.py
