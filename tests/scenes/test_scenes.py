"""Composed scenes: exact masks, no overlap, and chance that depends on the item alone."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from soundspot.errors import DataError, RecipeError
from soundspot.scenes import ProceduralSource, SceneDataset, compose, dataset, open_scenes
from soundspot.scenes.synthesis import TIMBRES
from soundspot.types import AudioVisualDataset
from soundspot.utils.hash_rng import make_generator

SOURCE = ProceduralSource()


def pixels(picture):
    return np.asarray(picture)


def same(one, two, index):
    return np.array_equal(pixels(one.read_image(index)), pixels(two.read_image(index))) and torch.equal(
        one.read_audio(index).waveform, two.read_audio(index).waveform
    )


def test_scenes_are_a_data_set():
    assert isinstance(SceneDataset(SOURCE), AudioVisualDataset)


@pytest.mark.parametrize("kind", ["train", "single", "interactive", "extended"])
def test_an_item_depends_on_neither_order_nor_history(kind):
    forwards, backwards = (SceneDataset(SOURCE, kind, length=8, seed=3, size=64) for _ in range(2))
    for index in reversed(range(len(backwards))):
        backwards.read_audio(index)
        backwards.ground_truth(index)
    assert all(same(forwards, backwards, index) for index in range(len(forwards)))


def test_an_item_is_the_same_in_another_process():
    program = """
