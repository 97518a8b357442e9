"""Lists as their authors wrote them: odd forms are read and told, what cannot be meant is an error."""

from pathlib import Path

import pytest

from soundspot.data.datasets.annotation_files import (
    FRACTION_BOX_FIELDS,
    read_entries,
    read_ids,
    read_json,
    read_negatives,
)
from soundspot.data.datasets.clip_ids import id_format, normalize_clip_id, to_millisecond_id, youtube_id
from soundspot.data.datasets.lists import BUNDLED_LISTS, SUBSETS, bundled_ids, find_excluded_ids, list_ids
from soundspot.errors import DataError


@pytest.mark.parametrize(
    ("name", "id", "kind", "video"),
    [
        ("zpWuikVorYg_000032", "zpWuikVorYg_000032", "vggsound", "zpWuikVorYg"),
        ("zpWuikVorYg_32000_42000", "zpWuikVorYg_000032", "vggsound", "zpWuikVorYg"),
        ("a_b_-000000_0_10000", "a_b_-000000_000000", "vggsound", "a_b_-000000"),
        ("a_b_0000001_000005.jpg", "a_b_0000001_000005", "vggsound", "a_b_0000001"),
        ("zpWuikVorYg_32000_43000", "zpWuikVorYg_32000_43000", "", ""),
        ("videos2/1/4/2914372362.mp4", "2914372362", "flickr", ""),
        ("10000130166.jpg", "10000130166", "flickr", ""),
        ("zpWuikVorYg", "zpWuikVorYg", "", "zpWuikVorYg"),
        ("my clips/one.two", "my clips/one.two", "", ""),
    ],
)
def test_the_forms_of_an_id_are_brought_to_one(name: str, id: str, kind: str, video: str) -> None:
    assert normalize_clip_id(name) == id
    assert (id_format(id), youtube_id(id)) == (kind, video)


def test_milliseconds_and_back() -> None:
    for id in ("zpWuikVorYg_000032", "a_b_-000000_000000"):
        assert normalize_clip_id(to_millisecond_id(id)) == id
    assert to_millisecond_id("2914372362") == "2914372362"


def test_a_list_is_read_as_it_is_and_what_is_odd_is_told(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"\xef\xbb\xbfid,x\r\n1,1\r\n2,2\r\n\r\n1,3\r\n1\r\n3")
    found = read_ids(path)
    assert found.ids == ("1", "2", "3")
    assert found.duplicates == ("1", "1")
    assert found.quirks == ("a byte order mark", "CRLF line ends", "no final newline", "1 empty lines", "a header row")
    assert read_ids(path, verbatim=True).ids == ("1", "2", "3")


def test_vggsounds_own_table_names_clips_too(tmp_path: Path) -> None:
    (tmp_path / "vggsound.csv").write_text('---g-f_I2yQ,1,"people, marching",test\n--0PQM4-hqg,30,waterfall,train\n')
    assert read_ids(tmp_path / "vggsound.csv").ids == ("---g-f_I2yQ_000001", "--0PQM4-hqg_000030")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "the list of ids is empty"),
        (b"\r\n\r\n", "the list of ids is empty"),
        (b"\xff\xfe1\x002", "the list of ids cannot be read .* expected a text file in UTF-8"),
    ],
)
def test_what_is_no_list(tmp_path: Path, raw: bytes, said: str) -> None:
    (tmp_path / "list.txt").write_bytes(raw)
    with pytest.raises(DataError, match=said):
        read_ids(tmp_path / "list.txt")


def test_tables_of_negatives(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_bytes(b"video,audio,label\r\n1,2,non-sounding\r\n\r\n3,3,non-sounding")
    assert [(row.video, row.audio) for row in read_negatives(path)] == [("1", "2"), ("3", "3")]
    for text, said in (
        ("1,2,x\n", "found the header '1,2,x', expected video,audio"),
        ("video,audio\n1\n", "line 2: found '1'"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=said):
            read_negatives(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "found no valid JSON"),
        ("[" * 100_000, "found no valid JSON"),
        ('{"a": 1}', "found {'a': 1}, expected a list of entries"),
        ("[]", r"found \[\], expected a list of entries"),
        ("[3]", "entry 0: found 3, expected an object with file, class, bbox"),
        ('[{"file": "a", "class": "b", "bbox": [1, 2, 3, 4]}]', r"entry 0 \(a\): found \[1, 2, 3, 4\] for 'bbox'"),
    ],
)
def test_what_is_no_list_of_entries(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "boxes.json").write_text(text)
    with pytest.raises(DataError, match=said):
        read_entries(tmp_path / "boxes.json", FRACTION_BOX_FIELDS, "file")


def test_exclusions_are_files_and_names_together(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("AAAAAAAAAAA_1000_11000\nBBBBBBBBBBB\n")
    covered = ["AAAAAAAAAAA_000001", "BBBBBBBBBBB_000777", "10000130166", "AAAAAAAAAAA_1000_11000"]
    others = ["AAAAAAAAAAA_000002", "zpWuikVorYg_000032"]
    assert find_excluded_ids([*covered, *others], [tmp_path / "mine.txt", "flickr"]) == covered


def test_the_lists_that_travel_are_the_authors_own(annotations: Path) -> None:
    def listed(name: str) -> list[str]:
        return [*read_ids(annotations / name).ids]

    assert [*bundled_ids("vggss")] == listed("vggss_test.csv")
    assert [*bundled_ids("flickr")] == listed("flickr_test.csv")
    for name, file in (
        ("heard", "vggss_heard_test.csv"),
        ("unheard", "vggss_unheard_test.csv"),
        ("4655", "ours_vggss.txt"),
    ):
        assert set(list_ids(name, "vggss")) == set(listed(file))
    assert [*list_ids("249", "flickr")] == listed("flickr_test_249.csv")
    outside = [row.video for row in read_negatives(annotations / "vggss_test_plus_silent.csv")]
    assert [*bundled_ids("extended_vggss")] == [id for id in outside if id not in bundled_ids("vggss")]
    for name, file in (("avsbench_s4", "s4_box.json"), ("avsbench_ms3", "ms3_box.json")):
        sounds = (Path(entry["audio"]).stem[:11] for entry in read_json(annotations / file))
        assert [*bundled_ids(name)] == list(dict.fromkeys(sounds))


def test_the_lists_that_travel_are_whole() -> None:
    assert {name: len(bundled_ids(name)) for name in BUNDLED_LISTS} == {
        "vggss": 5158,
        "extended_vggss": 379,
        "flickr": 250,
        "avsbench_s4": 740,
        "avsbench_ms3": 54,
    }
    counts = {part: len(list_ids(part, name)) for name, known in SUBSETS.items() for part in known}
    assert counts == {"5158": 5158, "4655": 4655, "heard": 2564, "unheard": 2575, "250": 250, "249": 249}
