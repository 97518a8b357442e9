"""Cut-outs from a catalogue, and scenes written as one."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from schemas import check_output
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.catalog_format import ImageEntry
from soundspot.data.validation.catalog import validate_catalog
from soundspot.errors import DataError, OutputError, RecipeError
from soundspot.scenes import ProceduralSource, SceneDataset, compose, open_scenes, write_catalog
from soundspot.scenes.cutouts import CutoutSource, find_object, inpaint
from soundspot.types import Box
from soundspot.utils.hash_rng import make_generator

SOURCE = ProceduralSource(6)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A catalogue with masks that needs no download: single shapes."""
    scenes = SceneDataset(SOURCE, "single", length=30, size=64, seconds=0.5)
    return write_catalog(scenes, tmp_path_factory.mktemp("scenes") / "drawn")


@pytest.fixture(scope="module")
def cutouts(drawn):
    return CutoutSource(Catalog(drawn, "test"))


@pytest.mark.parametrize("kind", ["train", "single", "interactive", "extended"])
def test_a_written_catalogue_gives_the_same_items_back(kind, tmp_path):
    scenes = SceneDataset(SOURCE, kind, length=8, size=48, seconds=0.3)
    root = write_catalog(scenes, tmp_path / "written")
    assert (
        validate_catalog(root, read_files=True).problems == () or kind == "extended"
    )  # which has one silence many times
    read = Catalog(root, "train" if kind == "train" else "test")
    assert len(read) == len(scenes)
    for index in range(len(scenes)):
        truth, again = scenes.ground_truth(index), read.ground_truth(index)
        assert read.category(index) == scenes.category(index)
        assert (again.present, again.boxes) == (truth.present, truth.boxes)
        assert torch.equal(again.to_map(48, 48), truth.to_map(48, 48))
        assert np.array_equal(np.asarray(read.read_image(index)), np.asarray(scenes.read_image(index)))
        error = (read.read_audio(index).waveform - scenes.read_audio(index).waveform).abs().max()
        assert error <= 1 / 32768
    written, composed = ([d.group(i) for i in range(len(d))] for d in (read, scenes))
    assert [written.index(name) for name in written] == [composed.index(name) for name in composed]
    annotations = json.loads((root / "annotations.json").read_text())
    check_output(annotations, "annotations")
    told = [entry["kind"] for entry in annotations["images"]]
    assert told == [scenes.audio_kind(index) for index in range(len(scenes))]


