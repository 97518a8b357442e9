"""Data sets one after the other keep all that samples have; ids are told apart only where they must be."""

import shutil

import pytest

from soundspot.config.frontend import PRESETS
from soundspot.config.schema import describe_supervision
from soundspot.data.datasets.registry import fitting_options, open_dataset
from soundspot.errors import RecipeError

SCENES = {"length": 3, "size": 32, "seconds": 0.2}


def concat(*members, **options):
    return open_dataset("concat", datasets=list(members), **options)


def test_samples_are_those_of_one_after_those_of_the_other(catalogue):
    first, second = open_dataset("catalog", catalogue), open_dataset("scenes", **SCENES)
    both = concat({"name": "catalog", "root": str(catalogue)}, {"name": "scenes", "options": SCENES})
    assert len(both) == len(first) + 3
    for epoch in (0, 2):
        members = [(data, i) for data in (first.at_epoch(epoch), second.at_epoch(epoch)) for i in range(len(data))]
        for index, (data, i) in enumerate(members):
            ours = both.at_epoch(epoch)
            for name in ("id", "category", "image_file", "audio_file"):
                assert getattr(ours, name)(index) == getattr(data, name)(i)
            for name in ("group", "audio_id"):
                assert getattr(ours, name)(index).partition("/")[2] == getattr(data, name)(i)
            assert ours.read_image(index).tobytes() == data.read_image(i).tobytes()
            assert ours.open_audio(index).seconds == data.open_audio(i).seconds
            assert ours.ground_truth(index).to_map(8, 8).equal(data.ground_truth(i).to_map(8, 8))
    assert both.at_epoch(2).at_epoch(0).id(len(both) - 1) == both.id(len(both) - 1)
    assert set(both.categories) == {*first.categories, *second.categories}
    with pytest.raises(IndexError):
        both.id(len(both))


def test_ids_that_occur_twice_begin_with_the_number_of_their_data_set(catalogue):
    both = concat({"name": "catalog", "repeat": 2}, {"name": "scenes", "options": SCENES}, root=str(catalogue))
    ids = [both.id(index) for index in range(len(both))]
    assert len({*ids}) == len(ids) == 19
    assert (ids[0], ids[8], ids[-1][:2]) == ("0/images/bell/0.png", "1/images/bell/0.png", "2/")
    assert both.group(8) == both.group(0) == ids[0]  # copies share their images
    pairs = [[both.at_epoch(epoch).audio_id(8 * turn + i)[2:] for i in range(8)] for epoch in (0, 1) for turn in (0, 1)]
    alone = [open_dataset("catalog", catalogue).at_epoch(epoch) for epoch in range(4)]
    assert pairs == [[data.audio_id(i) for i in range(8)] for data in alone]


def test_files_of_one_name_in_two_data_sets_are_never_taken_for_one(tmp_path, catalogue):
    """Pairs change in each epoch, so ids that differ in the first may be alike in another."""
    shutil.copytree(catalogue, tmp_path / "other")
    both = concat({"name": "catalog", "root": str(catalogue)}, {"name": "catalog", "root": str(tmp_path / "other")})
    half = len(both) // 2
    for epoch in range(3):
        data = both.at_epoch(epoch)
        for name in ("group", "audio_id"):
            first, second = ({getattr(data, name)(i) for i in rows} for rows in (range(half), range(half, 2 * half)))
            assert first.isdisjoint(second)


def test_scenes_of_a_repeat_are_other_scenes_of_other_ids():
    both = concat({"name": "scenes", "options": SCENES, "repeat": 2})
    ids = [both.at_epoch(epoch).id(index) for epoch in (0, 1) for index in range(6)]
    assert len({*ids}) == 12
    assert not any("/" in id for id in ids)


def test_ground_truth_to_train_on_is_that_of_the_data_sets_that_offer_it(catalogue):
    marked = {"name": "scenes", "options": SCENES | {"train_ground_truth": "own"}}
    both = concat({"name": "catalog", "root": str(catalogue)}, marked)
    assert both.has_train_ground_truth
    assert both.read_train_ground_truth(0) is None
    assert both.read_train_ground_truth(8).mask.any()
    assert not concat({"name": "scenes", "options": SCENES}).has_train_ground_truth
    outer = concat({"name": "catalog", "root": str(catalogue)}, train_ground_truth="own")
    assert outer.read_train_ground_truth(0).boxes
    recipe = {"data": {"name": "concat", "options": {"datasets": [marked]}}}
    assert "annotated images" in describe_supervision(recipe)[0]
    assert describe_supervision({"data": {"options": {"datasets": [{"name": "scenes"}]}}}) == ()


def test_a_test_set_among_them_makes_a_test_set(catalogue):
    member = {"name": "catalog", "root": str(catalogue), "options": {"split": "test"}}
    both = concat(member, {"name": "scenes", "options": SCENES})
    assert both.split == "test"
    assert concat({"name": "catalog", "root": str(catalogue)}).split == "train"
    with pytest.raises(RecipeError, match="nothing is fitted on a test set"):
        fitting_options("concat", PRESETS["ezvsl"], {"datasets": [member]})


@pytest.mark.parametrize(
    "member",
    [
        {"root": "x"},
        {"name": "scenes", "length": 3},
        {"name": "scenes", "repeat": 0},
        "catalog",
        {"name": 3},
        {"name": "scenes", "options": [1]},
    ],
)
def test_a_member_that_is_not_understood_is_shown(member):
    with pytest.raises(RecipeError, match="among `datasets`, expected keys name, root, options, repeat"):
        concat(member)
    with pytest.raises(RecipeError, match="found no `datasets`"):
        concat()
    for datasets in ("catalog", None, {"name": "scenes"}):
        with pytest.raises(RecipeError, match="expected a list"):
            open_dataset("concat", datasets=datasets)
