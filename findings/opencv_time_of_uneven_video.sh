#!/usr/bin/env bash
# opencv_time_of_uneven_video: opencv-python-headless 5.0.0.93, av 18.1.0, numpy 2.4.6
#
# Behavior: a screen recording or a phone's video need not have images at even times.
# `VideoCapture.set(CAP_PROP_POS_MSEC, t)` turns t into a number by the mean rate and goes to the image of that number:
# in MP4, of 2 s at 25 a second and 7.5 s at 2 a second, second 3 gives the image of 0.84 s. In Matroska, where the rate
# is said to be 25, it gives no image. Reading from the start, CAP_PROP_POS_MSEC tells right times.
#
# Plausible guess: a property in milliseconds is a time of the video; the image that is shown then is read.
#
# Seen (time asked -> time of the image that was read, in seconds):
#   even.mp4 {1.0: 1.0, 3.0: 3.0, 5.0: 5.0, 8.0: 8.0} times while reading on: right
#   uneven.mp4 {1.0: 0.28, 3.0: 0.84, 5.0: 1.4, 8.0: 4.5} times while reading on: right
#   uneven.mkv {1.0: 1.0, 3.0: None, 5.0: None, 8.0: None} times while reading on: right
#
# Meaning: images are paired with the audio of another time, by seconds, and no error comes. Read from the start and
# take the last image whose CAP_PROP_POS_MSEC is not above t, or use a reader with an index of times.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 av==18.1.0 numpy==2.4.6
cat > check.py <<'PY'
import sys
from fractions import Fraction

import av
import cv2
import numpy as np

print("opencv-python-headless", cv2.__version__, "av", av.__version__, "numpy", np.__version__)
UNEVEN = [40 * n for n in range(50)] + [2000 + 500 * n for n in range(16)]  # ms
EVEN = [40 * n for n in range(240)]


def write(path: str, times: list[int]) -> None:
    """Image n is of gray level 16 + 3 n (modulo 240)."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0", "crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            gray = np.full((64, 64, 3), 16 + 3 * number % 240, np.uint8)
            frame = av.VideoFrame.from_ndarray(gray, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def image_times(path: str, times: list[int]) -> tuple[list[float], dict[float, float | None]]:
    """CAP_PROP_POS_MSEC while reading on, and the true time of the image that each second gives."""
    capture, told = cv2.VideoCapture(path), []
    while capture.read()[0]:
        told.append(round(capture.get(cv2.CAP_PROP_POS_MSEC)))
    answers = {}
    for second in (1.0, 3.0, 5.0, 8.0):
        capture.set(cv2.CAP_PROP_POS_MSEC, 1000 * second)
        read, image = capture.read()
        levels = [16 + 3 * number % 240 for number in range(len(times))]
        near = [n for n, level in enumerate(levels) if read and abs(level - image.mean()) < 1.5]
        answers[second] = min((times[n] / 1000 for n in near), key=lambda t: abs(t - second), default=None)
    return told, answers


results = {}
for path, times in (("even.mp4", EVEN), ("uneven.mp4", UNEVEN), ("uneven.mkv", UNEVEN)):
    write(path, times)
    told, results[path] = image_times(path, times)
    print(path, results[path], "times while reading on:", "right" if told == times else "wrong")
if any(time != second for second, time in results["even.mp4"].items()):
    sys.exit("images at even times are no longer found")
if results["uneven.mp4"][3.0] == 3.0 or results["uneven.mkv"][3.0] == 3.0:
    sys.exit("the behavior is gone: the image of 3 s is found")
PY
venv/bin/python check.py
