#!/usr/bin/env bash
# opencv_counts_the_audio: opencv-python-headless 5.0.0.93, av 18.1.0, numpy 2.4.6
#
# Behavior: of containers that do not say how many images they hold (Matroska, WebM, MPEG-TS), CAP_PROP_FRAME_COUNT is
# the length of the file times the rate, and the length is that of the longest track. Where the audio outlasts the
# images it counts images that are not there. `CAP_PROP_FRAME_COUNT / CAP_PROP_FPS`, the usual formula of a video's
# length, is then the audio's.
#
# Plausible guess: a count of frames may be off by one or two, by rounding.
#
# Seen, of 2 s of images at 25 a second with 6 s of audio:
#   mp4 with 2 s of audio: counted 50 read 50
#   mp4 with 6 s of audio: counted 50 read 50
#   mkv with 2 s of audio: counted 51 read 50
#   mkv with 6 s of audio: counted 151 read 50
#   webm with 2 s of audio: counted 50 read 50
#   webm with 6 s of audio: counted 150 read 50
#   ts with 2 s of audio: counted 51 read 50
#   ts with 6 s of audio: counted 151 read 50
#
# Meaning: "the middle image", or ten evenly spread ones, are looked for behind the end: reads fail, or a loader that
# skips failures takes the first third of its images alone. Count by reading.
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


def write(path: str, audio_seconds: int) -> None:
    webm = path.endswith("webm")
    rate = 48000
    with av.open(path, "w") as container:
        video = container.add_stream("libvpx" if webm else "libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream("libopus" if webm else "aac", rate=rate, layout="mono")
        packets = []
        for number in range(50):
            gray = np.full((64, 64, 3), 4 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(gray, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += video.encode(frame)
        for start in range(0, audio_seconds * rate, 960):
            tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(start, start + 960) / rate)
            frame = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), format="flt", layout="mono")
            frame.rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            packets += audio.encode(frame)
        packets += [*video.encode(None), *audio.encode(None)]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)


counts = {}
for ending in ("mp4", "mkv", "webm", "ts"):
    for audio_seconds in (2, 6):
        write(f"video.{ending}", audio_seconds)
        capture = cv2.VideoCapture(f"video.{ending}")
        told, read = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0
        while capture.read()[0]:
            read += 1
        counts[ending, audio_seconds] = told, read
        print(ending, "with", audio_seconds, "s of audio: counted", told, "read", read)
if any(read != 50 for _, read in counts.values()) or counts["mp4", 6][0] != 50:
    sys.exit("the images that are there, or the count of MP4, have changed")
if any(counts[ending, 6][0] < 100 for ending in ("mkv", "webm", "ts")):
    sys.exit("the behavior is gone: the count is that of the images")
PY
venv/bin/python check.py
