"""Everything wrong with a catalogue is told at once, in words that name entry, found, expected and remedy."""

import json

import numpy as np
import pytest
import soundfile
from PIL import Image

from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.catalog_format import read_annotations
from soundspot.data.validation.catalog import validate_catalog
from soundspot.errors import DataError

FIRST = "images[0] (images/bell/0.png)"


def image(**change):
    return lambda document: document["images"][0].update(change)


def without(key):
    return lambda document: document["images"][0].pop(key)


SPOILS = {
    "box beyond the edge": (
        image(boxes=[[5, 5, 25, 20], [10, 0, 45.5, 20]]),
        f"{FIRST}: found box [10, 0, 45.5, 20] outside the image, expected it within 40 x 30 pixels. "
        "Correct the box, or the width and height of the entry.",
    ),
    "one box": (image(boxes=[1, 0, 20, 20]), "found one box [1, 0, 20, 20], expected a list of boxes"),
    "negative box": (image(boxes=[[-3, 0, 20, 20]]), "found box [-3, 0, 20, 20] outside the image"),
    "inverted box": (
        image(boxes=[[25, 5, 5, 20]]),
        f"{FIRST}: found box [25, 5, 5, 20] inverted or empty, expected x0 < x1 and y0 < y1. "
        "Boxes are [left, top, right, bottom], not [left, top, width, height].",
    ),
    "empty box": (image(boxes=[[5, 5, 5, 5]]), "found box [5, 5, 5, 5] inverted or empty"),
    "three numbers": (image(boxes=[[5, 5, 5]]), "found box [5, 5, 5], expected [x0, y0, x1, y1]"),
    "box of text": (image(boxes=[["a", 5, 9, 9]]), "expected [x0, y0, x1, y1]"),
    "box of NaN": (image(boxes=[[float("nan"), 5, 9, 9]]), "expected [x0, y0, x1, y1]"),
    "missing picture": (
        image(file="images/bell/77.png"),
        "images[0] (images/bell/77.png): found no file 'images/bell/77.png', expected it beside annotations.json. "
        "Fetch the file again, correct its path, or take the entry out.",
    ),
    "missing mask": (image(mask="masks/none.png"), f"{FIRST}: found no mask 'masks/none.png'"),
    "outside path": (image(file="../bell/0.png"), "expected a path inside the folder"),
    "absolute path": (image(file="/bell/0.png"), "expected a path inside the folder"),
    "unknown split": (image(split="dev"), f"{FIRST}: found split 'dev', expected train, val or test."),
    "missing key": (
        without("category"),
        f"{FIRST}: the key 'category' is missing, expected the name of what sounds. Add it to the entry.",
    ),
    "misspelt key": (
        lambda document: document["images"][0].update(boxs=document["images"][0].pop("boxes")),
        "the key 'boxes' is missing (found 'boxs')",
    ),
    "wrong type": (image(width="40"), "found '40' (str) for 'width', expected whole pixels"),
    "true is no number": (image(width=True), "found True (bool) for 'width'"),
    "no size": (image(width=0), "found a size of 0 x 30, expected pixels"),
    "unknown sound": (image(sound="audio/x.wav"), "found the sound 'audio/x.wav', expected the file of an entry"),
    "entry of text": (lambda document: document["images"].insert(0, "a.png"), "images[0] (no entry): found 'a.png'"),
    "listed twice": (
        lambda document: document["images"].append(document["images"][0]),
        "images (images/bell/0.png): found 2 entries of category 'bell', expected one. Take the others out.",
    ),
    "leak of a group": (
        image(group="photo_dog_5"),
        "group 'photo_dog_5': found on both sides of a split: train (images/bell/0.png) and test (images/dog/5.png), "
        "expected in one. Move all entries of a group to one split.",
    ),
    "leak of a file": (
        lambda document: document["audio"][0].update(file="audio/dog_2.wav"),
        "file 'audio/dog_2.wav': found on both sides of a split",
    ),
    "version": (lambda document: document.update(version=2), "annotations.json: found version 2, expected 1. Write"),
    "no list": (lambda document: document.pop("audio"), "annotations.json: found nothing for 'audio', expected a list"),
    "box format": (lambda document: document.update(box_format="xywh"), "found box_format 'xywh', expected xyxy"),
}


