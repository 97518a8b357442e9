"""Every command that writes is killed at any operation on a file, and meets a full disk at any; the next run ends well.

Nothing half-written has the name of a result, the next run of the same command removes drafts, and a full disk is one
line of ours. `SOUNDSPOT_INTERRUPTIONS` gives the number of each kind and command (3).
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from clips import write_video
from conftest import ROOT
from own_things import NEW, write_base, write_things
from soundspot.config.checkpoint import save_checkpoint
from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.config.load import read_recipe
from soundspot.methods import create
from soundspot.models.aisfx import AISFX
from soundspot.scenes import open_scenes, write_catalog

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
COUNT = int(os.environ.get("SOUNDSPOT_INTERRUPTIONS", "3"))
TINY = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}
SCENES = ["scenes", "--options", '{"length": 4, "size": 32, "seconds": 0.5}']
MODEL = ["--model", "tiny.safetensors"]
FETCHED = "aisfx.pth"
EVENTS = ["--onset", "score:-2", "--min-duration-on", "0.1"]
STATED = ["--license", "CC0 1.0", "--author", "soundspot"]
WHOLE = {  # command -> words; the last one is the result, which is there whole or not at all
    "locate": ["locate", "a.png", "a.wav", *MODEL, "--output", "out.png"],
    "locate maps": ["locate", "a.png", "a.wav", *MODEL, "--output", "out.npz"],
    "locate video": ["locate", "videos/v0.mp4", *MODEL, "--output", "out.mp4"],
    "locate records": ["locate", "videos/v0.mp4", *MODEL, "--frame-records", "out.json"],
    "locate events": ["locate", "videos/v0.mp4", *MODEL, *EVENTS, "--events", "out.csv"],
    "locate sheet": ["locate", "videos/v0.mp4", *MODEL, "--timeline", "out.png", "--contact-sheet", "out.jpg"],
    "evaluate": ["evaluate", *SCENES, *MODEL, "--bootstraps", "10", "--output", "out"],
    "evaluate-maps": ["evaluate-maps", "maps", *SCENES, "--bootstraps", "10", "--output", "out"],
    "calibrate": ["calibrate", *SCENES, *MODEL, "--output", "out.safetensors"],
    "compare": ["compare", "report", "report", "--output", "out.html"],
    "export": ["export", *MODEL, "--output", "out.onnx"],
    "export folder": ["export", *MODEL, "--output", "out"],
    "neighbors mine": ["neighbors", "mine", *SCENES, *MODEL, "--k", "2", "out"],
    "checkpoint import": ["checkpoint", "import", "released.pth", "ezvsl", "--output", "out.safetensors"],
    "data scenes": ["data", "scenes", "scenes", "out", "--length", "3", "--size", "32", "--seconds", "0.5"],
    "search query": ["search", "query", "--index", "index", "--image", "a.png", "--contact-sheet", "out.png"],
    "search export": ["search", "export", "--index", "index", "out.parquet"],
    "adapt": ["adapt", "things", "--model", "base.safetensors", "--output", "out.safetensors"],
    "pseudo-label": ["pseudo-label", *SCENES, "--image-classifier", "classifier", "--output", "out.csv"],
    "models fetch": ["models", "fetch", "aisfx", "--from", FETCHED],
    "data index-shards": ["data", "index-shards", "shards"],
    "benchmark release": ["benchmark", "release", "matched", "out"],
}
CONTINUED = {  # the result grows file by file, and the next run continues it
    "locate folder": ["locate", "videos", *MODEL, "--output", "out"],
    "locate folder events": ["locate", "videos", *MODEL, *EVENTS, "--events", "out.csv", "--output", "out"],
    "locate images": ["locate", "images", "a.wav", *MODEL, "--output", "out"],
    "data extract": ["data", "extract", "videos", "--seconds", "0.3", "--workers", "0", "out"],
    "data to-shards": ["data", "to-shards", *SCENES, "--workers", "0", "out"],
    "data flow": ["data", "flow", "videos", "--workers", "0", "--output", "out"],
    "benchmark plan": ["benchmark", "plan", "out", "--categories", "names.txt", "--images-per-pair", "2"],
    "benchmark images": ["benchmark", "images", "planned", "--cutouts", "shapes", "--size", "64", *STATED],
    "benchmark audio": ["benchmark", "audio", "selected", "shapes", *STATED],
    "examples": ["examples", "--output", "out"],
    "search index": ["search", "index", "images", *MODEL, "--workers", "0", "--index", "out"],
    "train": ["train", "debug.yaml", "--quiet", "--resume", "--output", "out"],
    "study": ["study", "study.yaml", "--workers", "0", "--output", "out"],
}
REPLACING = {*WHOLE, "locate folder", "locate images", "examples"}  # replace files of an earlier run if asked to
REPLACING -= {"models fetch", "data index-shards"}  # leave whole files as they are
STUDY = {
    "title": "A study",
    "recipe": "{method}/debug",
    "overrides": {
        "image": TINY,
        "audio": TINY,
        "front_end": {"preset": "alignment", "size": 32, "seconds": 0.25},
        "data": {"name": "scenes", "options": {"length": 8, "size": 32, "seconds": 0.25, "categories": 4}},
        "views": {"multi_view": False, "semantic": False, "base_view": "unaugmented"},
        "train": {"epochs": 1, "batch_size": 8, "workers": 0},
        "validation": {"data": None},
    },
    "methods": {"alignment": None},
    "seeds": [0, 1],
    "tests": {
        "single": {"name": "scenes-single", "options": {"length": 4, "size": 32, "seconds": 0.25}, "negatives": False}
    },
    "tables": {"Scores": {"single cIoU": "single/ciou_adaptive"}},
}


@dataclass(frozen=True)
class Result:
    """What a command ended with: exit code, number of operations on files, and what it printed."""

    code: int
    steps: int
    text: str


class Runner:
    """Process that runs commands in its children."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(Path(__file__).with_name("interrupted.py"))]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __call__(self, folder: Path, command: list[str], **limits: int) -> Result:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"folder": str(folder), "command": command, **limits}) + "\n")
        self.process.stdin.flush()
        return Result(**json.loads(self.process.stdout.readline()))


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    made = Runner()
    yield made
    made.process.communicate()


