"""The doctor tells what a folder holds, what is wrong with it, and what is trained on that is scored."""

import json
from pathlib import Path

import pytest
import soundfile

from soundspot.data.datasets.lists import bundled_ids
from soundspot.data.validation.findings import Findings
from soundspot.data.validation.validator import validate_data
from soundspot.errors import DataError, RecipeError
from trees import FRAMED, VGGSS, framed, put, write_json

CLIPS = [f"AAAAAAAAAA{letter}_000001" for letter in "abcd"]


def records(found: Findings, title: str) -> list[dict]:
    return next((table.to_records() for table in found.tables if table.title == title), [])


def told(found: Findings, severity: str) -> list[str]:
    return [str(problem) for problem in found.problems if problem.severity == severity]


def test_the_authors_folder(annotations: Path) -> None:
    """The figures of the files themselves: rows, odd boxes, and the clips of test sets in each training list."""
    found = validate_data(annotations)
    assert found.kind == "lists"
    lists = {row["file"]: row for row in records(found, "lists")}
    assert len(lists) == len(list(annotations.iterdir())), "every file is recognised"
    assert lists["vggss.json"] == {
        "file": "vggss.json",
        "content": "boxes of VGG-SS",
        "rows": 5158,
        "samples": 5158,
        "boxes": 5941,
        "empty": 18,
        "far outside": 12,
    }
    empty = {file: row["empty"] for file, row in lists.items() if row.get("empty")}
    assert empty == {"vggss.json": 18, "s4_box.json": 6, "ms3_box.json": 29, "vpo_ms_bbox.json": 2}
    leaks = {(row["list"], row["test set"]): row for row in records(found, "leaks")}
    assert leaks["vggss_144k.txt", "vggss"] == {
        "list": "vggss_144k.txt",
        "test set": "vggss",
        "clips": 3709,
        "of": 5158,
        "heard": 1859,
        "unheard": 1840,
        "other": 10,
        "of the 4655": 3345,
        "videos": 3655,
    }
    assert leaks["vggss_10k.txt", "vggss"]["clips"] == 238
    assert (leaks["vggss_heard.txt", "vggss"]["clips"], leaks["vggss_heard.txt", "vggss"]["videos"]) == (0, 1)
    assert (leaks["flickr_10k.txt", "flickr"]["clips"], leaks["flickr_10k.txt", "flickr"]["of"]) == (1, 250)
    assert leaks["vggss_144k.txt", "avsbench_s4"]["videos"] == 564
    assert len(told(found, "error")) == 6
    assert all("expected none to be trained on. Leave them out by `exclude: [" in text for text in told(found, "error"))
    assert {text.partition(":")[0] for text in told(found, "warning")} == {
        *("vggss.json", "s4_box.json", "ms3_box.json", "vpo_ms_bbox.json"),
        *("vggss_144k.txt", "vggss_10k.txt", "vggss_heard.txt"),
    }
    assert json.loads(json.dumps(found.to_dict()))["errors"] == 6


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return put(tmp_path / "media", (f"frames/{id}.jpg" for id in CLIPS), (f"audio/{id}.wav" for id in CLIPS))


def test_a_folder_of_pictures_and_sounds(media: Path) -> None:
    tested = bundled_ids("vggss")[0]
    put(media, [f"frames/{tested}.jpg", "frames/alone.png"], [f"audio/{tested}.wav"])
    found = validate_data(media)
    assert found.kind == "pairs"
    row = records(found, "data set")[0]
    assert (row["samples"], row["images"], row["skipped"]) == (5, 5, 1)
    leak, lack = told(found, "error")
    assert leak.startswith("media/train: found 1 of the 5158 clips of vggss")
    assert lack.startswith(f"{media}: of 6 samples 1 lack 1 files (first: audio/alone.wav)")


def test_reading_the_files_finds_what_is_broken_or_silent(media: Path) -> None:
    (media / "frames" / f"{CLIPS[0]}.jpg").write_bytes(b"no picture")
    (media / "audio" / f"{CLIPS[1]}.wav").write_bytes(b"")
    soundfile.write(media / "audio" / f"{CLIPS[2]}.wav", [0.0] * 100, 16000)
    assert not validate_data(media).problems
    for found in (validate_data(media, read_files=True), validate_data(media, "vggsound", read_files=True)):
        assert len(told(found, "error")) == 2
        assert f"{CLIPS[0]}.jpg: found a file of no known image format" in told(found, "error")[0]
        assert f"{CLIPS[1]}.wav: found an empty file (0 bytes)" in told(found, "error")[1]
        assert [f"{CLIPS[2]}.wav: found silence" in text for text in told(found, "warning")] == [True]


