#!/usr/bin/env bash
# frames_of_uneven_video: imageio 2.38.1, imageio-ffmpeg 0.8.1 (FFmpeg n9.0.2), moviepy 2.2.1, av 18.1.0, numpy 2.4.6
#
# Behavior: imageio's FFmpeg plugin and moviepy take a video's rate from the text that FFmpeg prints, which is the mean
# rate, and its images from FFmpeg's output, which repeats and drops images to the base rate. Of an MP4 with uneven
# times these are two rates: 6.92 is told, 50 images a second come. Image k is then not at k / fps, and
# `VideoFileClip.get_frame(t)`, which counts images by the rate that is told, gives an image of t / 7.
#
# Plausible guess: a reader's images go with the reader's rate; a clip's `get_frame(3.0)` shows second 3.
#
# Seen, of an MP4 of 2 s at 25 images a second and 7.5 s at 2 a second (true times in seconds):
#   even.mp4 of 240 images: imageio tells 25.0 a second and reads 240
#     moviepy, second asked -> second shown: {1.0: 1.0, 3.0: 3.0, 5.0: 5.0, 8.0: 8.0}
#   uneven.mp4 of 66 images: imageio tells 6.92 a second and reads 477
#     moviepy, second asked -> second shown: {1.0: 0.1, 3.0: 0.4, 5.0: 0.7, 8.0: 1.1}
#
# Meaning: clips of phones and screens are read in slow motion, their end is never reached, and the audio beside them is
# in time. Convert to a constant rate first, or read with PyAV by `frame.time`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  imageio==2.38.1 imageio-ffmpeg==0.8.1 moviepy==2.2.1 av==18.1.0 numpy==2.4.6
cat > check.py <<'PY'
import sys
from fractions import Fraction
from importlib.metadata import version

import av
import imageio.v2 as imageio
import numpy as np
from moviepy import VideoFileClip

print(*(f"{name} {version(name)}" for name in ("imageio", "imageio-ffmpeg", "moviepy", "av", "numpy")))
UNEVEN = [40 * n for n in range(50)] + [2000 + 500 * n for n in range(16)]  # ms
EVEN = [40 * n for n in range(240)]


def write(path: str, times: list[int]) -> None:
    """The gray level of an image says its time: 16 + 20 a second."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0", "crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for time in times:
            gray = np.full((64, 64, 3), 16 + time // 50, np.uint8)
            frame = av.VideoFrame.from_ndarray(gray, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def true_time(image: np.ndarray) -> float:
    return round((float(image.mean()) - 16) * 0.05, 1)


seen = {}
for path, times in (("even.mp4", EVEN), ("uneven.mp4", UNEVEN)):
    write(path, times)
    with imageio.get_reader(path, "ffmpeg") as reader:
        rate = reader.get_meta_data()["fps"]
        count = sum(1 for _ in reader)
    with VideoFileClip(path) as clip:
        seen[path] = {second: true_time(clip.get_frame(second)) for second in (1.0, 3.0, 5.0, 8.0)}
    print(path, "of", len(times), "images: imageio tells", rate, "a second and reads", count)
    print("  moviepy, second asked -> second shown:", seen[path])
if any(abs(time - second) > 0.2 for second, time in seen["even.mp4"].items()):
    sys.exit("images at even times are no longer found")
if seen["uneven.mp4"][5.0] > 4:
    sys.exit("the behavior is gone: moviepy shows the second that was asked for")
PY
venv/bin/python check.py
