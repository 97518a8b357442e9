"""Pictures and sounds to train on, from lists and folders as their authors have them; nothing scored among them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from soundspot.data.datasets.lists import bundled_ids
from soundspot.data.datasets.registry import open_dataset
from soundspot.errors import DataError, RecipeError
from soundspot.types import AudioVisualDataset
from trees import milliseconds, put

CLIPS = ("__-8wVOYH3c_000140", "-0123456789_000030", "zzzzzzzzzzz_000007")


TREES = {
    "ezvsl": (lambda id: f"frames/{id}.jpg", lambda id: f"audio/{id}.wav"),
    "ezvsl, as FNAC has it": (lambda id: f"frames/{id}.png", lambda id: f"audio/{id}.wav"),
    "sslalignment": (
        lambda id: f"VGGSound_img/{milliseconds(id)}/image_050.jpg",
        lambda id: f"VGGSound_aud/{milliseconds(id)}.wav",
    ),
    "ssltie": (lambda id: f"total_video_frames/{id}/125.jpg", lambda id: f"total_video_3s_audio/{id}.wav"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("frames", "audio"):
        (tmp_path / folder).mkdir()
    for n in range(20):
        Image.new("RGB", (8, 6), (n, 0, 0)).save(tmp_path / "frames" / f"clip_{n:02d}.png")
        soundfile.write(tmp_path / "audio" / f"clip_{n:02d}.wav", np.full(160, n / 100), 16000)
    return tmp_path


def ids(data: AudioVisualDataset) -> list[str]:
    return [data.id(index) for index in range(len(data))]


def test_a_clip_is_the_picture_and_the_sound_of_one_id(root: Path) -> None:
    data = open_dataset("pairs", root)
    assert isinstance(data, AudioVisualDataset)
    assert len(data) == 20
    assert data.read_image(7).getpixel((0, 0)) == (7, 0, 0)
    assert data.read_audio(7).waveform[0].item() == pytest.approx(0.07, abs=1e-3)
    assert (data.group(7), data.category(7), data.at_epoch(3)) == ("clip_07", "", data)
    with pytest.raises(DataError, match="cannot be scored"):
        data.ground_truth(0)


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("listed", [True, False], ids=["by a list", "all on disk"])
def test_vggsound_is_read_from_the_layouts_of_the_released_codes(tmp_path: Path, tree: str, listed: bool) -> None:
    picture, sound = TREES[tree]
    put(tmp_path, map(picture, CLIPS), map(sound, CLIPS))
    (tmp_path / "list.txt").write_text("\n".join(CLIPS[:2]))
    data = open_dataset("vggsound", tmp_path, **({"list": tmp_path / "list.txt"} if listed else {}))
    assert ids(data) == (list(CLIPS[:2]) if listed else sorted(CLIPS))
    assert data.read_image(1).size == (8, 6)
    assert data.read_audio(1).rate == 16000


def test_flickr_is_read_from_both_of_ssl_ties_trees_and_from_ez_vsls(tmp_path: Path) -> None:
    trees = {"2465816449": "videos/4/4/9", "2914372362": "videos2/1/4/3/7/2/3/6/2"}
    for id, folder in trees.items():
        put(tmp_path / "tie", [f"frames/{folder}/{id}.mp4/00000003.jpg"], [f"mp3/{folder}/{id}.mp4.mp3"])
    (tmp_path / "list.txt").write_text("".join(f"{folder}/{id}.mp4\n" for id, folder in trees.items()))
    for options in ({}, {"list": tmp_path / "list.txt"}):
        data = open_dataset("flickr_soundnet", tmp_path / "tie", **options)
        assert ids(data) == list(trees)
        assert data.read_image(1).size == (8, 6)
    put(tmp_path / "easy", [f"frames/{id}.jpg" for id in trees], [f"audio/{id}.wav" for id in trees])
    assert ids(open_dataset("flickr_soundnet", tmp_path / "easy", list=tmp_path / "list.txt")) == list(trees)


def test_what_is_scored_is_left_out_by_the_name_of_a_test_set(tmp_path: Path) -> None:
    tested, other_part = bundled_ids("vggss")[0], bundled_ids("vggss")[1][:11] + "_000999"
    filmed = bundled_ids("avsbench_s4")[0] + "_000003"
    clips = [*CLIPS, tested, other_part, filmed]
    put(tmp_path, (f"frames/{id}.jpg" for id in clips), (f"audio/{id}.wav" for id in clips))
    (tmp_path / "list.txt").write_text("\n".join(clips))
    data = open_dataset("vggsound", tmp_path, list=tmp_path / "list.txt", exclude=["vggss", "avsbench_s4"])
    assert ids(data) == [*CLIPS, other_part], "of VGG-SS clips, of AVSBench whole videos"
    assert data.excluded == (tested, filmed)
    told = r"1 of vggss, 1 of avsbench_s4 are among the 6 clips to train on.*exclude: \[vggss, avsbench_s4\]"
    with pytest.warns(UserWarning, match=told):
        open_dataset("vggsound", tmp_path, list=tmp_path / "list.txt")
    put(tmp_path / "ms", [f"VGGSound_img/{milliseconds(tested)}/image_050.jpg"], [])
    put(tmp_path / "ms", [], [f"VGGSound_aud/{milliseconds(tested)}.wav"])
    with pytest.raises(DataError, match=r"no sample is left \(0 lack a file, 1 are excluded\)"):
        open_dataset("vggsound", tmp_path / "ms", exclude=["vggss"])


def test_test_clips_are_left_out(root: Path) -> None:
    (root / "train.txt").write_text("clip_01\nclip_02\nclip_03")
    (root / "test.csv").write_text("clip_02,9\n")
    data = open_dataset("pairs", root, list=root / "train.txt", exclude=[root / "test.csv"])
    assert ids(data) == ["clip_01", "clip_03"]


def test_missing_files_are_named_and_skipped_only_if_asked(root: Path) -> None:
    (root / "audio" / "clip_05.wav").unlink()
    (root / "train.txt").write_text("clip_04\nclip_05\nnowhere\n")
    lacking = r"of 3 samples 2 lack 3 files \(first: audio/clip_05.wav, frames/nowhere.jpg, audio/nowhere.wav\)"
    with pytest.raises(DataError, match=lacking + r".*Fetch them, or .*`missing: skip`"):
        open_dataset("pairs", root, list=root / "train.txt")
    with pytest.warns(UserWarning, match=lacking):
        skipping = open_dataset("pairs", root, list=root / "train.txt", missing="skip")
    assert (ids(skipping), skipping.skipped) == (["clip_04"], ("clip_05", "nowhere"))
    with pytest.raises(DataError, match="of 20 samples 1 lack 1 files"):
        open_dataset("pairs", root)


def test_held_out_clips_are_the_same_whatever_the_list(root: Path) -> None:
    train, val = (ids(open_dataset("pairs", root, split=split, val_fraction=0.3)) for split in ("train", "val"))
    assert sorted(train + val) == ids(open_dataset("pairs", root))
    assert val
    (root / "some.txt").write_text("\n".join([val[0], train[0]]))
    assert ids(open_dataset("pairs", root, list=root / "some.txt", split="val", val_fraction=0.3)) == [val[0]]


def test_rows_that_repeat_a_clip_are_told(root: Path) -> None:
    (root / "twice.txt").write_text("clip_01\nclip_02\nclip_01\n")
    with pytest.warns(UserWarning, match=r"1 rows repeat a clip \(clip_01\); each is used once"):
        assert ids(open_dataset("pairs", root, list=root / "twice.txt")) == ["clip_01", "clip_02"]


def test_bad_folders_and_options_are_told(root: Path, tmp_path: Path) -> None:
    for name, options, kind, said in [
        ("pairs", {"list": root / "none.txt"}, DataError, "list of ids cannot be read"),
        ("pairs", {"mising": "skip"}, RecipeError, "Did you mean 'missing'"),
        ("pairs", {"missing": "skp"}, RecipeError, "missing: found 'skp', expected 'error' or 'skip'. Did you mean"),
        ("pairs", {"split": "test"}, RecipeError, "split: found 'test', expected 'train' or 'val'"),
        ("pairs", {"val_fraction": 1.0}, DataError, "expected a share from 0 to below 1"),
        (
            "pairs",
            {"exclude": "vggss"},
            RecipeError,
            r"expected a list of text or paths. Write a list, as in `exclude: \[vggss\]`",
        ),
        (
            "pairs",
            {"exclude": ["vgss"]},
            DataError,
            "neither a file nor a list of soundspot. Did you mean 'vggss'",
        ),
        (
            "vggsound",
            {"layout": "ezsvl"},
            RecipeError,
            "expected ezvsl or sslalignment or ssltie. Did you mean 'ezvsl'",
        ),
    ]:
        with pytest.raises(kind, match=said):
            open_dataset(name, root, **options)
    with pytest.raises(DataError, match="found no such folder"):
        open_dataset("pairs", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DataError, match=r"found none of the folders .* one of: ezvsl \(frames/\{id\}; audio/\{id\}\), ssl"
    ):
        open_dataset("vggsound", tmp_path / "empty")
    with pytest.raises(DataError, match="needs a folder"):
        open_dataset("pairs")


@pytest.mark.parametrize("name", ["pairs", "vggsound", "flickr_soundnet"])
@pytest.mark.parametrize("missing", ["error", "skip"])
def test_an_id_that_leads_out_of_the_root_opens_nothing(root: Path, name: str, missing: str) -> None:
    data = root / "data"
    put(data, ["frames/a.jpg"], ["audio/a.wav"])
    (root / "list.txt").write_text("a\n../../frames/clip_00\n")
    with pytest.raises(DataError, match=r"frames/clip_00' in a list.*leads out of this folder"):
        open_dataset(name, data, list=root / "list.txt", missing=missing)
