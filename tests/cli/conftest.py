"""A command line to try, and what it is tried on: a tiny checkpoint and a tiny catalogue."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from soundspot.cli.main import main
from soundspot.config.checkpoint import save_checkpoint
from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.methods import create
from soundspot.scenes import open_scenes, write_catalog

TINY = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}


@dataclass(frozen=True)
class Answer:
    """What a command said and left behind."""

    code: int
    out: str
    err: str
    written: frozenset[Path]  # every file or folder that was not there before, or changed


Soundspot = Callable[..., Answer]


@pytest.fixture
def soundspot(tmp_path: Path, capsys: pytest.CaptureFixture) -> Soundspot:
    """soundspot("locate", ...) runs the command in this process and compares `tmp_path` before and after."""

    def run(*arguments: object) -> Answer:
        before = listing(tmp_path)
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # how argparse ends
            code = int(stop.code or 0)
        said = capsys.readouterr()
        after = listing(tmp_path)
        changed = {path for path in before | after if before.get(path) != after.get(path)}
        return Answer(code, said.out, said.err, frozenset(changed))

    return run


def listing(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every path below a folder, hidden ones too, with the size and the time of change of files."""
    files = {path: path.stat() for path in folder.rglob("*")}
    return {path: (s.st_size, s.st_mtime_ns) if path.is_file() else (0, 0) for path, s in files.items()}


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    torch.manual_seed(0)
    method = create("alignment", image=TINY, audio=TINY, front_end=InputSpec(ImageSpec(32), AudioSpec(16000, 0.5)))
    save_checkpoint(method, folder / "tiny.safetensors")
    write_catalog(open_scenes("scenes", length=8, size=32, seconds=0.5, categories=3), folder / "catalogue")
    return folder


@pytest.fixture
def checkpoint(_made: Path, tmp_path: Path) -> Path:
    """A method with fresh weights, for pictures of 32 pixels and half a second of sound."""
    return Path(shutil.copy(_made / "tiny.safetensors", tmp_path / "tiny.safetensors"))


@pytest.fixture
def catalogue(_made: Path, tmp_path: Path) -> Path:
    """Eight training scenes of 32 pixels, written as files."""
    return Path(shutil.copytree(_made / "catalogue", tmp_path / "catalogue"))


@pytest.fixture
def picture(catalogue: Path) -> Path:
    return min((catalogue / "images").iterdir())


@pytest.fixture
def sound(catalogue: Path) -> Path:
    return min((catalogue / "audio").iterdir())
