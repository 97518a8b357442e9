#!/usr/bin/env bash
# ffmpeg_one_image_a_second: imageio-ffmpeg 0.8.1 (FFmpeg n9.0.2), numpy 2.4.6
#
# Behavior: `-vf fps=1`, the usual way to take one image from each second of a video, does not take the images at
# 0, 1, 2, ... s. Image k is the last one before k + 0.5 s. `-r 1` as an output option begins with two images that
# follow one another, and from there on image k is the one of k - 1.12 s; of ten seconds it makes twelve images.
#
# Plausible guess: image k shows second k, so that it belongs to the audio of second k, or to a window around it.
#
# Seen, of a video of 10 s at 25 images a second whose image n is of gray level n:
#   fps=1          [12, 37, 62, 87, 112, 137, 162, 187, 212, 237]
#   -r 1           [0, 1, 22, 47, 72, 97, 122, 147, 172, 197, 222, 247]
#   fps=1:round=up [0, 25, 50, 75, 100, 125, 150, 175, 200, 225]
#
# Meaning: data sets of "a frame a second" that were made in these two ways are half a second apart, and neither has
# the image of its nominal time. Pair such images with audio by k + 0.5 s (fps) or k - 1.1 s (-r), use round=up to get
# the image of k s, or take images by their times.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check imageio-ffmpeg==0.8.1 numpy==2.4.6
cat > check.py <<'PY'
import subprocess
import sys

import imageio_ffmpeg
import numpy as np

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
print("imageio-ffmpeg", imageio_ffmpeg.__version__, "with FFmpeg", imageio_ffmpeg.get_ffmpeg_version())


def ffmpeg(*arguments: str, data: bytes = b"") -> bytes:
    return subprocess.run([FFMPEG, "-v", "error", *arguments], input=data, stdout=subprocess.PIPE, check=True).stdout


raw = ["-f", "rawvideo", "-pix_fmt", "gray"]
images = np.repeat(np.arange(250, dtype=np.uint8), 16 * 16).tobytes()
ffmpeg(*raw, "-s", "16x16", "-r", "25", "-i", "pipe:", "-c:v", "ffv1", "in.mkv", data=images)
numbers = {}
for name, how in {"fps=1": ["-vf", "fps=1"], "-r 1": ["-r", "1"], "fps=1:round=up": ["-vf", "fps=1:round=up"]}.items():
    out = ffmpeg("-i", "in.mkv", *how, *raw, "pipe:")
    numbers[name] = np.frombuffer(out, np.uint8).reshape(-1, 256)[:, 0].tolist()
    print(name, numbers[name])
whole_seconds = list(range(0, 250, 25))
if numbers["fps=1:round=up"] != whole_seconds:
    sys.exit("round=up no longer gives the images of whole seconds")
if whole_seconds in (numbers["fps=1"], numbers["-r 1"]) or numbers["fps=1"] == numbers["-r 1"]:
    sys.exit("the behavior is gone: an image of each whole second was taken")
if numbers["fps=1"][:3] != [12, 37, 62] or numbers["-r 1"][:4] != [0, 1, 22, 47]:
    sys.exit("the behavior has changed")
PY
venv/bin/python check.py
