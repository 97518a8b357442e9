"""The starter against two ResNet-18 of random weights: frames a second of a video, and one cold `soundspot locate`.

Each pair is measured in turns, in processes of their own, and the ratio of processor time stands beside that of time,
since other work on the machine slows both.

    cold        `soundspot locate photo.jpg bark.wav` against python that imports torch and reads the two files
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import Row, measured_apart, peak_megabytes
from benchmarks.video import scene

ENCODERS = ("resnet18", "starter")
READ = "import sys, torch; [open(path, 'rb').read() for path in sys.argv[1:]]"
COMMAND = ["-m", "soundspot", "locate", "photo.jpg", "bark.wav", "-o", "map.png"]


def run(quick: bool = False) -> list[Row]:
    """Milliseconds a frame, seconds of the cold command, and its peak of memory."""
    turns, seconds = (1, 4) if quick else (5, 20)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = scene(seconds).write(folder / "clip.mp4")
        videos = [[measured_apart("starter", "video", clip, encoder) for encoder in ENCODERS] for _ in range(turns)]
        plain, ours = ({key: min(turn[i][key] for turn in videos) for key in ("ms", "cpu")} for i in (0, 1))
        _write_inputs(folder)
        locate = [sys.executable, *COMMAND, "--overwrite"]
        read = [sys.executable, "-c", READ, "photo.jpg", "bark.wav"]
        colds = [[_seconds(command, folder) for command in (read, locate)] for _ in range(turns)]
        cold = [min(turn[i] for turn in colds) for i in (0, 1)]
        peak = measured_apart("starter", "memory", folder)["megabytes"]
    note = f"processor time: {plain['cpu'] / ours['cpu']:.2f} times less; {1000 / ours['ms']:.1f} frames/s"
    return [
        Row("starter: a frame of a video of 640x360, overlay", plain["ms"], ours["ms"], "ms", 2.5, note),
        Row("starter: cold `locate`, against torch imported", cold[0], cold[1], "s", 1 / 1.5),
        Row("starter: peak of `locate`, against 400 MB", 400, peak, "MB", 1.0),
    ]


def _write_inputs(folder: Path) -> None:
    import numpy as np
    import soundfile
    from PIL import Image

    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)).resize((640, 480)).save(folder / "photo.jpg")
    soundfile.write(folder / "bark.wav", rng.uniform(-0.5, 0.5, 132_300), 44100)


def _seconds(command: list[str], folder: Path) -> float:
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def video(clip: Path, encoder: str) -> dict[str, float]:
    """Milliseconds and milliseconds of processor time for a frame, in bfloat16 where the CPU has it."""
    import soundspot
    from soundspot.config.checkpoint import save_checkpoint
    from soundspot.utils.device import has_native_bf16

    precision = "bfloat16" if has_native_bf16() else "float32"
    with tempfile.TemporaryDirectory() as name:
        model = "starter"
        if encoder != model:
            save_checkpoint(soundspot.create("alignment"), model := f"{name}/resnet18.safetensors")
        located = soundspot.load(model, precision=precision).locate_video(clip)
        begun, worked = time.perf_counter(), time.process_time()
        frames = located.save(f"{name}/overlay.mp4").num_frames
        ended = time.perf_counter() - begun, time.process_time() - worked
    return {"ms": 1000 * ended[0] / frames, "cpu": 1000 * ended[1] / frames}


def memory(folder: Path) -> dict[str, float]:
    """The peak of memory of one image and one sound."""
    import soundspot

    located = soundspot.load().locate(folder / "photo.jpg", folder / "bark.wav")
    located.save(folder / "memory.png")
    return {"megabytes": peak_megabytes()}


if __name__ == "__main__":
    what, path, *rest = sys.argv[1:]
    print(json.dumps({"video": video, "memory": memory}[what](Path(path), *rest)))