import zlib
from soundspot.scenes import open_scenes
scenes = open_scenes("scenes", length=9, seed=5, size=64).at_epoch(2)
print(zlib.crc32(scenes.read_image(7).tobytes()), zlib.crc32(scenes.read_audio(7).waveform.numpy().tobytes()))
"""
    told = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in "ab"]
    assert told[0].stdout == told[1].stdout != ""


def test_masks_are_exact_and_disjoint():
    for index in range(30):
        scene = compose(SOURCE, SOURCE.categories[:3], (0.3, 0.4, 0.5), make_generator(1, index), 96)
        empty = compose(
            SOURCE, (), (), make_generator(1, index), 96
        )  # the background is drawn first, from the same state
        masks = torch.stack([placed.mask for placed in scene.objects])
        assert int(masks.sum(0).max()) == 1
        outside = ~masks.any(0).numpy()
        assert np.array_equal(pixels(scene.image)[outside], pixels(empty.image)[outside])
        for placed in scene.objects:
            rows, columns = np.nonzero(placed.mask.numpy())
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert box == (placed.box.x0, placed.box.y0, placed.box.x1, placed.box.y1)
            changed = (pixels(scene.image) != pixels(empty.image)).any(-1)[placed.mask.numpy()]
            assert changed.mean() > 0.95


def test_objects_that_find_no_room_shrink_together():
    scene = compose(SOURCE, SOURCE.categories[:6], (0.9,) * 6, make_generator(1), 128)
    assert int(torch.stack([placed.mask for placed in scene.objects]).sum(0).max()) == 1
    with pytest.raises(DataError, match="12 objects do not fit into 16 x 16 pixels; use fewer"):
        compose(SOURCE, SOURCE.categories, (0.9,) * 12, make_generator(1), 16)


def test_sounding_objects_are_no_larger_and_no_more_central_than_silent_ones():
    scenes = SceneDataset(SOURCE, "train", length=400, distractors=(2, 2), size=64)
    numbers = np.array(
        [
            [(p.mask.sum().item(), abs(p.box.x0 + p.box.x1 - 64) + abs(p.box.y0 + p.box.y1 - 64)) for p in s.objects]
            for s in (scenes._scene(index) for index in range(400))
        ]
    )
    sounding, silent = numbers[:, 0].mean(0), numbers[:, 1:].mean((0, 1))
    assert sounding == pytest.approx(silent, rel=0.1)


class Counting(ProceduralSource):
    """Notes what is drawn."""

    def __init__(self):
        super().__init__()
        self.drawn = set()

    def draw_object(self, *arguments):
        self.drawn.add("picture")
        return super().draw_object(*arguments)

    def draw_audio(self, *arguments):
        self.drawn.add("sound")
        return super().draw_audio(*arguments)


@pytest.mark.parametrize(
    ("read", "part"), [("read_image", "picture"), ("ground_truth", "picture"), ("read_audio", "sound")]
)
def test_a_modality_is_drawn_alone(read, part):
    source = Counting()
    getattr(SceneDataset(source), read)(3)
    assert source.drawn == {part}


def test_epochs_seeds_and_kinds_have_nothing_in_common():
    sets = [SceneDataset(SOURCE, length=20, size=32), SceneDataset(SOURCE, length=20, size=32).at_epoch(1)]
    sets += [SceneDataset(SOURCE, length=20, size=32, seed=1), SceneDataset(SOURCE, "single", length=20, size=32)]
    pictures = {scenes.read_image(index).tobytes() for scenes in sets for index in range(20)}
    sounds = {scenes.read_audio(index).waveform.numpy().tobytes() for scenes in sets for index in range(20)}
    ids = {scenes.id(index) for scenes in sets for index in range(20)}
    assert len(pictures) == len(sounds) == len(ids) == 80


def test_scenes_that_are_not_fresh_stay():
    still, test = SceneDataset(SOURCE, regenerate=False), SceneDataset(SOURCE, "interactive")
    assert still.at_epoch(4) is still
    assert test.at_epoch(4) is test
    assert SceneDataset(SOURCE).at_epoch(4).at_epoch(0).id(0) == SceneDataset(SOURCE).id(0)


def test_images_of_a_folder_are_composed_once(tmp_path, monkeypatch):
    options = {"length": 4, "size": 32, "seed": 3}
    plain = SceneDataset(SOURCE, **options)
    expected = [pixels(plain.at_epoch(epoch).read_image(index)) for epoch in (0, 1) for index in range(4)]

    def images(**changes):
        scenes = SceneDataset(SOURCE, image_folder=str(tmp_path / "images"), **options | changes)
        backwards = [pixels(scenes.at_epoch(epoch).read_image(index)) for epoch in (1, 0) for index in (3, 2, 1, 0)]
        return backwards[::-1]

    np.testing.assert_array_equal(images(), expected)
    first, _ = files = sorted((tmp_path / "images").iterdir())
    assert len(files) == 2
    written = first.read_bytes()
    first.write_bytes(written[:-1])  # killed before the last image counted as written
    calls = []
    monkeypatch.setattr(dataset, "compose", lambda *args: calls.append(args) or compose(*args))
    np.testing.assert_array_equal(images(), expected)
    assert len(calls) == 1
    assert first.read_bytes() == written
    assert not np.array_equal(images(distractors=(1, 1)), expected)
    assert len(calls) == 1 + 8
    scenes = SceneDataset(SOURCE, image_folder=str(tmp_path / "others"), **options)
    scenes.read_image(0).paste(0, (0, 0, 32, 32))  # what a caller does to its image is its own affair
    assert pixels(scenes._scene(0).image).any()


def test_the_number_of_distractors_keeps_its_bounds():
    scenes = SceneDataset(SOURCE, length=200, distractors=(1, 3))
    counts = [len(scenes.layout(index).categories) - 1 for index in range(200)]
    assert set(counts) == {1, 2, 3}
    assert all(len(set(scenes.layout(index).categories)) == count + 1 for index, count in enumerate(counts))
    assert len({scenes.group(index) for index in range(200)}) == 200


@pytest.mark.parametrize("objects", [2, 3])
def test_an_interactive_picture_is_asked_with_each_of_its_sounds(objects):
    scenes = SceneDataset(SOURCE, "interactive", length=5, num_objects=objects, size=64)
    assert len(scenes) == 5 * objects
    assert len({scenes.id(index) for index in range(len(scenes))}) == len(scenes)
    for first in range(0, len(scenes), objects):
        items = range(first, first + objects)
        assert len({scenes.group(index) for index in items}) == 1
        assert len({scenes.category(index) for index in items}) == objects
        assert len({scenes.read_image(index).tobytes() for index in items}) == 1
        assert int(torch.stack([scenes.ground_truth(index).mask for index in items]).sum(0).max()) == 1
        assert all(scenes.ground_truth(index).present for index in items)


def test_extended_scenes_are_a_quarter_of_each_kind():
    scenes = SceneDataset(SOURCE, "extended", length=40, size=64)
    for index in range(40):
        kind = scenes.audio_kind(index)
        assert kind == ("sound", "silence", "noise", "offscreen")[index % 4]
        assert scenes.ground_truth(index).present == (kind == "sound")
        assert float(scenes.ground_truth(index).to_map(8, 8).max()) == (kind == "sound")
        assert scenes.read_audio(index).is_silent == (kind == "silence")
        in_picture = scenes.layout(index).categories
        assert (scenes.category(index) in in_picture) == (kind == "sound")


def test_sizes_of_pictures_and_sounds():
    scenes = SceneDataset(SOURCE, size=80, seconds=3.3, rate=22050)
    assert scenes.read_image(0).size == (80, 80)
    sound = scenes.read_audio(-1)
    assert (len(sound.waveform), sound.rate) == (round(3.3 * 22050), 22050)
    assert 0.2 < float(sound.waveform.abs().max()) <= 0.9
    with pytest.raises(IndexError, match="sample 1000 of 1000"):
        scenes.read_image(1000)


def test_scenes_travel_to_worker_processes():
    scenes = SceneDataset(SOURCE, length=4, size=32)
    assert same(scenes, pickle.loads(pickle.dumps(scenes)), 2)


def test_a_picture_may_be_drawn_upon():
    scenes = SceneDataset(SOURCE)
    scenes.read_image(0).paste((0, 0, 0), (0, 0, 128, 128))
    assert pixels(scenes.read_image(0)).any()


def test_twelve_timbres_are_told_apart_by_their_mean_spectrum():
    """Nearest centroid on the mean log spectrum, loudness removed, of sounds not used for the centroids."""

    def spectrum(category, number):
        wave = SOURCE.draw_audio(category, make_generator(9, number), 2.0, 16000).waveform.numpy()
        power = np.abs(np.fft.rfft(wave.reshape(-1, 500) * np.hanning(500))) ** 2
        mean = np.log(power + 1e-7).mean(0)
        return mean - mean.mean()

    spectra = np.stack([[spectrum(category, number) for number in range(24)] for category in SOURCE.categories])
    centroids, unseen = spectra[:, :12].mean(1), spectra[:, 12:]
    distances = ((unseen[:, :, None] - centroids) ** 2).sum(-1)
    assert len(TIMBRES) == len(SOURCE.categories) == 12
    assert (distances.argmin(-1) == np.arange(12)[:, None]).mean() > 0.9


@pytest.mark.parametrize("category", SOURCE.categories)
@pytest.mark.parametrize("size", [8, 31, 64])
def test_an_object_fills_its_patch(category, size):
    for number in range(5):
        patch = SOURCE.draw_object(category, make_generator(number), size)
        assert 0.6 * size <= max(patch.shape[:2]) <= size
        assert set(np.unique(patch[..., 3])) <= {0, 255}
        assert all(edge.any() for edge in (patch[0, :, 3], patch[-1, :, 3], patch[:, 0, 3], patch[:, -1, 3]))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"distractors": (2, 1)}, "0 <= least <= most"),
        ({"distractors": (0, 12)}, "need 13 categories; the source has 12"),
        ({"kind": "extended", "distractors": (0, 11)}, "need 13 categories"),
        ({"kind": "interactive", "num_objects": 13}, "Use fewer"),
        ({"object_size": (0.0, 0.5)}, "within 0 to 1"),
        ({"length": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_composed_is_refused(wrong, told):
    with pytest.raises(RecipeError, match=told):
        SceneDataset(SOURCE, **wrong)


def test_scenes_by_name():
    assert open_scenes("scenes-interactive", length=3).name == "scenes-interactive"
    assert len(open_scenes("scenes", categories=4).categories) == 4
    with pytest.raises(RecipeError, match="Did you mean 'scenes-single'"):
        open_scenes("scene-single")
    with pytest.raises(RecipeError, match="Did you mean 'length'"):
        open_scenes("scenes", lenght=4)
    with pytest.raises(RecipeError, match="1 to 12 categories; 13"):
        open_scenes("scenes", categories=13)
    with pytest.raises(DataError, match="Pass its folder"):
        open_scenes("cutouts")


def test_the_scenes_of_a_batch_are_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    composed = []
    monkeypatch.setattr(dataset, "compose", lambda *arguments: composed.append(1) or compose(*arguments))
    scenes = SceneDataset(SOURCE, "interactive", length=40, size=64, seconds=0.1)
    for index in range(2 * dataset.NUM_RECENT):
        scenes.read_image(index)
    for index in range(2 * dataset.NUM_RECENT):
        scenes.ground_truth(index)
    assert len(composed) == dataset.NUM_RECENT
    scenes.read_image(79)
    scenes.read_image(0)
    assert len(composed) == dataset.NUM_RECENT + 2  # the first had to go
