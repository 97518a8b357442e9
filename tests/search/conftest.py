"""A folder of small pictures, sounds and a video, and a small model whose vectors are quickly made."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from clips import write_video
from search_media import write_audio, write_image
from soundspot.config.checkpoint import save_checkpoint
from soundspot.config.schema import FrontEndConfig
from soundspot.inference.localizer import Localizer
from soundspot.methods import create
from soundspot.search import Index
from toys import TINY


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    front_end = FrontEndConfig("ezvsl", size=32, seconds=0.5).build()
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_checkpoint(create("ezvsl", image=TINY, audio=TINY, front_end=front_end), path)
    return path


@pytest.fixture(scope="session")
def localizer(checkpoint: Path) -> Localizer:
    return Localizer.load(checkpoint)


@pytest.fixture(scope="session")
def made(localizer: Localizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`media`: six pictures, four sounds of which one is long, and a video; `index`: of those."""
    folder = tmp_path_factory.mktemp("made")
    root = folder / "media"
    (root / "below").mkdir(parents=True)
    for n in range(6):
        write_image(root / f"p{n}.png", n)
    for n in range(3):
        write_audio(root / "below" / f"s{n}.wav", n)
    write_audio(root / "long.wav", 9, seconds=20)
    write_video(root / "v.mp4", seconds=4)
    with Index.create(folder / "index", localizer, root) as index:
        index.add(root)
    return folder


@pytest.fixture
def media(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "media", tmp_path / "media"))


@pytest.fixture
def index(made: Path, media: Path, localizer: Localizer, tmp_path: Path) -> Iterator[Index]:
    with Index.open(shutil.copytree(made / "index", tmp_path / "index"), localizer) as found:
        found.relocate(media)
        yield found
