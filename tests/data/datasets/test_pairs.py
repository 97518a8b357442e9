"""Pictures and sounds that belong together by name, from lists as their authors wrote them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from whence.data.datasets import open_dataset
from whence.data.datasets.pairs import Pairs, read_list
from whence.errors import DataError, RecipeError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("frames", "audio"):
        (tmp_path / folder).mkdir()
    for n in range(20):
        Image.new("RGB", (8, 6), (n, 0, 0)).save(tmp_path / "frames" / f"clip_{n:02d}.png")
        soundfile.write(tmp_path / "audio" / f"clip_{n:02d}.wav", np.full(160, n / 100), 16000)
    return tmp_path


def test_a_clip_is_the_picture_and_the_sound_of_one_id(root: Path) -> None:
    data = Pairs(root)
    assert len(data) == 20
    assert data.read_image(7).getpixel((0, 0)) == (7, 0, 0)
    assert data.read_sound(7).waveform[0].item() == pytest.approx(0.07, abs=1e-3)
    with pytest.raises(DataError, match="cannot be scored"):
        data.truth(0)


def test_lists_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"\xef\xbb\xbfa,1\r\nb,2\r\n\r\na,3\r\nc")
    assert read_list(tmp_path / "list.csv") == ["a", "b", "c"]


def test_test_clips_are_left_out(root: Path) -> None:
    (root / "train.txt").write_text("clip_01\nclip_02\nclip_03")
    (root / "test.csv").write_text("clip_02,9\n")
    assert Pairs(root, root / "train.txt", exclude=[root / "test.csv"]).ids == ["clip_01", "clip_03"]


def test_missing_files_are_named_and_skipped_only_if_asked(root: Path) -> None:
    (root / "audio" / "clip_05.wav").unlink()
    (root / "train.txt").write_text("clip_04\nclip_05\nnowhere\n")
    with pytest.raises(DataError, match=r"of 3 clips 2 lack .*clip_05, nowhere.*missing: skip"):
        Pairs(root, root / "train.txt")
    with pytest.warns(UserWarning, match=r"2 of 3 clips skipped \(clip_05, nowhere"):
        skipping = Pairs(root, root / "train.txt", missing="skip")
    assert (skipping.ids, skipping.skipped) == (["clip_04"], ["clip_05", "nowhere"])


def test_held_out_clips_are_the_same_whatever_the_list(root: Path) -> None:
    train, val = (Pairs(root, split=s, validation=0.3).ids for s in ("train", "val"))  # type: ignore[arg-type]
    assert sorted(train + val) == Pairs(root).ids
    assert val
    (root / "some.txt").write_text("\n".join([val[0], train[0]]))
    assert Pairs(root, root / "some.txt", split="val", validation=0.3).ids == [val[0]]


def test_bad_folders_and_options_are_told(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected .* to hold `frames` and `audio`"):
        Pairs(tmp_path / "nowhere")
    with pytest.raises(DataError, match="list of ids cannot be read"):
        Pairs(root, root / "none.txt")
    with pytest.raises(RecipeError, match="Did you mean 'missing'"):
        open_dataset("pairs", root, mising="skip")
    with pytest.raises(DataError, match="needs a folder"):
        open_dataset("pairs")