def test_a_folder_is_replaced_only_on_request_and_never_in_part(tmp_path, monkeypatch):
    scenes = SceneDataset(SOURCE, length=2, size=32, seconds=0.1)
    root = write_catalog(scenes, tmp_path / "written")
    before = sorted(path.name for path in root.rglob("*"))
    with pytest.raises(OutputError, match="exists already"):
        write_catalog(scenes, root)

    def fail(self, index):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SceneDataset, "read_audio", fail)
        with pytest.raises(KeyboardInterrupt):
            write_catalog(scenes, root, overwrite=True)
    assert sorted(path.name for path in root.rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["written"]
    write_catalog(scenes.at_epoch(1), root, overwrite=True)
    assert sorted(path.name for path in root.rglob("*")) != before


def test_cut_out_scenes_have_exact_disjoint_masks(cutouts):
    for index in range(10):
        scene = compose(cutouts, cutouts.categories[:3], (0.3, 0.4, 0.5), make_generator(1, index), 96)
        empty = compose(cutouts, (), (), make_generator(1, index), 96)
        masks = torch.stack([placed.mask for placed in scene.objects])
        assert masks.flatten(1).any(1).all()
        assert int(masks.sum(0).max()) == 1
        outside = ~masks.any(0).numpy()
        assert np.array_equal(np.asarray(scene.image)[outside], np.asarray(empty.image)[outside])


def test_cut_outs_do_not_depend_on_what_was_drawn_before(drawn):
    one, two = (open_scenes("cutouts-interactive", drawn, length=4, size=64, seconds=1.0) for _ in range(2))
    assert (one.name, len(one)) == ("cutouts-interactive", 8)
    for index in reversed(range(8)):
        two.read_image(index)
        two.read_audio(index)
    for index in range(8):
        assert one.read_image(index).tobytes() == two.read_image(index).tobytes()
        assert torch.equal(one.read_audio(index).waveform, two.read_audio(index).waveform)
        assert len(one.read_audio(index).waveform) == 16000  # from recordings of half a second


def test_cut_outs_keep_the_objects_own_pixels(cutouts):
    """A red disc stays red and round: nothing of its old background comes along."""
    patch = cutouts.draw_object("red disc", make_generator(2), 40)
    assert max(patch.shape[:2]) == 40
    assert set(np.unique(patch[..., 3])) == {0, 255}
    red, green, blue = patch[patch[..., 3] > 0, :3].T.astype(int)
    assert (red > np.maximum(green, blue)).mean() > 0.97
    assert (patch[..., 3] > 0).mean() == pytest.approx(np.pi / 4, abs=0.08)


def picture(width, height, *boxes):
    names = {"id": "a", "file": "a.png", "category": "dog", "split": "train", "group": "a"}
    return ImageEntry(**names, width=width, height=height, boxes=tuple(Box(*map(float, box)) for box in boxes))


def test_cut_outs_have_no_folder_of_images(cutouts):
    with pytest.raises(RecipeError, match=r"image_folder: found cut-outs, expected procedural scenes"):
        SceneDataset(cutouts, length=4, size=64, distractors=(0, 1), image_folder="images")


def test_scenes_share_whole_recordings(cutouts):
    whole = SceneDataset(cutouts, "train", length=40, size=64, seconds=0.2, distractors=(0, 1), whole_recordings=True)
    windows = SceneDataset(cutouts, "train", length=40, size=64, seconds=0.2, distractors=(0, 1))
    ids = [whole.audio_id(index) for index in range(40)]
    assert len(set(ids)) < 40
    assert [windows.audio_id(index).partition("#")[0] for index in range(40)] == ids
    assert whole.audio_file(0).endswith(ids[0])
    assert whole.read_audio(0).seconds == pytest.approx(0.5)
    assert whole.open_audio(0).seconds == pytest.approx(0.5)
    assert whole.visible_categories(0) == whole.layout(0).categories
    for source, kind in ((SOURCE, "train"), (cutouts, "single")):
        with pytest.raises(RecipeError, match="whole_recordings"):
            SceneDataset(source, kind, size=64, distractors=(0, 1), whole_recordings=True)


def test_which_objects_are_cut_out():
    mask = np.zeros((100, 100), bool)
    mask[30:60, 30:70] = True
    cut = find_object(picture(100, 100), mask)
    assert (cut.top, cut.left, cut.mask.shape) == (30, 30, (30, 40))
    both = mask.copy()
    both[80:95, 5:20] = True  # a smaller one of the herd
    assert find_object(picture(100, 100, (5, 80, 20, 95), (30, 30, 70, 60)), both).mask.shape == (30, 40)
    assert find_object(picture(100, 100, (0, 0, 20, 20)), mask) is None  # nothing in the box
    small = np.zeros((100, 100), bool)
    small[50:60, 50:65] = True
    assert find_object(picture(100, 100), small) is None
    thin = np.eye(100, dtype=bool)
    assert find_object(picture(100, 100), thin) is None
    cut_off = np.zeros((100, 100), bool)
    cut_off[60:, 0:90] = True  # lies on two borders
    assert find_object(picture(100, 100), cut_off) is None


def test_a_background_shows_nothing_of_its_object():
    """A white square on a dark slope is filled with the slope."""
    slope = np.repeat(np.linspace(20, 100, 120)[None, :, None], 100, 0).repeat(3, 2)
    shown, mask = slope.copy(), np.zeros((100, 120), np.uint8)
    shown[30:70, 40:80], mask[30:70, 40:80] = 255, 255
    filled, share = inpaint(Image.fromarray(shown.astype(np.uint8)), Image.fromarray(mask))
    assert np.abs(np.asarray(filled, float) - slope).max() < 16
    assert share[50, 60] > 0.99
    assert share[5, 5] == 0


def test_catalogues_that_do_not_serve(drawn, tmp_path):
    with pytest.raises(DataError, match="'lime pill' has 0 and 0"):
        CutoutSource(Catalog(drawn, "test"), ["red disc", "lime pill"])
    with pytest.raises(DataError, match="no category has 50 or more"):
        CutoutSource(Catalog(drawn, "test"), min_count=50)
    with pytest.raises(RecipeError, match="by name; found 3"):
        open_scenes("cutouts", drawn, categories=3)


def test_cut_outs_of_the_real_set(realset):
    scenes = open_scenes("cutouts-interactive", realset, length=12, size=96)
    assert set(scenes.categories) >= {"bird", "cat", "cow", "dog", "keyboard", "person", "rooster", "sheep"}
    for index in range(len(scenes)):
        assert scenes.ground_truth(index).mask.float().mean() > 0.005
        assert not scenes.read_audio(index).is_silent
    training = open_scenes("cutouts", realset)
    own, other = ({cut.image.group for c in s.source.cutouts.values() for cut in c} for s in (scenes, training))
    assert not own & other
