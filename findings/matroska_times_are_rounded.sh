#!/usr/bin/env bash
# matroska_times_are_rounded: av 18.1.0, numpy 2.4.6
#
# Behavior: Matroska and WebM, as FFmpeg writes them, store times in whole milliseconds. Frames of audio follow one
# another without a gap, but their times do not: at 44100 Hz a frame's `time` is up to half a millisecond, 22 samples,
# before or behind the place where the frames before it end. MP4 has the time to the sample.
#
# Plausible guess: `round(frame.time * rate)` is the number of the frame's first sample, and successive ones are as far
# apart as the frame is long.
#
# Seen, of 10 s at 44100 Hz in frames of 1024 (frame.time * rate minus the samples before it):
#   mkv pcm_s16le from -22.0 to 22.0 samples; holes 95 overlaps 335 of 431
#   mkv aac from -22.0 to 22.0 samples; holes 95 overlaps 335 of 431
#   mov pcm_s16le from -0.0 to 0.0 samples; holes 0 overlaps 0 of 431
#   mp4 aac from -0.0 to 0.0 samples; holes 0 overlaps 0 of 431
#
# Meaning: who puts frames where their times say, or cuts a window at such a time, makes overlaps and holes of up to 44
# samples, some tens a second, which are heard as crackling; a check "is there a gap?" needs a tolerance above 1 ms.
# Join frames by their lengths and take the time to find real gaps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cat > check.py <<'PY'
import sys
from fractions import Fraction

import av
import numpy as np

print("av", av.__version__, "numpy", np.__version__)
RATE = 44100
tone = (10000 * np.sin(2 * np.pi * 440 * np.arange(10 * RATE) / RATE)).astype(np.int16)
jitter = {}
for ending, codec in (("mkv", "pcm_s16le"), ("mkv", "aac"), ("mov", "pcm_s16le"), ("mp4", "aac")):
    path = f"tone.{ending}"
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        for start in range(0, len(tone), 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="s16", layout="mono")
            frame.rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(path) as container:
        frames = list(container.decode(audio=0))
    starts = np.cumsum([0] + [frame.samples for frame in frames[:-1]])
    off = np.array([frame.time * RATE for frame in frames]) - frames[0].time * RATE - starts
    steps = np.rint([frame.time * RATE for frame in frames])
    holes = int((np.diff(steps) > [frame.samples for frame in frames[:-1]]).sum())
    overlaps = int((np.diff(steps) < [frame.samples for frame in frames[:-1]]).sum())
    jitter[ending, codec] = float(np.abs(off).max())
    print(ending, codec, "from", round(off.min(), 1), "to", round(off.max(), 1), "samples; holes", holes, "overlaps",
          overlaps, "of", len(frames))
if jitter["mp4", "aac"] > 1:
    sys.exit("the times of MP4 are no longer exact")
if min(jitter["mkv", "pcm_s16le"], jitter["mkv", "aac"]) < 5:
    sys.exit("the behavior is gone: the times of Matroska are exact")
PY
venv/bin/python check.py