def test_a_training_set_is_checked_after_its_exclusions(media: Path) -> None:
    tested = bundled_ids("vggss")[0]
    put(media, [f"frames/{tested}.jpg"], [f"audio/{tested}.wav"])
    (media / "list.txt").write_bytes("\r\n".join([*CLIPS, CLIPS[0], tested, "AAAAAAAAAAz_000001"]).encode())
    options = {"list": str(media / "list.txt")}
    found = validate_data(media, "vggsound", options)
    leak, lack = told(found, "error")
    assert leak.startswith("media/train: found 1 of the 5158 clips of vggss")
    assert lack.startswith(f"{media}: of 6 samples 1 lack 2 files (first: frames/AAAAAAAAAAz_000001.jpg")
    assert told(found, "warning") == [
        f"list.txt: found 1 rows that repeat a clip ({CLIPS[0]}), expected each once. "
        "Each is used once; take the others out."
    ]
    assert told(found, "note") == ["list.txt: found CRLF line ends, no final newline. Read all the same."]
    row = records(found, "data set")[0]
    assert (row["samples"], row["skipped"], row["excluded"]) == (5, 1, 0)
    found = validate_data(media, "vggsound", {**options, "exclude": ["vggss"]})
    assert len(told(found, "error")) == 1
    assert records(found, "data set")[0]["excluded"] == 1


def test_a_test_set_is_checked_with_its_files(tmp_path: Path) -> None:
    root = framed(tmp_path, "avsbench_ms3")
    found = validate_data(root, "avsbench_ms3")
    assert [problem.severity for problem in found.problems] == ["warning"]
    assert "found 1 boxes without a pixel at 224 x 224 (rq5RDUm2Hnk_1.mp4_1); 1 samples have no other" in str(
        found.problems[0]
    )
    (root / "audio_wav" / "test" / "rq5RDUm2Hnk_1.wav").unlink()
    found = validate_data(root, "avsbench_ms3", {"ground_truth": "masks"})
    assert "of 2 samples 2 lack 2 files (first: audio_wav/test/rq5RDUm2Hnk_1.wav" in told(found, "error")[0]
    assert records(found, "data set")[0]["samples"] == 2, "what can be said without the files is said"
    (root / "gt_masks" / "test" / "rq5RDUm2Hnk_1" / "rq5RDUm2Hnk_1_1.png").write_bytes(b"no mask")
    assert any(
        "rq5RDUm2Hnk_1_1.png: found" in text
        for text in told(validate_data(root, "avsbench_ms3", {"ground_truth": "masks"}, read_files=True), "error")
    )


def test_odd_entries_are_told_by_file(tmp_path: Path) -> None:
    write_json(tmp_path / "vggss.json", [{**entry, "comment": 1} for entry in VGGSS])
    write_json(tmp_path / "mine_box.json", [boxed for boxed, _ in FRAMED["avsbench_ms3"]])
    write_json(tmp_path / "broken.json", [{"image": "a", "audio": "b", "gt_box": [1]}])
    (tmp_path / "list.txt").write_text("\n".join([CLIPS[0], CLIPS[1], "what is this"]))
    (tmp_path / "README.txt").write_text("Read me.\nThank you.\n")
    found = validate_data(tmp_path)
    assert [row["file"] for row in records(found, "lists")] == ["list.txt", "mine_box.json", "vggss.json"]
    assert told(found, "error") == [
        "broken.json: entry 0 (a): found [1] for 'gt_box', expected a box [x0, y0, x1, y1] of numbers. "
        "Correct the entry. Or take the file away."
    ]
    warned = "\n".join(told(found, "warning"))
    assert "vggss.json: found 2 rows, published with 5158" in warned
    assert "vggss.json: found numbers far outside the image in 1 samples (Db6Hjt0x28k_000056)" in warned
    assert "list.txt: found 1 ids of neither VGGSound's form nor Flickr's (first: what is this)" in warned
    noted = "\n".join(told(found, "note"))
    assert "vggss.json: found keys that nothing reads: 'comment' in 2" in noted
    assert "mine_box.json: found 4 paths of another machine (first: /mnt/lynx3/" in noted


def test_any_list_can_be_checked_for_clips_that_are_scored(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(bundled_ids("flickr")[0])
    (tmp_path / "clean.txt").write_text(CLIPS[0])
    found = validate_data(tmp_path / "nowhere", train_lists=[tmp_path / "mine.txt", tmp_path / "clean.txt"])
    assert [row["file"] for row in records(found, "lists")] == ["mine.txt", "clean.txt"]
    assert [text.partition(":")[0] for text in told(found, "error")] == ["mine.txt"]
    with pytest.raises(DataError, match="the list of ids cannot be read"):
        validate_data(tmp_path, train_lists=[tmp_path / "none.txt"])


def test_what_cannot_be_examined(tmp_path: Path) -> None:
    for root, there in (
        (tmp_path, "a folder without annotations.json, known lists"),
        (tmp_path / "no", "no such folder"),
    ):
        assert [f"found {there}" in text for text in told(validate_data(root), "error")] == [True]
    with pytest.raises(RecipeError, match="Did you mean 'vggss'"):
        validate_data(tmp_path, "vgss")
    with pytest.raises(RecipeError, match=r"has no option 'lst'. Did you mean 'list'"):
        validate_data(tmp_path, "vggss", {"lst": 3})
    with pytest.raises(DataError, match="composed scenes have no files"):
        validate_data(tmp_path, "scenes")
