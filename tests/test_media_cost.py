"""What people's files cost, by every door: memory is asserted, seconds are printed (`pytest -m slow -s`)."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

import soundspot
from media_files import AUDIBLE, AUDIO, HEIC, UNKNOWN, VIDEOS, Right
from media_writers import number_image
from soundspot.app.limits import Deadline, Limits
from soundspot.app.service import locate_audios
from soundspot.config.checkpoint import save_checkpoint
from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.data.media.audio import crop_or_tile, open_audio
from soundspot.data.shards.from_videos import ExtractionOptions, VideoSampleReader
from soundspot.errors import InputError
from soundspot.inference.localizer import Localizer
from soundspot.methods import create
from soundspot.search.file_reader import FileReader

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")]

TINY = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}
MAX_MEGABYTES = 500  # of one file
MAX_MEGABYTES_OF_AN_INDEX = 1000  # of the whole process
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

Door = Callable[[Path], object]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    front_end = InputSpec(ImageSpec(32), AudioSpec(16000, 0.5))
    save_checkpoint(create("alignment", image=TINY, audio=TINY, front_end=front_end), path)
    return path


def megabytes(field: str, status: str = "") -> float:
    """A field of a process's status, by default this one's: VmRSS, memory now, or VmHWM, the most since a reset."""
    [line] = [line for line in (status or STATUS.read_text()).splitlines() if line.startswith(field)]
    return int(line.split()[1]) / 1000


def cost(door: Door, path: Path) -> tuple[float, float, float]:
    """Seconds of the processor, seconds, and the most megabytes while a door reads a file; a refusal is an answer."""
    RESET.write_text("5")
    busy, started = time.process_time(), time.monotonic()
    with suppress(InputError):
        door(path)
    return time.process_time() - busy, time.monotonic() - started, megabytes("VmHWM")


def read_frames(path: Path) -> None:
    with soundspot.open_video(path) as video:
        for _ in video.frames():
            pass


def read_some_frames(path: Path) -> None:
    with soundspot.open_video(path) as video:
        video.frames_at([0.0, 0.5, 1.0])
        video.frame_after(0.5)


def read_windows(path: Path) -> None:
    with soundspot.open_video(path) as video:
        for start in (0.0, 0.7, video.duration - 0.5):
            video.read_audio(start, 1.0, 16000)


def doors(localizer: Localizer, folder: Path) -> dict[str, tuple[Door, tuple[str, ...]]]:
    """Each door with the files that go through it."""
    from PIL import Image

    photo = folder / "photo.png"
    Image.fromarray(number_image(1)).save(photo)
    audible = (*AUDIBLE, UNKNOWN)
    videos = tuple(file for file in VIDEOS if not file.startswith("transparent"))

    def extract(path: Path) -> object:
        return VideoSampleReader(path.parent, ExtractionOptions(frames="5"))(path.name)

    def index(path: Path) -> object:
        return FileReader(path.parent, localizer.front_end, 1.0)(f"0:{path.name}")

    def locate(path: Path) -> object:
        return localizer.locate_video(path).save(folder / "overlay.mp4", timeline=folder / "timeline.png")

    return {
        "read_audio": (soundspot.read_audio, audible),
        "window of open_audio": (lambda path: crop_or_tile(open_audio(path), 0.5, 0.5), audible),
        "frames in order": (read_frames, VIDEOS),
        "frames by time": (read_some_frames, VIDEOS),
        "windows of a video": (read_windows, videos),
        "locate a video": (locate, videos),
        "locate in an image": (lambda path: localizer.locate(photo, path), audible),
        "extract": (extract, videos),
        "index": (index, (*AUDIO, *VIDEOS, HEIC)),
        "page": (
            lambda path: locate_audios(localizer, str(photo), [str(path)], Limits(), Deadline(60)), audible,
        ),
    }  # fmt: skip


def test_no_file_takes_much(right: Right, checkpoint: Path, tmp_path: Path) -> None:
    all_doors = doors(Localizer.load(checkpoint), tmp_path)
    for door, files in all_doors.values():  # what is imported belongs to no file
        cost(door, right.root / files[0])
    before = megabytes("VmRSS")
    lines, most = [], 0.0
    for name, (door, files) in all_doors.items():
        costs = {file: cost(door, right.root / file) for file in files}
        slowest, largest = (max(files, key=lambda file, i=i, costs=costs: costs[file][i]) for i in (0, 2))
        busy, seconds, memory = (max(values) for values in zip(*costs.values(), strict=True))
        most = max(most, memory - before)
        time_text = f"{busy:5.2f} s of the processor ({slowest}), {seconds:5.2f} s"
        lines.append(f"{name:<20} {len(files)} files, at most {time_text}, {memory - before:4.0f} MB ({largest})")
    report = "\n".join(lines)
    sys.stdout.write(f"\n{report}\n")
    assert most <= MAX_MEGABYTES, report


def test_an_index_of_all_files_takes_little_memory(right: Right, checkpoint: Path, tmp_path: Path) -> None:
    """`soundspot search index` over the folder of all cases, in a process of its own."""
    code = (
        "import sys; from soundspot.cli.main import main; main(sys.argv[1:]); print(open('/proc/self/status').read())"
    )
    words = ("search", "index", right.root, "--model", checkpoint, "--index", tmp_path / "index", "--stride", 1)
    command = [sys.executable, "-c", code, *map(str, words), "--workers", "0"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    peak = megabytes("VmHWM", out)
    sys.stdout.write(f"\nsearch index: {peak:.0f} MB; {out.splitlines()[0]}\n")
    assert peak <= MAX_MEGABYTES_OF_AN_INDEX
