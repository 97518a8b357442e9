#!/usr/bin/env bash
# decord_cut_video: decord 0.6.0, av 18.1.0, imageio-ffmpeg 0.8.1 (FFmpeg n9.0.2), opencv-python-headless 5.0.0.93,
# numpy 2.4.6
#
# Behavior: `ffmpeg -ss 6 -t 3 -c copy` cuts a clip without coding it anew. The MP4 that it makes holds images from the
# key frame before second 6 on, and an edit list that says to show them from second 6 on. decord counts all that are
# held (125) but decodes the shown ones (75). Image 0 is told to be at -2 s, the last images are one and the same, and
# image 75 is one thing when it is asked for first and another one after the 75 before it. OpenCV counts 125 as well,
# and reads 75.
#
# Plausible guess: the number of images is the number that can be read, and `reader[i]` is the same whatever came
# before.
#
# Seen, of a video at 25 images a second (numbers of its images; the clip should show 150 to 224):
#   av 75 images: 150 to 224
#   OpenCV counts 125 and reads 75 images: 150 to 224
#   decord 125 images: 150 151 ... [223, 224, 224, 224, 224] ... 224
#     time of image 0: [-2.0, -1.9600000381469727]
#     image 75, when it is the first that is read: 174
#
# Meaning: of ten evenly spread images of such a clip four are the last one again, or, in another order of reading, ones
# of another time. Cut clips are what data sets of web videos are made of. PyAV gives the 75 images.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  decord==0.6.0 av==18.1.0 imageio-ffmpeg==0.8.1 opencv-python-headless==5.0.0.93 numpy==2.4.6
cat > check.py <<'PY'
import os
import subprocess
import sys
from fractions import Fraction
from importlib.metadata import version

import av
import cv2
import imageio_ffmpeg
import numpy as np

os.environ["DECORD_DUPLICATE_WARNING_THRESHOLD"] = "1.0"
import decord

print(*(f"{name} {version(name)}" for name in ("decord", "av", "imageio-ffmpeg", "opencv-python-headless", "numpy")))
with av.open("long.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=25, options={"bf": "0", "crf": "1", "g": "100", "sc_threshold": "0"})
    stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
    for number in range(250):
        image = np.full((64, 64, 3), 30 + 3 * (number % 64), np.uint8)
        image[:, 32:] = 30 + 50 * (number // 64)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
cut = ["-v", "error", "-ss", "6", "-i", "long.mp4", "-t", "3", "-c", "copy", "cut.mp4"]
subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), *cut], check=True)


def number_of(image: np.ndarray) -> int:
    low, high = (image[:, columns].mean() - 30 for columns in (slice(2, 30), slice(34, 62)))
    return round(low / 3) + 64 * round(high / 50)


with av.open("cut.mp4") as container:
    by_av = [number_of(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
print("av", len(by_av), "images:", by_av[0], "to", by_av[-1])
capture, by_opencv = cv2.VideoCapture("cut.mp4"), []
counted = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
while (item := capture.read())[0]:
    by_opencv.append(number_of(item[1]))
print("OpenCV counts", counted, "and reads", len(by_opencv), "images:", by_opencv[0], "to", by_opencv[-1])
reader = decord.VideoReader("cut.mp4")
by_decord = [number_of(reader[i].asnumpy()) for i in range(len(reader))]
print("decord", len(by_decord), "images:", by_decord[0], by_decord[1], "...", by_decord[73:78], "...", by_decord[-1])
print("  time of image 0:", reader.get_frame_timestamp(0).round(2).tolist())
first = number_of(decord.VideoReader("cut.mp4")[75].asnumpy())
print("  image 75, when it is the first that is read:", first)
if by_av != list(range(150, 225)):
    sys.exit("PyAV no longer gives the images of the clip")
if len(by_decord) == 75 or counted == 75:
    sys.exit("the behavior is gone: the images are counted rightly")
if first == by_decord[75]:
    sys.exit("the behavior is gone: an image does not depend on those before it")
PY
venv/bin/python check.py
