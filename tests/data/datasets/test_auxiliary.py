"""What lies beside pictures and sounds: found by id, read as it is, and its faults told."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from soundspot.data.datasets.auxiliary import AuxiliaryDataset, read_audio_embedding
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.media.optical_flow import FlowFolder, encode_flow
from soundspot.errors import DataError, InputError, RecipeError
from soundspot.types import Audio, AudioVisualDataset

SMALL = {"length": 4, "size": 32, "seconds": 0.2, "regenerate": False}


def scenes() -> AudioVisualDataset:
    return open_dataset("scenes", **SMALL)


def with_flow(folder: Path, n: int = 4) -> None:
    """Of the first n scenes; the last of them moves faster than 8 bits can say."""
    data = scenes()
    (folder / "flow_x").mkdir(parents=True)
    (folder / "flow_y").mkdir()
    for i in range(n):
        FlowFolder(folder).write(data.id(i), encode_flow(torch.full((2, 32, 32), float(i + 1 if i < 3 else 300))))


def test_the_set_it_wraps_answers_for_the_rest(tmp_path: Path) -> None:
    with_flow(tmp_path)
    plain, beside = scenes(), open_dataset("scenes", flow=tmp_path, **SMALL)
    assert isinstance(beside, AuxiliaryDataset)
    assert isinstance(beside, AudioVisualDataset)
    assert (beside.name, len(beside), beside.id(1), beside.group(1), beside.category(1)) == (
        *(plain.name, len(plain), plain.id(1), plain.group(1), plain.category(1)),
    )
    assert beside.read_image(1).tobytes() == plain.read_image(1).tobytes()
    assert torch.equal(beside.read_audio(1).waveform, plain.read_audio(1).waveform)
    assert beside.ground_truth(1).boxes == plain.ground_truth(1).boxes
    assert beside.categories == plain.categories  # type: ignore[attr-defined]  # of scenes alone
    assert beside.at_epoch(3) is beside
    again = pickle.loads(pickle.dumps(beside))
    assert torch.equal(again.read_flow(2), torch.full((2, 32, 32), 3.0))
    assert not isinstance(open_dataset("scenes", **SMALL), AuxiliaryDataset)


def test_flow_is_found_by_the_clip_or_by_its_picture(tmp_path: Path) -> None:
    with_flow(tmp_path)
    beside = open_dataset("scenes", flow=str(tmp_path), **SMALL)
    assert [beside.read_flow(i).unique().tolist() for i in range(4)] == [[1], [2], [3], [255]]  # type: ignore[attr-defined]
    options = {"length": 2, "size": 32, "seconds": 0.2}
    asked_twice = open_dataset("scenes-interactive", **options)
    folder = tmp_path / "two"
    for part in ("flow_x", "flow_y"):
        (folder / part).mkdir(parents=True)
        for i in (0, 2):
            Image.new("L", (8, 8), i + 1).save(folder / part / f"{asked_twice.group(i)}.png")
    beside = open_dataset("scenes-interactive", flow=folder, **options)
    assert [int(beside.read_flow(i)[0, 0, 0]) for i in range(4)] == [1, 1, 3, 3]


class Counting(AudioVisualDataset):
    """Four clips, the same in each epoch, that count how often they are asked for their id and for their group."""

    name = "counting"

    def __init__(self, data: AudioVisualDataset, asked: Counter[str]) -> None:
        self.data, self.asked = data, asked

    def read_image(self, index: int) -> Image.Image:
        return self.data.read_image(index)

    def read_audio(self, index: int) -> Audio:
        return self.data.read_audio(index)

    def __len__(self) -> int:
        return len(self.data)

    def id(self, index: int) -> str:
        self.asked["id"] += 1
        return self.data.id(index)

    def group(self, index: int) -> str:
        self.asked["group"] += 1
        return self.data.group(index)

    def at_epoch(self, epoch: int) -> "Counting":
        return Counting(self.data, self.asked)


def test_a_set_is_asked_no_more_than_is_needed(tmp_path: Path) -> None:
    """A set of shards reads its words from disk to answer for a group."""
    with_flow(tmp_path)
    options = {**SMALL, "length": 40}
    asked: Counter[str] = Counter()
    AuxiliaryDataset(Counting(open_dataset("scenes", **options), asked), train_ground_truth="own")
    assert not asked
    few = AuxiliaryDataset(Counting(scenes(), asked), flow=tmp_path)
    assert asked == {"id": 4}
    later = few.at_epoch(1)
    assert later is not few
    assert later.dataset is not few.dataset
    assert torch.equal(later.read_flow(3), few.read_flow(3))
    assert asked["group"] == 0
    with_masks = tmp_path / "masks"
    with_masks.mkdir()
    Image.new("L", (32, 32)).save(with_masks / f"{scenes().id(0)}.png")
    many = AuxiliaryDataset(Counting(open_dataset("scenes", **options), asked), train_ground_truth=with_masks)
    asked.clear()
    for epoch in range(10):
        many = many.at_epoch(epoch)
    assert asked["id"] <= 40
    assert asked["group"] == 0


def test_flow_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no folders flow_x and flow_y.*soundspot data flow"):
        open_dataset("scenes", flow=tmp_path, **SMALL)
    with_flow(tmp_path, n=1)
    first = scenes().id(1)
    with pytest.raises(
        DataError, match=rf"of 4 samples 3 lack their flow_x/ID.png and .*first: {first}.*take these samples"
    ):
        open_dataset("scenes", flow=tmp_path, **SMALL)
    with pytest.raises(DataError, match=r"has no optical flow.*option `flow`"):
        open_dataset("catalog", catalogue(tmp_path / "c")).read_flow(0)
    (tmp_path / "flow_x" / f"{scenes().id(0)}.png").write_bytes(b"no picture")
    beside = open_dataset("scenes", flow=tmp_path, **{**SMALL, "length": 1})
    with pytest.raises(InputError, match="expected a whole image"):
        beside.read_flow(0)  # type: ignore[attr-defined]


def catalogue(root: Path) -> Path:
    from soundspot.scenes import open_scenes, write_catalog

    write_catalog(open_scenes("scenes", length=24, size=32, seconds=0.2, distractors=(0, 0), categories=2), root)
    return root


def test_truths_of_a_share_of_the_clips() -> None:
    options = {**SMALL, "length": 400}
    own = [
        open_dataset("scenes", train_ground_truth="own", train_ground_truth_fraction=share, **options)
        for share in (0.3, 0.6)
    ]
    marked = [{i for i in range(400) if one.read_train_ground_truth(i) is not None} for one in own]  # type: ignore[attr-defined]
    assert 90 < len(marked[0]) < 150
    assert marked[0] < marked[1]
    some = min(marked[0])
    assert own[0].read_train_ground_truth(some).boxes == own[0].ground_truth(some).boxes  # type: ignore[attr-defined]
    assert own[0].at_epoch(1) is own[0]
    fresh = open_dataset("scenes", train_ground_truth="own", train_ground_truth_fraction=0.3, length=4, size=32)
    assert fresh.at_epoch(1).id(0) != fresh.id(0)
    assert isinstance(fresh.at_epoch(1), AuxiliaryDataset)
    for share in (0, 1.5):
        with pytest.raises(RecipeError, match=r"train_ground_truth_fraction: found .*expected the share"):
            open_dataset("scenes", train_ground_truth="own", train_ground_truth_fraction=share, **SMALL)
    with pytest.raises(RecipeError, match=r"beside `train_ground_truth`"):
        open_dataset("scenes", train_ground_truth_fraction=0.5, **SMALL)


def test_truths_from_a_folder(tmp_path: Path) -> None:
    data = scenes()
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    mask.save(tmp_path / f"{data.id(1)}.png")
    beside = open_dataset("scenes", train_ground_truth=tmp_path, **SMALL)
    truths = [beside.read_train_ground_truth(i) for i in range(4)]  # type: ignore[attr-defined]
    assert [truth is None for truth in truths] == [True, False, True, True]
    assert truths[1].to_map(4, 4).tolist() == [[1, 1, 0, 0]] * 4
    mask.resize((64, 40)).save(tmp_path / f"{data.id(1)}.png")
    with pytest.raises(DataError, match="a mask of 64 x 40 beside an image of 32 x 32, expected the same shape"):
        beside.read_train_ground_truth(1)  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="no such folder, expected masks"):
        open_dataset("scenes", train_ground_truth=tmp_path / "none", **SMALL)
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match=r"of 4 samples 4 lack a mask ID.png"):
        open_dataset("scenes", train_ground_truth=tmp_path / "other", **SMALL)


@pytest.mark.parametrize("form", ["folder", "npz"])
def test_vectors(tmp_path: Path, form: str) -> None:
    data, path = scenes(), tmp_path / "all.npz" if form == "npz" else tmp_path
    vectors = {data.id(i): np.arange(5, dtype=np.float32) + i for i in range(4)}

    def write() -> None:
        if form == "npz":
            np.savez(path, **vectors)
        for id, vector in vectors.items() if form == "folder" else ():
            np.save(path / f"{id}.npy", vector)

    write()
    beside = pickle.loads(pickle.dumps(open_dataset("scenes", audio_embeddings=path, **SMALL)))
    assert read_audio_embedding(beside, 2, 5).tolist() == [2, 3, 4, 5, 6]
    with pytest.raises(DataError, match=r"has 5 numbers, expected 1000.*width: 5"):
        read_audio_embedding(beside, 2, 1000)
    vectors[data.id(0)] = np.full(5, np.nan, np.float32)
    vectors[data.id(1)] = np.zeros((5, 2), np.float32)
    write()
    beside = open_dataset("scenes", audio_embeddings=path, **SMALL)
    for i in (0, 1):
        with pytest.raises(InputError, match="expected one vector of finite numbers"):
            read_audio_embedding(beside, i)
    with pytest.raises(DataError, match=r"of 8 samples 4 lack their vectors"):
        open_dataset("scenes", audio_embeddings=path, **{**SMALL, "length": 8})
    with pytest.raises(DataError, match=r"neither a folder nor an .npz"):
        open_dataset("scenes", audio_embeddings=tmp_path / "none.npz", **SMALL)
    with pytest.raises(DataError, match=r"has no embeddings of audio.*option `audio_embeddings`"):
        read_audio_embedding(scenes(), 0)


def test_an_unknown_option_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no option 'flows'.*Did you mean 'flow'"):
        open_dataset("pairs", tmp_path, flows="here")
    with pytest.raises(RecipeError, match=r"'train_ground_truth_share'.*Did you mean 'train_ground_truth"):
        open_dataset("scenes", train_ground_truth_share=0.1)
