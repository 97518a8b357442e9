#!/usr/bin/env bash
# moviepy_turned_video: moviepy 2.2.1, imageio 2.38.1, imageio-ffmpeg 0.8.1 (FFmpeg n9.0.2), av 18.1.0, numpy 2.4.6
#
# Behavior: a phone held upright stores its images lying and a note in the MP4 to turn them by 90 degrees. FFmpeg turns
# them before it hands them to moviepy; moviepy does not see the note in what FFmpeg prints and has them scaled to the
# stored size. So its image is turned, but pressed into the shape of the one that is not: of 4:3, heights become 3/4 and
# widths 4/3 of what they were. Of imageio's two plugins for video one (FFMPEG) gives the turned image, the other (pyav)
# the stored one.
#
# Plausible guess: `VideoFileClip(path).get_frame(0)` is the first image, upright or lying; `imageio.imread` gives the
# same image whichever plugin reads it.
#
# Seen, of 128 x 96 pixels stored, with a white stripe across, turned by 90 degrees (height x width; rows and columns
# that are all white or all black):
#   moviepy: 96 x 128, rows of one color 0.0, columns of one color 1.0
#   imageio FFMPEG: 128 x 96, rows of one color 0.0, columns of one color 1.0
#   imageio pyav: 96 x 128, rows of one color 1.0, columns of one color 0.0
#   av, rotation -90: 96 x 128, rows of one color 1.0, columns of one color 0.0
#
# Meaning: people in portrait videos are short and wide, boxes in pixels of the upright image lie elsewhere, and with
# the other plugin everything lies on its side. imageio logs a line about the two sizes, moviepy does not. Compare the
# shape with what a player shows, or read with PyAV and turn by `frame.rotation`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  moviepy==2.2.1 imageio==2.38.1 imageio-ffmpeg==0.8.1 av==18.1.0 numpy==2.4.6
cat > check.py <<'PY'
import struct
import sys
import warnings
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import av
import imageio.v3 as imageio
import numpy as np
from moviepy import VideoFileClip

warnings.simplefilter("ignore")
names = ("moviepy", "imageio", "imageio-ffmpeg", "av", "numpy")
print(*(f"{name} {version(name)}" for name in names))
stored = np.full((96, 128, 3), 20, np.uint8)
stored[30:60] = 235
with av.open("phone.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
    stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
    for number in range(10):
        frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
content = bytearray(Path("phone.mp4").read_bytes())
matrix = [0, 1 << 16, 0, -1 << 16, 0, 0, 96 << 16, 0, 1 << 30]  # a quarter turn, and back into view
struct.pack_into(">9i", content, content.index(b"tkhd") + 44, *matrix)
Path("phone.mp4").write_bytes(content)


def look(name: str, image: np.ndarray) -> tuple[int, int, float, float]:
    """Height, width, and the shares of rows and of columns of one color."""
    white = image[..., 0] > 128
    rows, columns = (white == white[:, :1]).all(axis=1).mean(), (white == white[:1]).all(axis=0).mean()
    result = *image.shape[:2], round(float(rows), 2), round(float(columns), 2)
    print(f"{name}: {result[0]} x {result[1]}, rows of one color {result[2]}, columns of one color {result[3]}")
    return result


with VideoFileClip("phone.mp4") as clip:
    by_moviepy = look("moviepy", clip.get_frame(0))
by_ffmpeg = look("imageio FFMPEG", imageio.imread("phone.mp4", plugin="FFMPEG", index=0))
by_pyav = look("imageio pyav", imageio.imread("phone.mp4", plugin="pyav", index=0))
with av.open("phone.mp4") as container:
    frame = next(container.decode(video=0))
    look(f"av, rotation {frame.rotation}", frame.to_ndarray(format="rgb24"))
if by_ffmpeg[:2] != (128, 96) or by_ffmpeg[3] < 0.99:
    sys.exit("imageio's FFMPEG plugin no longer gives the turned image")
if by_pyav[:2] == by_ffmpeg[:2]:
    sys.exit("the behavior is gone: imageio's plugins give the same image")
if by_moviepy[3] < 0.99 or by_moviepy[:2] == (128, 96):
    sys.exit("the behavior is gone: moviepy gives the turned image in its shape, or the stored one")
PY
venv/bin/python check.py
