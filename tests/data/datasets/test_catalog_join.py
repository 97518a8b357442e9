"""Several catalog folders are one catalog: ids and files below their parent, groups of one name in one split."""

import json

import pytest

from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.registry import open_dataset
from soundspot.errors import DataError


@pytest.fixture
def joined(catalogue, spoiled):
    """Two folders below one parent: `tiny`, and `spoiled`, whose groups have other names."""

    def rename(document):
        for entry in [*document["images"], *document["audio"]]:
            entry["group"] = f"other-{entry['group']}"

    spoiled(rename)
    return catalogue.parent


def test_folders_are_one_catalog_with_ids_below_their_parent(joined):
    alone, both = Catalog(joined / "tiny"), Catalog(joined, folders=["tiny", "spoiled"])
    ids = [both.id(index) for index in range(len(both))]
    assert len(set(ids)) == len(both) == 2 * len(alone)
    assert ids[: len(alone)] == [f"tiny/{alone.id(index)}" for index in range(len(alone))]
    assert both.name == "tiny+spoiled/train"
    masked = next(index for index, image in enumerate(both.images) if image.mask and image.id.startswith("spoiled/"))
    assert both.read_image(masked).size == (40, 30)
    assert both.ground_truth(masked).rule == "mask"
    assert len(both.read_audio(masked).waveform) == 1600
    pairs = {(both.group(i).split("/")[0], both.audio_id(i).split("/")[0]) for i in range(len(both))}
    assert ("tiny", "spoiled") in pairs  # recordings are shared by the category, not by the folder
    assert {recording.file.split("/")[0] for recording in both.audio_of("dog")} == {"tiny", "spoiled"}


def test_the_same_groups_are_held_out_as_of_each_folder(joined):
    held_out = {image.id for image in Catalog(joined, "val", folders=["tiny", "spoiled"], val_fraction=0.4).images}
    val, train = (Catalog(joined / "tiny", split, val_fraction=0.4) for split in ("val", "train"))
    assert {f"tiny/{image.id}" for image in val.images} <= held_out
    assert not {f"tiny/{image.id}" for image in train.images} & held_out


def test_a_group_in_two_splits_is_an_error(joined):
    file = joined / "spoiled" / "annotations.json"
    document = json.loads(file.read_text())
    train, test = (next(e for e in document["images"] if e["split"] == split) for split in ("train", "test"))
    train["group"], name = test["group"].removeprefix("other-"), test["group"].removeprefix("other-")
    file.write_text(json.dumps(document))
    with pytest.raises(DataError, match=rf"group '{name}'.*test \(tiny/.*train \(spoiled/.*rename the group"):
        Catalog(joined, folders=["tiny", "spoiled"])


@pytest.mark.parametrize("folders", [[], ["tiny", "tiny"], ["../tiny"], ["/tiny"]])
def test_folders_are_different_and_below_the_parent(joined, folders):
    with pytest.raises(DataError, match="expected one or more different catalog folders"):
        Catalog(joined, folders=folders)


def test_a_folder_that_is_no_catalog_is_named(joined):
    with pytest.raises(DataError, match=r"nowhere.*no such folder"):
        Catalog(joined, folders=["tiny", "nowhere"])


def test_cutouts_take_the_same_options(joined):
    scenes = open_dataset("cutouts", joined, folders=["tiny", "spoiled"], licenses=["CC0"], distractors=(0, 0), size=32)
    names = {scenes.audio_id(index).split("#")[0] for index in range(24)}
    assert names <= {recording.file for recording in scenes.source.catalog.audio}  # type: ignore[attr-defined]
    assert {name.split("/")[0] for name in names} == {"tiny", "spoiled"}
    assert scenes.audio_id(3).endswith(f"#{scenes.id(3)}")