@pytest.mark.parametrize("name", SPOILS)
def test_an_error_is_listed_by_check_and_raised_by_the_catalogue(spoiled, name):
    change, said = SPOILS[name]
    root = spoiled(change)
    problems = validate_catalog(root).problems
    assert [said in str(problem) for problem in problems if problem.severity == "error"] == [True]
    with pytest.raises(DataError) as error:
        Catalog(root)
    assert said in str(error.value)
    assert str(error.value).startswith(str(root / "annotations.json"))


def test_all_errors_are_listed_and_the_first_raised_with_their_number(spoiled):
    def change(document):
        for entry in document["images"][:5]:
            entry["boxes"] = [[9, 9, 2, 2]]

    root = spoiled(change)
    assert len(validate_catalog(root).problems) == 5
    with pytest.raises(DataError, match=rf"images\[0\].* \(4 more: `soundspot data check {root}` lists them\.\)"):
        Catalog(root)


def test_what_is_no_catalogue(tmp_path):
    for text, said in [
        (None, "found a folder without annotations.json, expected a catalog"),
        ("{", "found no valid JSON (Expecting property name"),
        ("[]", "found [] (list), expected an object"),
        ('{"version": 1, "images": {}, "audio": []}', "found {} (dict) for 'images', expected a list"),
    ]:
        if text is not None:
            (tmp_path / "annotations.json").write_text(text)
        with pytest.raises(DataError) as error:
            Catalog(tmp_path)
        assert said in str(error.value)
        assert len(validate_catalog(tmp_path).problems) == 1
    assert "found no such folder" in str(validate_catalog(tmp_path / "nowhere").problems[0])


def test_boxes_a_rounding_beyond_the_edge_are_cut_at_it(spoiled):
    box = read_annotations(spoiled(image(boxes=[[-0.4, 0, 40.9, 30]]))).images[0].boxes[0]
    assert (box.x0, box.x1) == (0, 40)


def test_what_is_only_doubtful_is_a_warning(spoiled):
    def change(document):
        document["images"][0]["boxes"] = [[0.1, 0.1, 0.5, 0.5]]
        document["audio"] = [entry for entry in document["audio"] if entry["category"] != "dog"]

    root = spoiled(change)
    problems = validate_catalog(root).problems
    assert {problem.severity for problem in problems} == {"warning"}
    assert [str(problem) for problem in problems] == [
        f"{FIRST}: found box [0.1, 0.1, 0.5, 0.5] of less than a pixel, expected pixels. "
        "Multiply fractions by width and height.",
        "category 'dog': found 4 images in train without a recording, expected at least one. "
        "They are left out until one is added.",
        "category 'dog': found 2 images in test without a recording, expected at least one. "
        "They are left out until one is added.",
    ]
    assert Catalog(root).categories == ("bell",)


def test_reading_the_files_finds_what_the_annotations_hide(catalogue):
    assert validate_catalog(catalogue, read_files=True).problems == ()
    (catalogue / "images/bell/0.png").write_bytes((catalogue / "images/dog/5.png").read_bytes())
    (catalogue / "images/bell/1.png").write_bytes(b"nothing at all")
    (catalogue / "images/bell/3.png").write_bytes((catalogue / "images/bell/2.png").read_bytes())
    Image.fromarray(np.zeros((30, 40), bool)).save(catalogue / "masks/dog_1.png")
    Image.new("RGB", (8, 9)).save(catalogue / "images/dog/0.png")
    soundfile.write(catalogue / "audio/rain_0.wav", np.zeros(1600), 8000)
    (catalogue / "audio/rain_1.wav").write_bytes(b"nothing")
    found = {
        (problem.severity, problem.location): problem.message
        for problem in validate_catalog(catalogue, read_files=True).problems
    }
    assert found.keys() == {
        ("error", "images/bell/0.png"),
        ("error", "images/bell/1.png"),
        ("error", "images/dog/0.png"),
        ("error", "audio/rain_1.wav"),
        ("warning", "images/bell/2.png"),
        ("warning", "masks/dog_1.png"),
        ("warning", "audio/rain_0.wav"),
    }
    assert found["error", "images/bell/0.png"].startswith("found the same content as images/dog/5.png in splits test")
    assert found["error", "images/bell/1.png"].startswith("found a file of no known image format")
    assert found["error", "images/dog/0.png"] == "found 8 x 9 pixels, expected 40 x 30 as annotated"


def test_realset_has_no_problems(realset):
    assert validate_catalog(realset).problems == ()
    listed = json.loads((realset / "annotations.json").read_text())
    annotations = read_annotations(realset)
    assert len(annotations.images) == len(listed["images"])
    assert len(annotations.audio) == len(listed["audio"])
