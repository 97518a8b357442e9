#!/usr/bin/env bash
# pydub_folds_treble: pydub 0.25.1, numpy 2.4.6
#
# Behavior: `AudioSegment.set_frame_rate` draws straight lines between samples and has no filter before it: what lies
# above half of the new rate is not removed but folded down, at its full level. 10 kHz at 48000 Hz becomes 6 kHz at
# 16000 Hz.
#
# Plausible guess: like any resampler of audio it cuts off what the new rate cannot hold, so that such a tone goes
# silent.
#
# Seen:
#   1000 Hz at 48000 Hz -> 1000 Hz at 16000 Hz, level 1.0
#   10000 Hz at 48000 Hz -> 6000 Hz at 16000 Hz, level 1.0
#
# Meaning: the usual chain of pydub (set_frame_rate(16000), set_channels(1)) puts hiss, cymbals and birds into the band
# of speech. Features differ from those of a filtered resampler, and no later step can take the folded part out again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  pydub==0.25.1 numpy==2.4.6 "audioop-lts==0.2.2;python_version>='3.13'"
cat > check.py <<'PY'
import sys
import warnings

import numpy as np

warnings.simplefilter("ignore")  # pydub looks for the ffmpeg command, which is not needed here
from pydub import AudioSegment
from importlib.metadata import version

print("pydub", version("pydub"), "numpy", np.__version__, "Python", sys.version.split()[0])
levels = {}
for hertz in (1000, 10000):
    tone = (16000 * np.sin(2 * np.pi * hertz * np.arange(48000) / 48000)).astype(np.int16)
    segment = AudioSegment(tone.tobytes(), sample_width=2, frame_rate=48000, channels=1)
    samples = np.array(segment.set_frame_rate(16000).get_array_of_samples(), float)
    spectrum = np.abs(np.fft.rfft(samples))
    peak = int(spectrum.argmax() * 16000 / len(samples))
    levels[hertz] = (peak, float(samples.std() / tone.std()))
    print(hertz, "Hz at 48000 Hz ->", peak, "Hz at 16000 Hz, level", round(levels[hertz][1], 3))
if levels[1000][0] != 1000 or abs(levels[1000][1] - 1) > 0.05:
    sys.exit("a tone below half of the rate is not kept")
if levels[10000][0] != 6000 or levels[10000][1] < 0.9:
    sys.exit("the behavior is gone: the tone above half of the rate is filtered")
PY
venv/bin/python check.py
