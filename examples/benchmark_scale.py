"""Measures a benchmark project of many images, and its page: python examples/benchmark_scale.py 10000

Images and sounds are drawn small, so that what is measured is the bookkeeping. Prints seconds of a processor and peak
memory of each command, and of the page its start and one step in each tab. Linux only. `--keep FOLDER` leaves the
project.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "app")]
from visitor import asked  # noqa: E402

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
CATEGORIES = [f"thing {n}" for n in range(25)]
NUM_PAIRS, SIZE, RATE, REPEATS = 100, (96, 72), 8000, 10
STATED = "--license", "CC0 1.0", "--author", "nobody"
STEPS = {  # what is clicked or opened: component, event, values
    "next image to select": ("key-j", "click", {}),
    "next thing to draw": ("annotate-next", "click", {"zoom": 1}),
    "sounds of an image": ("audio-number", "change", {"audio-number": 3}),
    "page of images": ("images-page", "change", {"images-page": 7}),
    "next disagreement": ("dispute-next", "click", {}),
}


def words(*given: object) -> list[str]:
    return [sys.executable, "-m", "soundspot", "benchmark", *map(str, given)]


def measure(label: str, *given: object) -> None:
    """Run a command; print its seconds of a processor and its peak of memory."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(words(*given), env=ENVIRONMENT, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        assert process.returncode == 0, output.read()[-2000:].decode()
    show(label, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def show(label: str, seconds: float, megabytes: float) -> None:
    print(f"| {label} | {seconds:.3g} | {megabytes:.0f} |", flush=True)


def draw_images(folder: Path, groups: list[list[str]], count: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        group = folder / "+".join(groups[number % len(groups)])
        group.mkdir(parents=True, exist_ok=True)
        pixels = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
        pixels.save(group / f"{number}.jpg", quality=80)


def draw_sounds(folder: Path, count: int) -> None:
    """A little more than an image needs of each category."""
    rng = np.random.default_rng(1)
    for name in CATEGORIES:
        (folder / name).mkdir(parents=True)
        for number in range(2 * count // len(CATEGORIES) + 2):
            wave = np.float32(0.1) * rng.standard_normal(RATE // 2, dtype=np.float32)
            soundfile.write(folder / name / f"{number}.wav", wave, RATE, "PCM_16")


def write_decisions(path: Path, stems: list[str], dropped: int) -> None:
    """A table that drops the first images."""
    lines = [f"{stem},{'drop' if n < dropped else 'keep'}," for n, stem in enumerate(stems)]
    path.write_text("\n".join(["image,choice,reason", *lines]) + "\n")


def write_masks(path: Path, images: list[dict[str, Any]]) -> None:
    """Two rectangles in each image, as COCO polygons."""
    width, height = SIZE
    things = [
        {"id": 2 * n + k + 1, "image_id": n, "category_id": CATEGORIES.index(name) + 1, "iscrowd": 0, "area": 1,
         "bbox": [x, 5, 30, 40], "segmentation": [[x, 5, x + 30, 5, x + 30, 45, x, 45]]}
        for n, image in enumerate(images) for k, (x, name) in enumerate(zip((5, 50), image["categories"], strict=True))
    ]  # fmt: skip
    listed = [{"id": n, "file_name": i["file"], "width": width, "height": height} for n, i in enumerate(images)]
    names = [{"id": n, "name": name} for n, name in enumerate(CATEGORIES, 1)]
    path.write_text(json.dumps({"images": listed, "annotations": things, "categories": names}))


@contextlib.contextmanager
def serve(project: Path) -> Iterator[tuple[str, int]]:
    with subprocess.Popen(
        words("app", project, "--port", 0), env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = re.search(r"http://[\w.:]+", process.stdout.readline())
        assert address is not None
        try:
            yield address[0], process.pid
        finally:
            process.terminate()


def peak(pid: int) -> float:
    """The peak of a process's memory in MB so far."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def worked(pid: int) -> float:
    """Seconds of a processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_page(project: Path) -> None:
    with serve(project) as (url, pid):
        httpx.get(url, timeout=120).raise_for_status()
        show("page: start and first answer", worked(pid), peak(pid))
        config = httpx.get(f"{url}/config", timeout=120).json()
        for label, (name, event, values) in STEPS.items():
            given = {"annotator": "zoe"} | values
            asked(url, config, name, event, given, "visitor")
            before = worked(pid)
            for _ in range(REPEATS):
                message = asked(url, config, name, event, given, "visitor")
                assert message.get("success"), message
            show(f"page: {label}", (worked(pid) - before) / REPEATS, peak(pid))


def run(folder: Path, count: int) -> None:
    from soundspot.benchmark.project import Project

    project = folder / "project"
    plan = ("plan", project, "--categories", *CATEGORIES, "--pairs", "balanced", "--num-pairs", NUM_PAIRS)
    measure("plan", *plan, "--images-per-pair", count // NUM_PAIRS)
    draw_images(folder / "images", Project(project).plan.groups, count)
    draw_sounds(folder / "sounds", count)
    measure("images --folder", "images", project, "--folder", folder / "images", *STATED)
    records = Project(project).journal.read_images()
    stems = [Path(record.file).stem for record in records]
    for name, dropped in (("ann", 0), ("bob", count // 100)):
        write_decisions(folder / f"{name}.csv", stems, dropped)
        table = folder / f"{name}.csv"
        measure(f"select --decisions, {name}", "select", project, "--annotator", name, "--decisions", table)
    measure_page(project)
    write_decisions(folder / "carol.csv", stems[: count // 100], 0)
    resolution = ("--annotator", "carol", "--decisions", folder / "carol.csv", "--resolve")
    measure("select --resolve", "select", project, *resolution)
    measure("audio --layout folder", "audio", project, folder / "sounds", "--layout", "folder", *STATED)
    write_masks(folder / "masks.json", [{"file": Path(r.file).name, "categories": r.categories} for r in records])
    for name in ("ann", "bob"):
        measure(f"annotate --masks, {name}", "annotate", project, "--masks", folder / "masks.json", "--annotator", name)
    measure("annotate --export", "annotate", project, "--export", folder / "task")
    measure_page(project)
    measure("release", "release", project, folder / "released", "--audio-format", "flac")
    measure("verify", "verify", folder / "released")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run(arguments.keep or Path(name), arguments.count)
