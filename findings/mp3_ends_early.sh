#!/usr/bin/env bash
# mp3_ends_early: av 18.1.0, soundfile 0.14.0 (libsndfile 1.2.2), pedalboard 0.9.26, numpy 2.4.6
#
# Behavior: an MP3 of variable rate need not say how long it is (no Xing header: recorders and streams that are cut
# write it so). libsndfile and pedalboard estimate the length from the first frames and end reading there, as if the
# file did. Of a file whose first second is costly and whose rest is cheap most of the sound is lost; PyAV's `duration`
# is a guess as well, but it decodes to the end.
#
# Plausible guess: the length in the header may be off, but `read()` reads until there is no more.
#
# Seen, of 20 s (a second of noise, then a soft tone):
#   with Xing seconds that were read: {'soundfile': 20.0, 'pedalboard': 20.04, 'av': 20.0}
#     length that is said: soundfile 20.0 av 20.0
#   without seconds that were read: {'soundfile': 3.02, 'pedalboard': 3.0, 'av': 20.04}
#     length that is said: soundfile 3.02 av 7.47
#
# Meaning: a sound that comes late in such a file is neither seen in training nor in a test, and the shorter clip looks
# like any other. A length estimated too large would be padded or raise; this one is silent. Count decoded samples.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check av==18.1.0 soundfile==0.14.0 pedalboard==0.9.26 numpy==2.4.6
cat > check.py <<'PY'
import sys
from fractions import Fraction

import av
import numpy as np
import pedalboard
import soundfile
from pedalboard.io import AudioFile

RATE = 44100
print("av", av.__version__, "soundfile", soundfile.__version__, "pedalboard", pedalboard.__version__)
samples = 0.2 * np.sin(2 * np.pi * 440 * np.arange(20 * RATE) / RATE)
samples[:RATE] = np.random.default_rng(0).uniform(-0.5, 0.5, RATE)
lengths = {}
for xing in ("1", "0"):
    with av.open("variable.mp3", "w", options={"write_xing": xing}) as container:
        options = {"global_quality": "0", "flags": "+qscale"}
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono", options=options)
        for start in range(0, len(samples), 1152):
            part = np.ascontiguousarray(samples[None, start : start + 1152], np.float32)
            frame = av.AudioFrame.from_ndarray(part, format="flt", layout="mono")
            frame.rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open("variable.mp3") as container:
        says = container.duration / 1e6
        decoded = sum(frame.samples for frame in container.decode(audio=0))
    with AudioFile("variable.mp3") as file:
        by_pedalboard = file.read(10 * len(samples)).shape[1]
    read, _ = soundfile.read("variable.mp3")
    found = {"soundfile": len(read), "pedalboard": by_pedalboard, "av": decoded}
    lengths[xing] = {name: round(count / RATE, 2) for name, count in found.items()}
    print("with Xing" if xing == "1" else "without", "seconds that were read:", lengths[xing])
    print("  length that is said: soundfile", round(soundfile.info("variable.mp3").duration, 2), "av", round(says, 2))
if any(abs(seconds - 20) > 0.1 for seconds in [*lengths["1"].values(), lengths["0"]["av"]]):
    sys.exit("the whole is no longer read where it should be")
if lengths["0"]["soundfile"] > 15 or lengths["0"]["pedalboard"] > 15:
    sys.exit("the behavior is gone: the file is read to its end")
PY
venv/bin/python check.py