@pytest.fixture(scope="module")
def inputs(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    torch.manual_seed(0)
    front_end = InputSpec(ImageSpec(32), AudioSpec(16000, 0.5))
    save_checkpoint(create("alignment", image=TINY, audio=TINY, front_end=front_end), folder / "tiny.safetensors")
    scenes = open_scenes("scenes", length=4, size=32, seconds=0.5)
    write_catalog(scenes, folder / "catalog", False)
    (folder / "images").mkdir()
    for image in (folder / "catalog" / "images").iterdir():
        shutil.copy(image, folder / "images")
    shutil.copy(image, folder / "a.png")
    shutil.copy(next((folder / "catalog" / "audio").iterdir()), folder / "a.wav")
    for n in range(2):
        write_video(folder / "videos" / f"v{n}.mp4", seconds=0.4)
    (folder / "maps").mkdir()
    np.savez(folder / "maps" / "maps.npz", **{scenes.id(i): np.eye(4, dtype=np.float32) for i in range(4)})
    (folder / "maps" / "meta.json").write_text("{}")
    overrides = [
        "--train.epochs",
        "1",
        "--train.batch_size",
        "4",
        "--data.options",
        '{"length": 8, "size": 32, "seconds": 0.5}',
    ]
    recipe = read_recipe(ROOT / "recipes" / "ezvsl" / "debug.yaml", overrides)
    (folder / "debug.yaml").write_text(json.dumps(recipe.as_dict()))
    keys = json.loads((ROOT / "tests" / "golden" / "ezvsl" / "keys.json").read_text())
    state = {name: torch.zeros((), dtype=getattr(torch, dtype)).expand(shape) for name, shape, dtype in keys}
    torch.save({"model": state}, folder / "released.pth")
    write_things(folder / "things", NEW)
    shutil.copy(write_base(tmp_path_factory.mktemp("base")), folder)
    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    transformers = pytest.importorskip("transformers", reason="the extra `hub` is not installed")
    classifier = transformers.ViTForImageClassification(transformers.ViTConfig(**small, image_size=32, patch_size=8))
    classifier.save_pretrained(folder / "classifier")
    stages = AISFX(width=None).stages.state_dict()
    torch.save(({f"embedding_net.conv_{key}": value for key, value in stages.items()}, {}), folder / FETCHED)
    (folder / "study.yaml").write_text(json.dumps(STUDY))
    write_projects(folder, runner)
    for command in (
        ["data", "to-shards", *SCENES, "--workers", "0", "shards"],
        ["evaluate", *SCENES, *MODEL, "--bootstraps", "10", "--output", "report"],
        ["search", "index", "images", *MODEL, "--workers", "0", "--index", "index"],
    ):
        done = runner(folder, command)
        assert done.code == 0, done.text
    for index in (folder / "shards").glob("*.index.json"):
        index.unlink()
    return folder


def write_projects(folder: Path, runner: Runner) -> None:
    """Write a benchmark's project at each of its steps: planned, selected (its images are), and matched with sounds."""
    things = open_scenes("scenes-single", length=24, size=64, seconds=0.5, categories=2, object_size=(0.5, 0.8))
    write_catalog(things, folder / "shapes", False)
    (folder / "names.txt").write_text("\n".join(things.categories))

    def run(*words: str) -> None:
        done = runner(folder, ["benchmark", *words])
        assert done.code == 0, done.text

    run("plan", "planned", *CONTINUED["benchmark plan"][3:])
    shutil.copytree(folder / "planned", folder / "selected")
    run("images", "selected", *CONTINUED["benchmark images"][3:])
    decisions = "".join(f"{image.stem},keep\n" for image in (folder / "selected" / "images").iterdir())
    (folder / "decisions.csv").write_text(f"image,choice\n{decisions}")
    run("select", "selected", "--annotator", "ann", "--decisions", "decisions.csv")
    shutil.copytree(folder / "selected", folder / "matched")
    run("audio", "matched", *CONTINUED["benchmark audio"][3:])


def list_results(folder: Path, inputs: Path) -> dict[str, int]:
    """Sizes of the files that are not inputs; drafts, logs (of one attempt each) and SQLite's own aside."""
    known = {path.relative_to(inputs) for path in inputs.rglob("*")}
    names = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    ours = (x for x in names if x not in known and not x.name.endswith((".part", "-wal", "-shm")))
    others = (x for x in ours if "logs" not in x.parts)
    visible = (x for x in others if not any(part.startswith(".") for part in x.parts))
    return {x.as_posix(): (folder / x).stat().st_size for x in visible}


def list_drafts(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if ".draft-" in path.name or path.name.endswith(".part")]


def check_end(runner: Runner, folder: Path, inputs: Path, name: str, command: list[str], whole: dict[str, int]) -> None:
    """Check what an interrupted run left behind, and that the next run of the same command ends well."""
    left = list_results(folder, inputs)
    if name in WHOLE:
        missing = {file.partition("/")[0] for file in whole.keys() - left}  # files and folders are results of their own
        assert not {file.partition("/")[0] for file in left} & missing, (name, left, whole)
        assert left.keys() <= whole.keys(), (name, left, whole)
        for file, size in left.items():
            assert abs(size - whole[file]) <= 0.02 * whole[file] + 64, (name, file, size, whole[file])
    is_replaced = left and name in REPLACING
    again = runner(folder, [*command, "--overwrite"] if is_replaced else command)
    assert again.code == 0, (name, again.text)
    assert list_results(folder, inputs).keys() == whole.keys(), name
    assert not list_drafts(folder), name


def copy(inputs: Path, folder: Path) -> Path:
    return Path(shutil.copytree(inputs, folder))


def draw_limits(name: str, steps: int, size: int) -> Iterator[tuple[str, dict[str, int]]]:
    """Draw what interrupts a command of that many operations on files and that largest file, `COUNT` times each."""
    rng = random.Random(name)
    for _ in range(COUNT):
        yield "killed", {"kill_at": rng.randint(1, steps)}
        yield "full", {"full_at": rng.randint(1, steps)}
        yield "limited", {"file_size": rng.randrange(size)}


def check_interrupted(run: Result, limit: dict[str, int]) -> int:
    """Check how an interrupted run ended; return its exit code."""
    if "kill_at" in limit:
        assert run.code in (-9, 0), (limit, run.text)
    elif run.code:  # a smaller file may be all that was left to write
        assert run.code == 2, (limit, run.text)
        assert "Traceback" not in run.text, (limit, run.text)
        assert "soundspot: " in run.text
        assert re.search("could not be written|cannot be read or written", run.text), (limit, run.text)
    return run.code


@pytest.mark.parametrize("name", [*WHOLE, *CONTINUED])
def test_kills_and_full_disks_leave_nothing_half_written(
    name: str, runner: Runner, inputs: Path, tmp_path: Path
) -> None:
    command = {**WHOLE, **CONTINUED}[name]
    folder = copy(inputs, tmp_path / "whole")
    undisturbed = runner(folder, command)
    assert undisturbed.code == 0, undisturbed.text
    whole = list_results(folder, inputs)
    assert whole
    assert undisturbed.steps
    counts: dict[str, int] = {}
    for kind, limit in draw_limits(name, undisturbed.steps, max(whole.values())):
        folder = copy(inputs, tmp_path / "interrupted")
        code = check_interrupted(runner(folder, command, **limit), limit)
        counts[f"{kind} {code}"] = counts.get(f"{kind} {code}", 0) + 1
        check_end(runner, folder, inputs, name, command, whole)
        shutil.rmtree(folder)
    print(name, undisturbed.steps, counts)  # noqa: T201


def test_an_index_is_whole_however_a_removal_ends(runner: Runner, inputs: Path, tmp_path: Path) -> None:
    removed = next((inputs / "images").iterdir())
    command = ["search", "remove", str(removed), "--index", "index"]
    undisturbed = runner(copy(inputs, tmp_path / "whole"), command)
    assert undisturbed.code == 0, undisturbed.text
    counts: dict[str, int] = {}
    for kind, limit in draw_limits("remove", undisturbed.steps, 50_000):
        folder = copy(inputs, tmp_path / "interrupted")
        code = check_interrupted(runner(folder, command, **limit), limit)
        counts[f"{kind} {code}"] = counts.get(f"{kind} {code}", 0) + 1
        status = runner(folder, ["search", "status", "--index", "index"])
        assert "healthy" in status.text, (limit, status.text)
        again = runner(folder, command)
        assert again.code == 0 or "is not in the index" in again.text, (limit, again.text)
        shutil.rmtree(folder)
    print("search remove", undisturbed.steps, counts)  # noqa: T201
