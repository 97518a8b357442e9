"""What is stored: each image and sound once, and as many variants as its views need."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from soundspot.config.schema import FeatureCacheConfig, Recipe, TrainConfig, ViewsConfig
from soundspot.data.datasets.registry import open_dataset
from soundspot.scenes import open_scenes
from soundspot.scenes.write import write_catalog
from soundspot.training.feature_plan import RepeatedEpochs, count_epochs, identify_variants, list_items, variant_ranges
from soundspot.types import AudioVisualDataset


@pytest.mark.parametrize(
    ("modality", "views", "expected"),
    [
        ("image", {"base_view": "unaugmented", "multi_view": False}, {"plain": (0, 1)}),
        ("image", {"base_view": "unaugmented"}, {"plain": (0, 1), "augmented": (1, 4)}),
        ("image", {"semantic": True}, {"plain": (0, 3), "augmented": (3, 6), "neighbour": (0, 3)}),
        ("image", {"modalities": "audio"}, {"plain": (0, 3)}),
        ("audio", {"semantic": True}, {"plain": (0, 1), "augmented": (1, 4), "neighbour": (4, 7)}),
        (
            "audio",
            {"base_audio_window": "random", "semantic": True, "multi_view": False},
            {"plain": (0, 3), "neighbour": (0, 3)},
        ),
        ("audio", {"spec_augment": "mended", "multi_view": False}, {"plain": (0, 3)}),
    ],
)
def test_variants_are_those_that_views_draw(modality: str, views: dict, expected: dict) -> None:
    ranges = variant_ranges(ViewsConfig(**{"semantic": False, **views}), modality, 3)  # type: ignore[arg-type]
    assert {view: (numbers.start, numbers.stop) for view, numbers in ranges.items()} == expected


def test_features_serve_methods_with_and_without_neighbors_whose_view_is_the_base_view() -> None:
    base = {"plain": range(3)}
    assert identify_variants({**base, "neighbour": range(3)}) == identify_variants(base) == {"plain": [0, 3]}
    assert identify_variants({**base, "neighbour": range(3, 6)})["neighbour"] == [3, 6]


def test_images_and_sounds_of_a_catalog_that_pairs_anew_are_listed_once(tmp_path: Path) -> None:
    write_catalog(open_scenes("scenes", length=16, size=32, seconds=0.1, categories=3), tmp_path / "catalog")
    file = tmp_path / "catalog" / "annotations.json"
    annotations = json.loads(file.read_text())
    for image in annotations["images"]:
        del image["sound"]
    file.write_text(json.dumps(annotations))
    data = open_dataset("catalog", tmp_path / "catalog")
    assert data.at_epoch(1).audio_id(0) != data.audio_id(0) or data.at_epoch(2).audio_id(0) != data.audio_id(0)
    images, sounds = (list_items(data, modality, 5, False) for modality in ("image", "audio"))  # type: ignore[arg-type]
    assert len(images) == len({data.group(i) for i in range(len(data))})
    assert sorted(sounds.ids) == sorted({data.at_epoch(e).audio_id(i) for e in range(5) for i in range(len(data))})
    for epoch in range(5):
        samples = data.at_epoch(epoch)
        assert [sounds.ids[j] for j in sounds.positions[epoch]] == [samples.audio_id(i) for i in range(len(data))]
    for number, (epoch, index) in enumerate(sounds.sources):
        assert data.at_epoch(epoch).audio_id(index) == sounds.ids[number]


def test_ground_truth_belongs_to_samples_and_not_to_images() -> None:
    data = open_dataset("scenes-interactive", length=3, size=32)
    assert [len(list_items(data, "image", 1, with_ground_truth)) for with_ground_truth in (False, True)] == [3, 6]


def test_frames_that_an_epoch_draws_are_told_apart_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_dataset("scenes", length=3, size=32, regenerate=False)
    monkeypatch.setattr(type(data), "count_frames", lambda self: 2)
    assert [len(list_items(data, modality, 2, False)) for modality in ("image", "audio")] == [6, 3]  # type: ignore[arg-type]


def test_epochs_repeat_and_everything_else_is_the_data_sets_own(tmp_path: Path) -> None:
    data = open_dataset("scenes", length=3, size=32)
    twice = RepeatedEpochs(data, 2)
    assert isinstance(twice, AudioVisualDataset)
    assert (len(twice), twice.name, twice.categories) == (3, data.name, data.categories)
    ids = [twice.at_epoch(epoch).id(0) for epoch in range(4)]
    assert ids[:2] == ids[2:]
    assert ids[0] != ids[1]
    assert twice.id(0) == ids[0]
    assert (count_epochs(data, 4), count_epochs(open_dataset("scenes", regenerate=False), 4)) == (4, 1)


def test_files_of_samples_are_known(tmp_path: Path) -> None:
    for folder in ("frames", "audio"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "frames" / "a.jpg")
    soundfile.write(tmp_path / "audio" / "a.wav", np.zeros(800), 16000)
    data = open_dataset("pairs", tmp_path)
    assert data.image_file(0) == str(tmp_path / "frames" / "a.jpg")
    assert data.audio_file(0) == str(tmp_path / "audio" / "a.wav")
    assert open_dataset("scenes").image_file(0) == open_dataset("scenes").audio_file(0) == ""


def test_an_epoch_of_repeated_ones_repeats_too() -> None:
    """Whoever holds one epoch and asks it for the next stays within those that are stored."""
    scenes = open_scenes("scenes", length=3, size=32, seconds=0.1)
    data = RepeatedEpochs(scenes, 2)
    for epoch in range(5):
        data = data.at_epoch(epoch)
        assert data.id(0) == scenes.at_epoch(epoch % 2).id(0)


def test_features_of_a_seed_of_their_own_serve_every_training() -> None:
    views = ViewsConfig(semantic=False)
    own, shared = (
        [Recipe(views=views, train=TrainConfig(seed=k), feature_cache=FeatureCacheConfig(seed=s)) for k in (1, 2)]
        for s in (None, 7)
    )
    assert [recipe.stored_views_seed for recipe in own] == [1, 2]
    assert [recipe.stored_views_seed for recipe in shared] == [7, 7]
