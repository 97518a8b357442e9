"""Preparing: videos to shards, against PyAV decoding the same files with nothing done with what comes out.

Both work with as many processes as there are cores, started for the run, one thread each. What is decoded of a file:

    everything  the plain way decodes each picture and each sound
    needed      it decodes what the preparation asks for and no more: from the last key frame to the picture that is
                wanted, and the sound

Ours does the rest too: finds the frames by their own times, resizes them, resamples the sound, encodes both, and writes
shards, indexes and the journal. It passes over frames that neither are wanted nor needed by others, which is how it
may be the quicker one.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
from PIL import Image

from benchmarks import Row
from soundspot.data.shards.executors import ProcessExecutor, count_cores
from soundspot.data.shards.from_videos import ExtractionOptions, VideoSampleReader, write_shards_from_videos

SIZE, RATE, SECONDS, SOUND_RATE = (640, 360), 25, 10, 44100
DISTINCT = 12  # are encoded; the others are links to these
CORES = count_cores()


def write_video(path: Path, seed: int, seconds: int = SECONDS) -> None:
    """A clip as the web has them, H.264 (x264's own settings) and AAC in mp4: a background with texture that is panned
    over, some things that move, and the noise of a camera; some 650 kbit/s."""
    chance = np.random.default_rng(seed)
    width, height = SIZE
    wide = Image.fromarray(chance.integers(0, 256, (60, 120, 3), np.uint8)).resize((960, 480), Image.Resampling.BICUBIC)
    fine = Image.fromarray(chance.integers(0, 256, (240, 480, 3), np.uint8)).resize((960, 480))
    ground = np.asarray(Image.blend(wide, fine, 0.15))
    grain = chance.normal(0, 2, (4, height, width, 1)).astype(np.int16)
    speed, start = chance.uniform(20, 100, (5, 2)), chance.uniform(0, 300, (5, 2))
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = container.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        for n in range(seconds * RATE):
            left, top = (int(120 + 100 * np.sin(n / 90 + seed)), int(60 + 50 * np.cos(n / 70)))
            pixels = ground[top : top + height, left : left + width].astype(np.int16)
            for (dx, dy), (x, y), shade in zip(speed, start, range(0, 250, 50), strict=True):
                x, y = int(x + dx * n / RATE) % (width - 60), int(y + dy * n / RATE) % (height - 60)
                pixels[y : y + 60, x : x + 60] = (shade, 255 - shade, 90)
            pixels = (pixels + grain[n % 4]).clip(0, 255).astype(np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode())
        noise = 0.02 * chance.standard_normal((2, seconds * SOUND_RATE)).cumsum(axis=1)
        sound = (np.sin(noise) * np.sin(np.arange(noise.shape[1]) / 40)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="stereo")
        frame.rate, frame.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
        container.mux(audio.encode(frame))
        container.mux(audio.encode())


def write_videos(folder: Path, count: int, distinct: int = DISTINCT, length: int = SECONDS) -> list[Path]:
    """`count` videos in a new folder, of which `distinct` differ."""
    folder.mkdir()
    paths = [folder / f"clip{n:06d}.mp4" for n in range(count)]
    with processes() as pool:
        list(pool.map(partial(write_video, seconds=length), paths[:distinct], range(distinct)))
    for n in range(distinct, count):
        os.link(paths[n % distinct], paths[n])
    return paths


def processes() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(CORES, get_context("spawn"))


def decode(path: Path, until: float | None = None) -> None:
    """All pictures and all of the sound; with `until`, pictures to that second alone."""
    with av.open(str(path)) as container:
        for stream in (container.streams.video[0], container.streams.audio[0]):
            stream.thread_type = "NONE"
        if until is None:
            for _ in container.decode(video=0, audio=0):
                pass
            return
        for frame in container.decode(video=0):
            if frame.time >= until:
                break
        container.seek(0)
        for _ in container.decode(audio=0):
            pass


def bare(paths: Sequence[Path], until: float | None = None) -> None:
    with processes() as pool:
        list(pool.map(partial(decode, until=until), paths, chunksize=4))


def run(quick: bool = False) -> list[Row]:
    """Milliseconds a clip of this machine, the start of the processes included; the files lie in memory by then. Plain
    and ours take turns."""
    count, distinct, times = (8, 2, 1) if quick else (120, DISTINCT, 2)
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder) / "videos"
        paths = write_videos(videos, count, distinct)
        ways = {
            "everything": partial(bare, paths),
            "needed": partial(bare, paths, SECONDS / 2),
            "defaults": partial(prepared, videos, ExtractionOptions()),
            "ten": partial(prepared, videos, ExtractionOptions(frames="10")),
        }
        taken = dict.fromkeys(ways, 9000000000.0)
        for name in [*ways] * times:
            taken[name] = min(taken[name], 1e3 * once(ways[name]) / count)
        parts = sizes(videos, paths[:distinct])
    note = f"{CORES} processes of one thread; of a clip are written " + ", ".join(
        f"{size / 1e3:.0f} kB of {part}" for part, size in parts.items()
    )
    what = f"preparing {count} videos: "
    return [
        Row(f"{what}defaults / all decoded", taken["everything"], taken["defaults"], "ms a clip", 0.9, note),
        Row(f"{what}defaults / as much decoded", taken["needed"], taken["defaults"], "ms a clip", 0.9),
        Row(f"{what}ten frames / all decoded", taken["everything"], taken["ten"], "ms a clip", 0.9),
    ]


def once(work: Callable[[], None]) -> float:
    """Seconds of one run."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def prepared(videos: Path, how: ExtractionOptions) -> None:
    """One run of ours, whose shards are thrown away."""
    with tempfile.TemporaryDirectory(dir=videos.parent) as output:
        write_shards_from_videos(videos, Path(output), how, ProcessExecutor(CORES))


def sizes(videos: Path, paths: Sequence[Path]) -> dict[str, float]:
    """Bytes of each part of a clip, the mean of some."""
    made = [VideoSampleReader(videos, ExtractionOptions())(path.name).files for path in paths]
    return {part: float(np.mean([len(one[part]) for one in made])) for part in made[0]}


MEASURED = """
import json, multiprocessing, resource, sys, time
from pathlib import Path
from soundspot.data.shards.executors import ProcessExecutor
from soundspot.data.shards.from_videos import ExtractionOptions, write_shards_from_videos

videos, output, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
if __name__ == "__main__":
    begin = time.perf_counter()
    write_shards_from_videos(videos, output, ExtractionOptions(), ProcessExecutor(workers))
    for process in multiprocessing.active_children():  # memory is told of those that have ended
        process.join()
    kilobytes = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    written = sum(path.stat().st_size for path in output.iterdir())
    told = {"seconds": time.perf_counter() - begin, "megabytes": (kilobytes[0] + workers * kilobytes[1]) / 1e3}
    print(json.dumps({**told, "written": written / 1e6}))
"""


def measure(n: int) -> dict[str, float]:
    """What preparing n videos takes with the default options and a process for each core.

    Returns:
        seconds, the start of the processes included; megabytes of memory of all processes at their largest; megabytes
        `written`.
    """
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder) / "videos"
        write_videos(videos, n, min(n, DISTINCT))
        program = Path(folder) / "measured.py"
        program.write_text(MEASURED, encoding="utf-8")
        command = [sys.executable, str(program), str(videos), f"{folder}/shards", str(CORES)]
        told: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return told
