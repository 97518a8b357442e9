"""VGG-SS from each layout, its lists, its odd boxes, and its negatives."""

from pathlib import Path

import numpy as np
import pytest
import torch

from soundspot.data.datasets.lists import bundled_ids
from soundspot.data.datasets.registry import open_dataset
from soundspot.errors import DataError, RecipeError
from soundspot.types import AudioVisualDataset
from trees import VGGSS, milliseconds, put, write_json

IDS = [entry["file"] for entry in VGGSS]
TREES = {
    "ezvsl": ("frames/{}.jpg", "audio/{}.wav", str),
    "sslalignment": ("VGGSound_img/{}/image_050.jpg", "VGGSound_aud/{}.wav", milliseconds),
    "ssltie": ("frame/{}.jpg", "audio/{}.wav", str),
}


def build(root: Path, layout: str = "ezvsl") -> Path:
    """Two clips with boxes, and a list of them in the form of the layout's owner."""
    picture, sound, named = TREES[layout]
    put(root, [picture.format(named(id)) for id in IDS], [sound.format(named(id)) for id in IDS])
    write_json(root / "metadata" / "vggss.json", VGGSS)
    (root / "list.txt").write_text("\n".join(map(named, IDS)))
    return root


def published(boxes: list[list[float]]) -> np.ndarray:
    """The map that kaistmm/SSLalignment's loader makes of the boxes of a clip, written out."""
    found = np.zeros((224, 224))
    for xmin, ymin, xmax, ymax in [(np.clip(np.array(box), 0, 1) * 224).astype(int) for box in boxes]:
        one = np.zeros((224, 224))
        one[ymin:ymax, xmin:xmax] = 1
        found += one
    found[found > 0] = 1
    return found


@pytest.mark.parametrize("layout", TREES)
def test_each_layout_is_found_by_its_folders(tmp_path: Path, layout: str) -> None:
    root = build(tmp_path, layout)
    data = open_dataset("vggss", root, list=root / "list.txt")
    assert isinstance(data, AudioVisualDataset)
    assert data.name == "vggss/list"
    assert [data.id(i) for i in range(2)] == IDS, "ids in milliseconds are the same clips"
    assert [data.category(i) for i in range(2)] == ["elk bugling", "playing timbales"]
    assert [data.group(i) for i in range(2)] == IDS
    assert data.read_image(0).size == (8, 6)
    assert data.read_audio(0).rate == 16000


def test_boxes_are_fractions_cut_as_published(tmp_path: Path) -> None:
    root = build(tmp_path)
    data = open_dataset("vggss", root, list=root / "list.txt")
    for index, entry in enumerate(VGGSS):
        truth = data.ground_truth(index)
        assert (truth.width, truth.rule, len(truth.boxes), truth.present) == (1, "union", len(entry["bbox"]), True)
        assert np.array_equal(truth.to_map(224, 224).numpy(), published(entry["bbox"]))


def test_ssl_ties_own_boxes_are_read_where_the_json_is_absent(tmp_path: Path) -> None:
    root = build(tmp_path, "ssltie")
    (root / "metadata" / "vggss.json").unlink()
    for id in IDS:
        (root / "anno").mkdir(exist_ok=True)
        corners = "".join(f"<{c}>{x}</{c}>" for c, x in zip("abcd", (0.1, 0.2, 0.5, 1.0), strict=True))
        (root / "anno" / f"{id}.xml").write_text(f"<clip><bbox><box>{corners}</box></bbox></clip>")
    data = open_dataset("vggss", root, list=root / "list.txt")
    assert data.ground_truth(0).to_map(10, 10).sum() == 4 * 8
    (root / "anno" / f"{IDS[1]}.xml").unlink()
    with pytest.raises(DataError, match=r"of 2 samples 1 lack 1 files \(first: .*Db6Hjt0x28k_000056.xml\)"):
        open_dataset("vggss", root, list=root / "list.txt")


def test_files_that_are_not_there_are_refused_skipped_or_not_asked_for(tmp_path: Path) -> None:
    root = build(tmp_path)
    (root / "audio" / f"{IDS[1]}.wav").unlink()
    said = rf"{root}: of 2 samples 1 lack 1 files \(first: audio/{IDS[1]}.wav\)"
    with pytest.raises(DataError, match=rf"{said}. Fetch them, or .* `missing: skip`, or score .* `missing: ignore`"):
        open_dataset("vggss", root, list=root / "list.txt")
    with pytest.warns(UserWarning, match=said):
        skipping = open_dataset("vggss", root, list=root / "list.txt", missing="skip")
    assert (len(skipping), skipping.skipped) == (1, (IDS[1],))
    unchecked = open_dataset("vggss", root / "metadata", list=root / "list.txt", missing="ignore")
    assert (len(unchecked), unchecked.category(1), unchecked.ground_truth(1).present) == (2, "playing timbales", True)


