#!/usr/bin/env bash
# wav_from_a_pipe: imageio-ffmpeg 0.8.1 (FFmpeg n9.0.2), soundfile 0.14.0, tinytag 2.3.2, numpy 2.4.6
#
# Behavior: a WAV says its length in its head, which who writes to a pipe cannot know; `ffmpeg -f wav pipe:` says
# 4294967295 bytes. Python's `wave.getnframes()` and tinytag believe it: 37 hours of a second of sound. soundfile looks
# at the size of the file and has the right number. With 0 in that place (others write so, and so does a recorder before
# it is done) soundfile reads an empty sound, without an error.
#
# Plausible guess: a file that plays tells its length, and who reads it all gets what is there.
#
# Seen, of one second at 16 kHz through a pipe:
#   announced 4294967295 bytes; seconds:
#     wave says 134217.73
#     wave reads 1.0
#     tinytag says 134217.73
#     soundfile says 1.0
#     soundfile reads 1.0
#   with 0 in its place: soundfile reads 0 samples
#   with the right number: [1.0] in all of them
#
# Meaning: filters by duration drop such clips as far too long or as empty, and buffers of the announced size are
# gigabytes. Count samples that were read, and take 0 and 4294967295 for "not known".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  imageio-ffmpeg==0.8.1 soundfile==0.14.0 tinytag==2.3.2 numpy==2.4.6
cat > check.py <<'PY'
import subprocess
import sys
import wave
from importlib.metadata import version
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import soundfile
from tinytag import TinyTag

print(*(f"{name} {version(name)}" for name in ("imageio-ffmpeg", "soundfile", "tinytag", "numpy")))
samples = (10000 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype("<i2").tobytes()
raw = ["-f", "s16le", "-ar", "16000", "-ac", "1"]
command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *raw, "-i", "pipe:", "-f", "wav", "pipe:"]
content = bytearray(subprocess.run(command, input=samples, stdout=subprocess.PIPE, check=True).stdout)
at = content.index(b"data") + 4
announced = int.from_bytes(content[at : at + 4], "little")


def lengths() -> dict[str, float]:
    with wave.open("pipe.wav") as file:
        seconds = {"wave says": file.getnframes() / 16000, "wave reads": len(file.readframes(10**6)) / 32000}
    seconds["tinytag says"] = TinyTag.get("pipe.wav").duration
    seconds["soundfile says"] = soundfile.info("pipe.wav").duration
    seconds["soundfile reads"] = len(soundfile.read("pipe.wav")[0]) / 16000
    return {name: round(value, 2) for name, value in seconds.items()}


Path("pipe.wav").write_bytes(content)
piped = lengths()
print("announced", announced, "bytes; seconds:")
for name, value in piped.items():
    print(" ", name, value)
content[at : at + 4] = bytes(4)
Path("zero.wav").write_bytes(content)
zero = len(soundfile.read("zero.wav")[0])
print("with 0 in its place: soundfile reads", zero, "samples")
content[at : at + 4] = len(samples).to_bytes(4, "little")
Path("pipe.wav").write_bytes(content)
mended = lengths()
print("with the right number:", sorted(set(mended.values())), "in all of them")
if set(mended.values()) != {1.0} or piped["soundfile reads"] != 1.0 or piped["wave reads"] != 1.0:
    sys.exit("the length is no longer known where it should be")
if piped["wave says"] < 10 or piped["tinytag says"] < 10 or zero > 0:
    sys.exit("the behavior is gone: the length is that of what is there")
PY
venv/bin/python check.py
