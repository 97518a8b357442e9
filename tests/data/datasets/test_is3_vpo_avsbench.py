"""IS3, VPO and AVSBench: paths of other people's machines cut, pictures grouped, boxes and masks as truth."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from soundspot.data.datasets.registry import open_dataset
from soundspot.errors import DataError, InputError, RecipeError
from soundspot.training.checks import check_not_test_split
from trees import FILES, FRAMED, framed, write_json

RELEASED = {"visual_frames": "images", "audio_wav": "audio_waw", "gt_masks": "gt_segmentation"}
ITEMS = {
    "is3": [
        ("accordion_female_10438_accordion", "accordion_female_10438", "accordion"),
        ("accordion_female_10438_female", "accordion_female_10438", "female"),
    ],
    "vpo_ss": [("000000489267_157452", "000000489267", ""), ("000000489267_90", "000000489267", "")],
    "vpo_ms": [("000000489267_157452", "000000489267", ""), ("000000489267_90", "000000489267", "")],
    "avsbench_s4": [(f"0d9u2CymIxc_{n}", f"0d9u2CymIxc_{n}", "helicopter") for n in (1, 2)],
    "avsbench_ms3": [(f"rq5RDUm2Hnk_1.mp4_{n}", f"rq5RDUm2Hnk_1.mp4_{n}", "") for n in (1, 2)],
}


@pytest.mark.parametrize("name", FILES)
def test_an_item_is_a_picture_and_a_sound_and_knows_which_picture_it_copies(tmp_path: Path, name: str) -> None:
    data = open_dataset(name, framed(tmp_path, name))
    assert [(data.id(i), data.group(i), data.category(i)) for i in range(2)] == ITEMS[name]
    assert [data.audio_id(i) for i in range(2)] == [data.id(0 if "avsbench" in name else i) for i in range(2)]
    assert data.read_image(0).size == (8, 6)
    assert data.read_audio(0).rate == 16000
    for index, (entry, _) in enumerate(FRAMED[name]):
        truth, (x0, y0, x1, y1) = data.ground_truth(index), map(int, entry["gt_box"])
        expected = np.zeros((224, 224))
        expected[y0:y1, x0:x1] = 1
        assert truth.present
        assert np.array_equal(truth.to_map(224, 224).numpy(), expected)


@pytest.mark.parametrize("name", FILES)
def test_masks_are_read_when_they_are_asked_for(tmp_path: Path, name: str) -> None:
    root = framed(tmp_path, name)
    data = open_dataset(name, root, ground_truth="masks")
    truth = data.ground_truth(0)
    assert (truth.rule, truth.height, truth.width, truth.present) == ("mask", 32, 32, True)
    assert truth.mask is not None
    assert truth.mask[:14, :14].all()
    assert not truth.mask[18:, 18:].any()
    assert len(open_dataset(name, root, ground_truth="masks", missing="ignore")) == 2


def test_is3_is_read_under_the_names_of_its_release_too(tmp_path: Path) -> None:
    root = framed(tmp_path, "is3", RELEASED)
    for truth in ("boxes", "masks"):
        data = open_dataset("is3", root, ground_truth=truth)
        assert data.read_image(1).size == (8, 6)
    (root / "synthetic3240_bbox.json").rename(root / "IS3_annotation.json")
    (root / "synthetic3240_seg.json").unlink()
    for truth in ("boxes", "masks"):
        assert open_dataset("is3", root, ground_truth=truth).ground_truth(0).to_map(32, 32).any()
    assert open_dataset("is3", root, ground_truth="masks", missing="ignore").ground_truth(0).to_map(32, 32).any()


def test_what_was_looked_for_is_told(tmp_path: Path) -> None:
    root = framed(tmp_path, "is3")
    for file in (root / "visual_frames").iterdir():
        file.unlink()
    stem = "accordion_female_10438_accordion"
    with pytest.raises(DataError, match=rf"2 lack 2 files \(first: visual_frames/{stem}.jpg or images/{stem}.jpg, "):
        open_dataset("is3", root)
    (root / "gt_masks" / f"{stem}.jpg").write_bytes(b"no mask")
    with pytest.raises(InputError, match=rf"gt_masks/{stem}.jpg: found a file of no known image format"):
        open_dataset("is3", root, ground_truth="masks", missing="ignore").ground_truth(0)
    with pytest.raises(
        RecipeError, match=r"ground_truth: found 'mask', expected 'boxes' or 'masks'. Did you mean 'masks'"
    ):
        open_dataset("is3", root, ground_truth="mask")
    with pytest.raises(DataError, match=r"found no s4_box.json, expected the authors' annotation file"):
        open_dataset("avsbench_s4", root)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda e: e.pop("gt_box"),
            r"entry 0 \(/mnt.*\): the key 'gt_box' is missing, expected a box .*; its keys: image, a",
        ),
        (lambda e: e.update(gt_box=[1, 2, 3]), r"found \[1, 2, 3\] for 'gt_box', expected a box \[x0, y0, x1, y1\]"),
        (lambda e: e.update(gt_box=[1, 2, 3, float("nan")]), "expected a box"),
        (lambda e: e.update(image=7), "found 7 for 'image', expected text"),
        (lambda e: e.update(image="1.png"), "found the path '1.png', expected 3 components or more"),
        (lambda e: e.update(image="a/../1.png"), "expected 3 components or more"),
        (lambda e: e.update(image=FRAMED["avsbench_s4"][1][0]["image"]), "found 2 entries of .*_2.png, expected one"),
    ],
    ids=["no box", "three numbers", "NaN", "a number", "short", "outside", "twice"],
)
def test_entries_that_are_wrong_are_named(tmp_path: Path, change, said: str) -> None:
    root = framed(tmp_path, "avsbench_s4")
    entries = [dict(boxed) for boxed, _ in FRAMED["avsbench_s4"]]
    change(entries[0])
    write_json(root / "s4_box.json", entries)
    with pytest.raises(DataError, match=said) as error:
        open_dataset("avsbench_s4", root)
    assert str(root / "s4_box.json") in str(error.value)


def test_keys_nobody_knows_are_left_alone(tmp_path: Path) -> None:
    root = framed(tmp_path, "is3")
    write_json(root / "synthetic3240_bbox.json", [{**boxed, "comment": "new"} for boxed, _ in FRAMED["is3"]])
    assert len(open_dataset("is3", root)) == 2


def test_an_all_black_jpeg_shows_no_object(tmp_path: Path) -> None:
    root = framed(tmp_path, "is3")
    noise = np.random.default_rng(0).integers(0, 9, (32, 32), np.uint8)
    Image.fromarray(noise).save(root / "gt_masks" / "accordion_female_10438_accordion.jpg", quality=50)
    truth = open_dataset("is3", root, ground_truth="masks").ground_truth(0)
    assert truth.present, "the annotation is empty; the source is not said to be absent"
    assert not truth.to_map(224, 224).any()


def test_nothing_is_selected_on_it(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="this is a test split, and nothing is selected on one"):
        check_not_test_split(open_dataset("is3", framed(tmp_path, "is3")))


COUNTS = {  # items, pictures, categories
    "is3": (6480, 3240, 111),
    "vpo_ss": (890, 890, 1),
    "vpo_ms": (2157, 1432, 1),
    "avsbench_s4": (3700, 3700, 23),
    "avsbench_ms3": (320, 320, 1),
}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("truth", ["boxes", "masks"])
@pytest.mark.parametrize("name", COUNTS)
def test_the_real_lists(annotations: Path, name: str, truth: str) -> None:
    data = open_dataset(name, annotations, ground_truth=truth, missing="ignore")
    groups = Counter(data.group(i) for i in range(len(data)))
    assert (len(data), len(groups), len({data.category(i) for i in range(len(data))})) == COUNTS[name]
    if name == "is3":
        assert set(groups.values()) == {2}
    if truth == "boxes":
        empty = sum(not data.ground_truth(i).to_map(224, 224).any() for i in range(len(data)))
        assert empty == {"avsbench_s4": 6, "avsbench_ms3": 29, "vpo_ms": 2}.get(name, 0)
