"""A catalogue pairs what belongs together, the same way every time, and keeps training and validation apart."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.catalog_format import AudioEntry
from soundspot.data.datasets.registry import open_dataset
from soundspot.errors import DataError
from soundspot.types import AudioVisualDataset


def pairs(catalogue: Catalog) -> list[str]:
    return [catalogue.audio_entry(index).file for index in range(len(catalogue))]


def test_an_item_for_each_picture_with_a_recording_of_its_category(catalogue):
    train, test = Catalog(catalogue), Catalog(catalogue, "test")
    assert isinstance(train, AudioVisualDataset)
    assert (len(train), len(test)) == (8, 4)
    assert train.categories == ("bell", "dog")
    assert train.name == "tiny/train"
    for index in range(len(train)):
        recording = train.audio_entry(index)
        assert (recording.category, recording.split) == (train.category(index), "train")
        assert train.group(index) == train.images[index].file == train.id(index)
        assert train.audio_id(index) == recording.file
        assert train.read_image(index).size == (40, 30)
        assert train.read_audio(index).rate == 8000
    assert {sound.category for sound in train.audio} == {"bell", "dog", "rain"}
    assert len(train.audio_of("rain")) == 2
    assert train.audio_of("whale") == ()


def test_truth_is_the_mask_where_there_is_one_else_the_boxes(catalogue):
    train = Catalog(catalogue)
    boxed, masked = train.ground_truth(0), train.ground_truth(1)
    assert (boxed.rule, masked.rule) == ("union", "mask")
    assert boxed.mask is None
    assert boxed.boxes[0].y1 == 20.5
    assert torch.equal(masked.to_map(30, 40), train.read_mask(train.images[1]).float())
    assert torch.equal(masked.to_map(30, 40), boxed.to_map(30, 40))  # 20.5 is cut to whole pixels
    assert masked.to_map(30, 40).sum() == 15 * 20


def test_each_epoch_of_training_deals_anew_and_evaluation_does_not(catalogue):
    train, test = Catalog(catalogue), Catalog(catalogue, "test")
    epochs = [pairs(train.at_epoch(epoch)) for epoch in range(8)]
    assert len(train.at_epoch(5)) == len(train)
    assert len({tuple(epoch) for epoch in epochs}) > 4
    assert epochs[3] == pairs(Catalog(catalogue).at_epoch(7).at_epoch(3))
    assert pairs(test.at_epoch(3)) == pairs(test)
    assert any(pairs(Catalog(catalogue, seed=seed)) != epochs[0] for seed in range(1, 6))
    for epoch in epochs:
        assert set(Counter(epoch).values()) == {2}  # 4 pictures and 2 recordings in a category: each is used twice


def test_held_out_groups_are_the_same_for_every_seed_and_in_one_split_only(catalogue):
    whole = {picture.file for picture in Catalog(catalogue).images}
    train = Catalog(catalogue, val_fraction=0.4, seed=1)
    held = Catalog(catalogue, "val", val_fraction=0.4, seed=2)
    in_train, in_val = ({picture.file for picture in part.images} for part in (train, held))
    assert in_train
    assert in_val
    assert not in_train & in_val
    assert in_train | in_val <= whole
    assert not {sound.group for sound in train.audio} & {sound.group for sound in held.audio}
    assert Catalog(catalogue, "test", val_fraction=0.4).images == Catalog(catalogue, "test").images


def test_filters(catalogue):
    assert Catalog(catalogue, categories=["dog"]).categories == ("dog",)
    assert len(Catalog(catalogue, annotation="human")) == 6
    assert len(Catalog(catalogue, licenses=["CC0"])) == 6
    with pytest.raises(DataError, match=r"no entry has the license 'CC-BY'"):
        Catalog(catalogue, licenses=["CC-BY"])
    with pytest.raises(DataError, match=r"found no image with a recording .* in split 'train' \(0 images"):
        Catalog(catalogue, annotation="drawn")


@pytest.mark.parametrize(
    ("license", "name"),
    [
        ("CC0 1.0", "CC0"),
        ("CC BY 4.0 (repository; the photographs come from a web image search)", "CC BY"),
        ("CC BY-SA 2.0", "CC BY-SA"),
        ("CC BY-NC-ND 2.0", "CC BY-NC-ND"),
        ("CC BY (version not stated)", "CC BY"),
        ("Public domain (Creative Commons Public Domain Dedication)", "Public domain"),
        ("MIT", "MIT"),
        (None, ""),
    ],
)
def test_a_license_is_known_by_its_name(license: str | None, name: str) -> None:
    entry = AudioEntry(id="a", file="a.wav", category="dog", split="train", group="a", license=license)
    assert entry.license_name == name
    assert replace(entry, unstated=True).license_name == replace(entry, non_commercial=True).license_name == ""


def test_one_picture_can_be_asked_with_several_sounds(spoiled):
    def share(document: dict) -> None:
        bell, dog = document["images"][0], document["images"][6]
        dog.update(file=bell["file"], group=bell["group"], sound="audio/rain_1.wav", boxes=[])

    train = Catalog(spoiled(share))
    assert train.id(0) == "images/bell/0.png#bell"
    assert train.id(4) == "images/bell/0.png#dog"
    assert train.group(0) == train.group(4)
    assert {train.at_epoch(epoch).audio_entry(4).file for epoch in range(4)} == {"audio/rain_1.wav"}
    assert train.ground_truth(0).present
    assert not train.ground_truth(4).present  # the rain is not in the picture


def test_entries_of_one_picture_and_category_are_told_apart_by_their_sound(spoiled):
    def share(document: dict) -> None:
        first, second = document["images"][:2]
        second.update(file=first["file"], group=first["group"])
        first["sound"], second["sound"] = "audio/bell_0.wav", "audio/rain_0.wav"

    train = Catalog(spoiled(share))
    assert train.id(0) == "images/bell/0.png#bell#audio/bell_0.wav"
    assert train.id(1) == "images/bell/0.png#bell#audio/rain_0.wav"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"categories": ["dogs"]}, "unknown category 'dogs'. Did you mean 'dog'?"),
        ({"split": "val"}, "Hold out some of train: val_fraction=0.1."),
        ({"split": "tset"}, "found split 'tset', expected train, val or test. Did you mean 'test'?"),
        ({"val_fraction": 1.0}, "found val_fraction=1.0, expected a share from 0 to below 1. Pass 0.1 for a tenth."),
    ],
)
def test_options_that_cannot_be_met(catalogue, options, said):
    with pytest.raises(DataError) as error:
        Catalog(catalogue, **options)
    assert said in str(error.value)


def test_a_mask_of_another_size_is_refused(spoiled):
    train = Catalog(spoiled(lambda document: document["images"][1].update(width=41)))
    with pytest.raises(DataError, match=r"bell_1\.png: found a mask of 40 x 30 pixels, expected 41 x 30"):
        train.ground_truth(1)


def test_realset_is_read_whole(realset):
    train, test = Catalog(realset), Catalog(realset, "test")
    assert (len(train), len(train.audio)) == (973, 728)  # its README: 1215 - 242 and 917 - 189
    assert len(test) <= 242  # some copies of the set keep part of the test split back
    assert len(test.audio) <= 189
    assert len(train.categories) == 13
    assert "background" not in train.categories
    assert train.audio_of("background")
    assert not {p.group for p in train.images} & {p.group for p in test.images}
    for index in range(0, len(test), 12):
        truth = test.ground_truth(index)
        assert truth.present
        assert (truth.width, truth.height) == test.read_image(index).size
        assert test.read_audio(index).rate == 16000


def test_the_second_real_set_is_a_catalog(realset2: Path) -> None:
    data = Catalog(realset2, split="test")
    assert len(data) > 100
    image, target = data.read_image(0), data.ground_truth(0)
    assert (image.height, image.width) == (target.height, target.width)
    assert data.read_audio(0).seconds > 0


def test_images_without_mask_and_boxes_are_no_ground_truth_to_train_on(spoiled):
    def empty(document):
        document["images"][0] |= {"boxes": [], "mask": None}

    data = open_dataset("catalog", spoiled(empty), train_ground_truth="own")
    assert data.has_train_ground_truth
    assert data.read_train_ground_truth(0) is None
    assert [data.read_train_ground_truth(i).boxes for i in range(1, 8)]