def test_what_is_missing_or_misspelt_is_told(tmp_path: Path) -> None:
    root = build(tmp_path)
    with pytest.raises(DataError, match=r"of 5158 clips in the list '5158' 5156 have no entry \(first: gEvCUcZ6w88"):
        open_dataset("vggss", root)
    with pytest.raises(DataError, match=r"found '4911', neither a file nor a list of vggss. Did you mean|There are"):
        open_dataset("vggss", root, list=4911)
    with pytest.raises(RecipeError, match="missing: found 'skipp', expected 'error' or 'skip' or 'ignore'"):
        open_dataset("vggss", root, list=root / "list.txt", missing="skipp")
    (root / "metadata" / "vggss.json").unlink()
    with pytest.raises(DataError, match=r"found no vggss.json or .*, expected the authors' annotation file"):
        open_dataset("vggss", root, list=root / "list.txt")
    with pytest.raises(DataError, match=rf"{tmp_path / 'nowhere'}: found no vggss.json"):
        open_dataset("vggss", root, list=root / "list.txt", annotations=tmp_path / "nowhere")


def test_rows_that_repeat_a_clip_are_counted(tmp_path: Path) -> None:
    root = build(tmp_path)
    (root / "list.txt").write_text("\n".join([IDS[0], milliseconds(IDS[0]), IDS[1]]))
    with pytest.warns(UserWarning, match=rf"1 rows repeat a clip \({IDS[0]}\); each is used once"):
        assert len(open_dataset("vggss", root, list=root / "list.txt")) == 2


def test_the_extended_set_asks_pictures_with_sounds_that_are_not_theirs(tmp_path: Path) -> None:
    root = build(tmp_path)
    outside = "9PmzQI8ZYpg_000147"
    put(root, [f"frames/{outside}.jpg"], [f"audio/{outside}.wav"])
    rows = ["video,audio,label", f"{IDS[0]},{IDS[1]},non-sounding", f"{outside},{outside},non-sounding"]
    (root / "metadata" / "vggss_test_plus_silent.csv").write_bytes("\r\n".join(rows).encode())
    data = open_dataset("extended_vggss", root, list=root / "list.txt")
    found = [(data.id(i), data.group(i), data.category(i), data.ground_truth(i).present) for i in range(len(data))]
    assert found == [
        (IDS[0], IDS[0], "elk bugling", True),
        (IDS[1], IDS[1], "playing timbales", True),
        (f"{IDS[0]}+{IDS[1]}", IDS[0], "playing timbales", False),
        (f"{outside}+{outside}", outside, "", False),
    ]
    assert not data.ground_truth(2).to_map(224, 224).any()
    assert data.samples[2].image.endswith(f"frames/{IDS[0]}.jpg")
    assert data.samples[2].audio.endswith(f"audio/{IDS[1]}.wav")


@pytest.mark.usefixtures("one_thread")
def test_all_of_vggss(annotations: Path) -> None:
    """Every truth equals the published formula, overflows included; the lists are parts of the 5158."""
    from soundspot.data.datasets.annotation_files import read_json

    data = open_dataset("vggss", annotations, missing="ignore")
    entries = {entry["file"]: entry for entry in read_json(annotations / "vggss.json")}
    assert len(data) == len(entries) == 5158
    assert len({data.category(i) for i in range(len(data))}) == 221
    for index in range(len(data)):
        assert np.array_equal(
            data.ground_truth(index).to_map(224, 224).numpy(), published(entries[data.id(index)]["bbox"])
        )
    for list, n in ((4655, 4655), ("heard", 2564), ("unheard", 2575)):
        part = open_dataset("vggss", annotations, list=list, missing="ignore")
        assert len(part) == n
    named = open_dataset("vggss", annotations, list=annotations / "ours_vggss.txt", missing="ignore")
    four = open_dataset("vggss", annotations, list="4655", missing="ignore")
    assert {clip.id for clip in named.samples} == {clip.id for clip in four.samples}
    assert torch.equal(
        named.ground_truth(0).to_map(9, 9), data.ground_truth(bundled_ids("vggss").index(named.id(0))).to_map(9, 9)
    )


def test_all_of_extended_vggss(annotations: Path) -> None:
    data = open_dataset("extended_vggss", annotations, missing="ignore")
    assert len(data) == 2 * 5158
    assert sum(data.ground_truth(i).present for i in range(len(data))) == 5158
    assert len({data.group(i) for i in range(len(data))}) == 5158 + 379
