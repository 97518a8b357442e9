#!/usr/bin/env bash
# gaps_close_up: av 18.1.0, imageio-ffmpeg 0.8.1 (FFmpeg n9.0.2), numpy 2.4.6
#
# Behavior: the audio of a video may begin later than its images, or pause (a recorder or a conference that sends
# nothing while muted); the container says so by the times of the packets. Who decodes such audio to samples, by
# FFmpeg's own command (`ffmpeg -i video -vn out.wav`) or by joining PyAV's frames, gets no silence for the missing
# stretch: what follows moves up, and every later sound comes too early.
#
# Plausible guess: sample n of the extracted WAV sounds n / rate seconds after the first image.
#
# Seen, of a video of 6 s with clicks at 2.0 and 5.0 s, whose audio begins at 1 s, or pauses from 3 to 4 s:
#   begins late   ffmpeg -> wav [1.0, 4.0] of 5.0 s   av joined [1.0, 4.0]   av by times [2.0, 5.0]
#   pauses        ffmpeg -> wav [2.0, 4.0] of 5.0 s   av joined [2.0, 4.0]   av by times [2.0, 5.0]
#   both, ffmpeg -af aresample=async=1:first_pts=0    [2.0, 5.0]
#
# Meaning: audio and image are a second apart from there to the end, and the WAV's length is that of the sound alone.
# Put each frame at `frame.time`, or give FFmpeg `-af aresample=async=1:first_pts=0`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check av==18.1.0 imageio-ffmpeg==0.8.1 numpy==2.4.6
cat > check.py <<'PY'
import subprocess
import sys
import wave
from fractions import Fraction

import av
import imageio_ffmpeg
import numpy as np

RATE = 48000
print("av", av.__version__, "imageio-ffmpeg", imageio_ffmpeg.__version__, imageio_ffmpeg.get_ffmpeg_version())
seconds = np.arange(6 * RATE) / RATE
sounding = sum((seconds >= at) & (seconds < at + 0.05) for at in (2, 5))
clicks = (16000 * np.sin(2 * np.pi * 1000 * seconds) * sounding).astype(np.int16)


def write(path: str, silent_from: float, silent_to: float) -> None:
    """A video of 6 s that holds no packets of audio between two times."""
    with av.open(path, "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        packets = []
        for number in range(150):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += video.encode(frame)
        packets += video.encode(None)
        for start in range(0, len(clicks), 480):
            if silent_from <= start / RATE < silent_to:
                continue
            frame = av.AudioFrame.from_ndarray(clicks[None, start : start + 480], format="s16", layout="mono")
            frame.rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            packets += audio.encode(frame)
        packets += audio.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)


def onsets(samples: np.ndarray) -> list[float]:
    loud = np.flatnonzero(np.abs(samples.astype(float)) > 3000)
    return [round(float(n) / RATE, 3) for n in loud[np.diff(loud, prepend=-RATE) > RATE // 5]]


def by_command(path: str, *options: str) -> np.ndarray:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", path, "-vn", *options, "out.wav"]
    subprocess.run(command, check=True)
    with wave.open("out.wav") as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


gone = False
for name, gap in {"begins late": (0, 1), "pauses": (3, 4)}.items():
    write("gap.mkv", *gap)
    wav = by_command("gap.mkv")
    filled = by_command("gap.mkv", "-af", "aresample=async=1:first_pts=0")
    with av.open("gap.mkv") as container:
        frames = list(container.decode(audio=0))
    joined = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    placed = np.zeros(6 * RATE, np.int16)
    for frame in frames:
        at = round(frame.time * RATE)
        placed[at : at + frame.samples] = frame.to_ndarray()[0][: len(placed) - at]
    print(name, "ffmpeg -> wav", onsets(wav), "of", round(len(wav) / RATE, 3), "s, av joined", onsets(joined))
    print("  av by times", onsets(placed), "ffmpeg async", onsets(filled))
    early = [abs(times[-1] - 4) < 0.05 for times in (onsets(wav), onsets(joined))]
    right = [abs(times[-1] - 5) < 0.05 for times in (onsets(placed), onsets(filled))]
    gone |= not all(early + right)
if gone:
    sys.exit("the behavior is gone: a gap is kept, or the remedies do not help")
PY
venv/bin/python check.py
