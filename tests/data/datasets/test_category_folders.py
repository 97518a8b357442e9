"""Folders of one's own things become a catalog: images, recordings and videos, each in its split."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from schemas import check_output
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.category_folders import write_category_catalog
from soundspot.errors import DataError
from soundspot.scenes.video_scene import VideoScene


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (80, 60), "orange").save(path)


def write_audio(path: Path, seconds: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.sin(np.arange(round(8000 * seconds)) / 5), 8000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    for number in range(4):
        write_image(root / f"kettle/{number}.png")
        write_audio(root / f"kettle/sounds/{number}.wav")
    return root


def test_each_category_has_a_quarter_held_out(folder: Path, tmp_path: Path) -> None:
    write_audio(folder / "kettle/long.flac", 75.0)
    (folder / "kettle/notes.txt").write_text("boils at 100")
    summary = write_category_catalog(folder, tmp_path / "catalog")
    check_output(json.loads((tmp_path / "catalog" / "annotations.json").read_text()), "annotations")
    assert summary.counts == {"kettle": (4, 10)}  # the long recording has six windows
    assert summary.passed_over == "passed over 1 file: 1 .txt"
    train, val = (Catalog(tmp_path / "catalog", split) for split in ("train", "val"))
    assert (len(train), len(val)) == (3, 1)
    assert {entry.group for entry in train.audio}.isdisjoint(entry.group for entry in val.audio)
    assert val.read_image(0).size == (80, 60)
    assert val.ground_truth(0).present


def test_a_video_gives_frames_with_their_own_sound(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / "mine/disc").mkdir(parents=True, exist_ok=True)
        scene = VideoScene(("red disc", "green star"), seconds=2.0, fps=10, size=(160, 90), seed=number)
        scene.write(tmp_path / f"mine/disc/{number}.mp4")
    assert write_category_catalog(tmp_path / "mine", tmp_path / "catalog").counts == {"disc": (8, 8)}
    catalog = Catalog(tmp_path / "catalog", "train")
    assert len(catalog) == 4
    assert all(image.audio == catalog.audio_id(index) for index, image in enumerate(catalog.images))
    assert catalog.read_audio(0).waveform.abs().max() > 0.1


def test_something_of_each_kind_is_left_to_learn_from(tmp_path: Path) -> None:
    """One video among an image and a recording: whichever of them are held out, an image and a sound stay."""
    for number in range(6):
        root = tmp_path / f"mine{number}"
        write_image(root / f"disc/photo{number}.png")
        write_audio(root / f"disc/audio{number}.wav")
        scene = VideoScene(("red disc", "green star"), seconds=1.0, fps=5, size=(64, 48))
        scene.write(root / f"disc/video{number}.mp4")
        write_category_catalog(root, tmp_path / f"catalog{number}")
        for split in ("train", "val"):
            catalog = Catalog(tmp_path / f"catalog{number}", split)
            assert catalog.images
            assert catalog.audio


def test_what_cannot_be_read_is_named_and_the_rest_used(folder: Path, tmp_path: Path) -> None:
    (folder / "kettle/broken.jpg").write_bytes(b"no image at all")
    (message,) = write_category_catalog(folder, tmp_path / "catalog").skipped
    assert "broken.jpg" in message


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "expected one with a subfolder"),
        (["a.png", "a.wav"], "no subfolders"),
        (["bell/a.png", "bell/a.wav"], "bell: found 1 readable images or videos, expected at least two"),
        (["bell/a.png", "bell/b.png"], "bell: found 0 readable recordings or videos with sound"),
        (["bell/a.txt"], "bell: found 0 readable images or videos"),
    ],
)
def test_folders_to_learn_nothing_from_are_refused(tmp_path: Path, files: list[str], message: str) -> None:
    for file in files:
        if file.endswith("txt"):
            (tmp_path / "mine/bell").mkdir(parents=True)
            (tmp_path / "mine" / file).write_text("nothing")
        else:
            (write_image if file.endswith("png") else write_audio)(tmp_path / "mine" / file)
    with pytest.raises(DataError, match=message):
        write_category_catalog(tmp_path / "mine", tmp_path / "catalog")
    assert not (tmp_path / "catalog").exists()
