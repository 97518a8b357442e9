"""Flickr-SoundNet's test set: XML of several annotators from any layout, and XML that is out to do harm."""

from pathlib import Path

import numpy as np
import pytest

from soundspot.data.datasets.registry import open_dataset
from soundspot.errors import DataError
from trees import put

IDS = ("10000130166", "10437048305")
XML = (
    "<ann>"
    "<annotator><bbox><id>0</id><xmin>30</xmin><ymin>40</ymin><xmax>200</xmax><ymax>220</ymax></bbox></annotator>"
    "<annotator><name>b</name><bbox><id>0</id><a>100</a><b>40</b><c>256</c><d>220</d></bbox></annotator>"
    "<annotator><bbox><id>0</id><xmin>150</xmin><ymin>0</ymin><xmax>160</xmax><ymax>256</ymax></bbox></annotator>"
    "</ann>"
)
TREES = {
    "ezvsl": ("frames/{}.jpg", "audio/{}.wav", "Annotations/{}.xml"),
    "ssltie": ("frame/{}.jpg", "mp3/{}.mp3", "anno/{}.xml"),
    "sslalignment": (
        "Flickr_Sound_Top5_Dataset_img_test/{}.mp4/00007.jpg",
        "Flickr_Sound_Top5_Dataset_wav_test/{}.wav",
        "{}.xml",
    ),
    "flat": ("{}.jpg", "{}.wav", "{}.xml"),
}


def build(root: Path, layout: str = "ezvsl", xml: str = XML) -> Path:
    picture, sound, annotation = TREES[layout]
    put(root, map(picture.format, IDS), map(sound.format, IDS))
    for id in IDS:
        (root / annotation.format(id)).parent.mkdir(exist_ok=True)
        (root / annotation.format(id)).write_text(xml)
    (root / "list.csv").write_bytes(b"10000130166,202\r\n10437048305,0\r\n")
    return root


def published(boxes: list[list[int]]) -> np.ndarray:
    """The consensus of EZ-VSL's loader, written out."""
    found = np.zeros((224, 224))
    for box in boxes:
        xmin, ymin, xmax, ymax = (int(224 * int(v) / 256) for v in box)
        one = np.zeros((224, 224))
        one[ymin:ymax, xmin:xmax] = 1
        found += one
    return np.minimum(found / 2, 1)


@pytest.mark.parametrize("layout", TREES)
def test_each_layout_is_found_and_its_truth_is_the_consensus(tmp_path: Path, layout: str) -> None:
    root = build(tmp_path, layout)
    data = open_dataset("flickr", root, list=root / "list.csv")
    assert [data.id(i) for i in range(len(data))] == list(IDS)
    truth = data.ground_truth(0)
    assert (truth.width, truth.height, truth.rule) == (256, 256, "consensus")
    assert [box.annotator for box in truth.boxes] == [0, 1, 2]
    expected = published([[30, 40, 200, 220], [100, 40, 256, 220], [150, 0, 160, 256]])
    assert np.array_equal(truth.to_map(224, 224).numpy(), expected)
    assert data.read_image(1).size == (8, 6)
    assert data.read_audio(1).rate == 16000


def test_the_extended_set(tmp_path: Path) -> None:
    root = build(tmp_path)
    (root / "flickr_test_plus_silent.csv").write_text(f"video,audio,label\r\n{IDS[0]},{IDS[1]},non-sounding")
    data = open_dataset("extended_flickr", root, list=root / "list.csv")
    assert [data.id(i) for i in range(3)] == [*IDS, "+".join(IDS)]
    assert [data.ground_truth(i).present for i in range(3)] == [True, True, False]
    assert (data.group(2), data.ground_truth(2).rule) == (IDS[0], "consensus")


def test_a_missing_annotation_counts_as_a_missing_file(tmp_path: Path) -> None:
    root = build(tmp_path)
    (root / "Annotations" / f"{IDS[1]}.xml").unlink()
    with pytest.raises(DataError, match=rf"of 2 samples 1 lack 1 files \(first: {root}/Annotations/{IDS[1]}.xml\)"):
        open_dataset("flickr", root, list=root / "list.csv")
    unchecked = open_dataset("flickr", root, list=root / "list.csv", missing="ignore")
    assert unchecked.ground_truth(0).present
    with pytest.raises(DataError, match=rf"{IDS[1]}.xml: found no readable XML .*No such file"):
        unchecked.ground_truth(1)


BOMB = '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><ann><annotator>&b;</annotator></ann>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><ann><annotator><bbox>&x;</bbox></annotator></ann>'


@pytest.mark.parametrize(
    ("xml", "said"),
    [
        (BOMB, "found a document type or entities .*, expected plain XML. Nothing of it was read"),
        (OUTSIDE, "found a document type or entities"),
        ('<!DOCTYPE a SYSTEM "http://host/a.dtd"><ann/>', "found a document type or entities"),
        ("<ann><annotator>&other;</annotator></ann>", "found no readable XML"),
        ("<ann><annotator>", "found no readable XML"),
        ("", "found no readable XML"),
        ("<a><b><bbox><i/><x>1</x><y>2</y><z>3</z></bbox></b></a>", r"found a box of \['1', '2', '3'\], expected xmin"),
        ("<a><b><bbox><i/><x>1</x><y>2</y><z>3</z><u>many</u></bbox></b></a>", "found a box of .*'many'"),
        ("<a><bbox><box><x>0.1</x></box></bbox></a>", "found no <bbox> two levels below the root"),
    ],
    ids=[
        "entities that grow",
        "an outside file",
        "an outside type",
        "unknown",
        "cut",
        "empty",
        "three",
        "text",
        "tie's",
    ],
)
def test_xml_that_is_wrong_or_out_to_do_harm_is_refused(tmp_path: Path, xml: str, said: str) -> None:
    root = build(tmp_path, xml=xml)
    data = open_dataset("flickr", root, list=root / "list.csv")
    with pytest.raises(DataError, match=rf"{IDS[0]}.xml: {said}"):
        data.ground_truth(0)


def test_all_of_flickr(annotations: Path) -> None:
    whole = open_dataset("flickr", annotations, missing="ignore")
    part = open_dataset("flickr", annotations, list=249, missing="ignore")
    assert (len(whole), len(part)) == (250, 249)
    assert {clip.id for clip in whole.samples} - {clip.id for clip in part.samples} == {"3908875350"}
    for name in ("flickr_test.csv", "test_flickr_250.txt"):
        listed = open_dataset("flickr", annotations, list=annotations / name, missing="ignore")
        assert [clip.id for clip in listed.samples] == [clip.id for clip in whole.samples]
    extended = open_dataset("extended_flickr", annotations, missing="ignore")
    assert len(extended) == 500
    assert len({clip.group for clip in extended.samples}) == 250
