"""Clips from shards: windows are decoded alone, and damage comes through workers in its own words."""

from pathlib import Path

import pytest
import torch

from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.config.schema import DataConfig, FrontEndConfig, Recipe, TrainConfig, ViewsConfig
from soundspot.data.datasets.auxiliary import AuxiliaryDataset
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.shards.encoding import ShardFormat
from soundspot.data.shards.executors import ProcessExecutor
from soundspot.data.shards.format import ShardReader, list_shards
from soundspot.data.shards.from_dataset import write_shards_from_dataset
from soundspot.errors import DataError
from soundspot.scenes import open_scenes
from soundspot.training.clip_reader import ClipReader, SampleRequest
from soundspot.training.datamodule import build_batch, build_dataloader
from soundspot.training.fit import train
from soundspot.training.sample_order import ResumableBatchSampler, find_shard_ids
from soundspot.types import Audio

SPEC = InputSpec(ImageSpec(size=32), AudioSpec(rate=16000, seconds=0.3))
VIEWS = ViewsConfig(semantic=False, base_audio_window="random")
TINY = {"encoder": "resnet", "blocks": [1, 1], "strides": [1, 2], "width": 4}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 samples in shards of five, wav and flac by turns."""
    root = tmp_path_factory.mktemp("shards")
    for kind in ("wav", "flac"):
        scenes = open_scenes("scenes", length=24, size=40, seconds=0.8)
        how = ShardFormat(max_side=36, shape="square", audio_format=kind, quality=95, shard_size=5)
        write_shards_from_dataset(scenes, root / kind, how, ProcessExecutor(0))
    return root


class Whole(AuxiliaryDataset):
    """A data set whose sounds are read as a whole."""

    def open_audio(self, index: int) -> Audio:
        return self.read_audio(index)


@pytest.mark.parametrize("kind", ["wav", "flac"])
@pytest.mark.parametrize("rate", [16000, 8000])
def test_windows_alone_are_those_of_the_whole(root: Path, kind: str, rate: int) -> None:
    data = open_dataset("shards", root / kind)
    assert data.read_image(0).size == (36, 36)
    spec = InputSpec(SPEC.image, AudioSpec(rate=rate, seconds=0.3))
    tickets = [SampleRequest(0, i, i, i) for i in range(24)]
    ours, theirs = (ClipReader(one, spec, VIEWS, seed=0).read(tickets) for one in (data, Whole(data)))  # type: ignore[arg-type]
    assert torch.equal(ours.waveforms, theirs.waveforms)
    assert torch.equal(ours.images, theirs.images)
    assert build_batch(ours, spec, VIEWS, seed=0).images.shape == (2, 24, 3, 32, 32)


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    write_shards_from_dataset(
        open_scenes("scenes", length=8, size=40, seconds=0.8),
        tmp_path / "shards",
        ShardFormat(shard_size=4),
        ProcessExecutor(0),
    )
    path = list_shards(tmp_path / "shards")[1]
    *_, parts = ShardReader(path).index.values()
    flipped = bytearray(path.read_bytes())
    flipped[parts["flac"].offset + 900] ^= 4
    path.write_bytes(flipped)
    return path


@pytest.mark.parametrize("workers", [0, 1])
def test_a_flipped_byte_comes_through_the_workers_in_one_line(damaged: Path, workers: int) -> None:
    data = open_dataset("shards", damaged.parent)
    recipe = Recipe(views=VIEWS, train=TrainConfig(batch_size=4, seed=1))
    stream = ResumableBatchSampler(
        len(data), recipe, 2, lambda: 0, lambda: None, find_shard_ids(data, TrainConfig(order="shards"))
    )
    with pytest.raises(DataError) as told:
        list(build_dataloader(ClipReader(data, SPEC, VIEWS, seed=0), stream, workers))
    assert "\n" not in str(told.value)
    assert str(told.value).startswith(f"{damaged}: found ")
    assert "with another checksum" in str(told.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_names_the_damage(damaged: Path, tmp_path: Path, workers: int) -> None:
    recipe = Recipe(
        method={"name": "ezvsl"},
        image=TINY,
        audio=TINY,
        front_end=FrontEndConfig("ezvsl", size=32, seconds=0.3),
        data=DataConfig("shards", str(damaged.parent)),
        views=ViewsConfig(multi_view=False, semantic=False),
        train=TrainConfig(epochs=2.0, batch_size=4, precision="fp32", order="shards", workers=workers),
    )
    with pytest.raises(DataError, match=r"^[^\n]*shard-000001\.tar: found [^\n]*\.flac with another checksum[^\n]*$"):
        train(recipe, tmp_path / "run", progress=False)
