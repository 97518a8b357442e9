"""Files are found by their endings in any case, and what is passed over is counted wherever a folder is walked."""

from collections import Counter
from pathlib import Path

import pytest

import media_cases
from media_writers import read_number
from soundspot.data.media.file_types import (
    AUDIO_SUFFIXES,
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    DirectoryIndex,
    check_inside,
    count_passed_over,
    detect_file_type,
    format_passed_over,
    iter_files,
)
from soundspot.data.media.video import Video
from soundspot.data.shards.from_videos import list_videos
from soundspot.data.validation.samples import validate_media
from soundspot.errors import DataError


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cameras")
    media_cases.names_of_cameras(folder)
    return folder


def test_an_ending_belongs_to_one_type() -> None:
    suffixes = [*IMAGE_SUFFIXES, *AUDIO_SUFFIXES, *VIDEO_SUFFIXES]
    assert [suffix for suffix, count in Counter(suffixes).items() if count > 1] == []
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)


def test_videos_of_cameras_are_found_in_capitals_too_and_read(cameras: Path) -> None:
    names = list_videos(cameras)
    assert names == ["00001.MTS", "00002.m2ts", "VTS_01_1.VOB", "clip.mp4", "old.qt"]
    for name in names:
        with Video(cameras / name) as video:
            assert read_number(video.frames_at([1.02])[0][1]) == 25
    types = Counter(detect_file_type(path.name.encode()) for path in cameras.iterdir())
    assert types == {"video": 5, "image": 1}


def test_what_is_passed_over_is_counted_by_kind(tmp_path: Path) -> None:
    for name in ("a.MP4", "b.txt", "c.TXT", "d.xyz", "README", "below/e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    counts = count_passed_over(iter_files(tmp_path), VIDEO_SUFFIXES)
    assert counts == {".txt": 3, ".xyz": 1, "": 1}
    assert format_passed_over(counts) == "passed over 5 files: 3 .txt, 1 without a suffix, 1 .xyz"
    assert format_passed_over(Counter()) == ""
    many = Counter({f".{letter}": 1 for letter in "abcdefgh"})
    assert format_passed_over(many) == "passed over 8 files: 1 .a, 1 .b, 1 .c, 1 .d, 1 .e, 1 .f, 2 of other kinds"


def test_a_folder_without_videos_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"found no videos \(\.mp4.*\), passed over 1 file: 1 \.txt; expected some"):
        list_videos(tmp_path)


def test_the_validator_notes_what_is_neither_image_nor_sound(tmp_path: Path) -> None:
    for name in ("frames/a.JPG", "audio/a.WAV", "audio/a.xyz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    findings = validate_media(tmp_path)
    assert findings is not None
    assert findings.tables[-1].to_records()[0]["samples"] == 1
    assert [p.message for p in findings.problems if p.severity == "note"] == ["passed over 1 file: 1 .xyz"]


@pytest.mark.parametrize("name", ["../x", "frames/../../x", "/etc/x", "a\\..\\x", "a\0"])
def test_a_name_that_leads_out_of_the_root_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="leads out of this folder"):
        check_inside(name, tmp_path)
    check_inside("a..b/x..y", tmp_path)


def test_a_listing_stays_below_its_root(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "secret.npy").write_bytes(b"x")
    with pytest.raises(DataError, match="leads out of this folder"):
        _ = "../secret.npy" in DirectoryIndex(tmp_path / "root")
