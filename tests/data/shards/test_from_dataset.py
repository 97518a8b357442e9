"""Any data set becomes shards: the same ids, groups, categories and truths, pictures and sounds near the same."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from schemas import check_output
from soundspot.cli.data import index_shards
from soundspot.cli.main import main
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.shards.encoding import ShardFormat
from soundspot.data.shards.executors import ProcessExecutor
from soundspot.data.shards.from_dataset import write_shards_from_dataset
from soundspot.data.shards.writer import SampleReader, SampleRecord
from soundspot.errors import OutputError
from soundspot.scenes import open_scenes, write_catalog
from soundspot.types import AudioVisualDataset
from trees import framed


def ids(data: AudioVisualDataset) -> list[str]:
    return [data.id(index) for index in range(len(data))]


def test_scenes_keep_all_that_is_known(tmp_path: Path) -> None:
    data = open_scenes("scenes-interactive", length=4, size=64, seconds=0.5)
    assert write_shards_from_dataset(
        data, tmp_path / "out", ShardFormat(quality=95, shard_size=3), ProcessExecutor(0)
    ) == {"": 8}
    packed = open_dataset("shards", tmp_path / "out")
    assert isinstance(packed, AudioVisualDataset)
    assert ids(packed) == ids(data)
    for i in range(8):
        assert (packed.group(i), packed.category(i)) == (data.group(i), data.category(i))
        ours, theirs = packed.ground_truth(i), data.ground_truth(i)
        assert (ours.boxes, ours.rule, ours.present) == (theirs.boxes, theirs.rule, theirs.present)
        assert ours.mask.equal(theirs.mask)
        difference = np.asarray(packed.read_image(i)).astype(float) - np.asarray(data.read_image(i))
        assert np.abs(difference).mean() < 6
        heard = packed.read_audio(i)
        assert heard.rate == 16000
        assert float((heard.waveform - data.read_audio(i).waveform).abs().max()) < 1e-4


def test_a_catalog_and_a_public_layout(tmp_path: Path) -> None:
    write_catalog(open_scenes("scenes", length=6, size=48, seconds=0.3), tmp_path / "catalog", False)
    sets = [
        open_dataset("catalog", tmp_path / "catalog", split="train"),
        open_dataset("avsbench_s4", framed(tmp_path / "public", "avsbench_s4")),
    ]
    for number, data in enumerate(sets):
        write_shards_from_dataset(data, tmp_path / str(number), ShardFormat(max_side=32), ProcessExecutor(0))
        packed = open_dataset("shards", tmp_path / str(number))
        assert [one.replace(".", "_") for one in ids(data)] == ids(packed)
        assert max(packed.read_image(0).size) <= 32
        assert packed.ground_truth(0).to_map(24, 24).equal(data.ground_truth(0).to_map(24, 24)), (
            "boxes and masks keep their own units"
        )


@pytest.mark.parametrize("name", ["avsbench_s4", "avsbench_ms3", "is3"])
def test_frames_of_one_recording_stay_together(tmp_path: Path, name: str) -> None:
    data = open_dataset(name, framed(tmp_path / "public", name))
    write_shards_from_dataset(data, tmp_path / "out", ShardFormat(max_side=32), ProcessExecutor(0))
    packed = open_dataset("shards", tmp_path / "out")
    for each in (data, packed):
        assert (each.audio_id(0) == each.audio_id(1)) == (name != "is3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(data), "audio_id", lambda self, index: self.id(index))
        write_shards_from_dataset(data, tmp_path / "apart", ShardFormat(max_side=32), ProcessExecutor(0))
    assert ids(packed) == [open_dataset("shards", tmp_path / "apart").audio_id(i) for i in range(2)]


def test_pictures_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    write_catalog(open_scenes("scenes", length=6, size=48, seconds=0.3), tmp_path / "catalog", False)
    data = open_dataset("catalog", tmp_path / "catalog", split="train")
    next((tmp_path / "catalog").rglob("*.png")).write_bytes(b"")
    causes = write_shards_from_dataset(data, tmp_path / "out", ShardFormat(), ProcessExecutor(0))
    assert causes["empty"] >= 1
    assert causes[""] == len(data) - causes["empty"]


def stopped(make: SampleReader, names: Sequence[str]) -> Iterator[SampleRecord]:
    """As a run that is ended after two samples."""
    yield from map(make, names[:2])
    raise KeyboardInterrupt


def test_a_run_goes_on_with_its_own_data_set_alone(tmp_path: Path) -> None:
    data, out = open_scenes("scenes", length=6, size=32, seconds=0.2), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        write_shards_from_dataset(data, out, ShardFormat(), stopped, dataset_options={"split": "train"})
    with pytest.raises(OutputError, match="made with other options"):
        write_shards_from_dataset(data, out, ShardFormat(), ProcessExecutor(0), dataset_options={"split": "val"})
    smaller, options = open_scenes("scenes", length=5, size=32, seconds=0.2), {"split": "train"}
    causes = write_shards_from_dataset(smaller, out, ShardFormat(), ProcessExecutor(0), dataset_options=options)
    assert causes == {"": 5, "missing": 1}
    assert f"{data.id(5)}: is no longer in" in (out / "journal.jsonl").read_text()
    assert write_shards_from_dataset(
        data, out, ShardFormat(), ProcessExecutor(0), retry=True, dataset_options=options
    ) == {"": 6}


def test_the_command_writes_the_options_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["data", "to-shards", "scenes", str(tmp_path / "out"), "--workers", "0", "--options"]
    assert main([*command, '{"length": 2, "size": 32, "seconds": 0.2}']) == 0
    assert main([*command, '{"length": 2, "size": 48, "seconds": 0.2}']) == 2
    assert "made with other options" in capsys.readouterr().err


def test_the_command_makes_an_index_for_shards_of_other_tools(tmp_path: Path) -> None:
    write_shards_from_dataset(
        open_scenes("scenes", length=3, size=32, seconds=0.2), tmp_path / "out", ShardFormat(), ProcessExecutor(0)
    )
    check_output(json.loads((tmp_path / "out" / "prepared.json").read_text()), "shards")
    for file in (tmp_path / "out").glob("*.index.json"):
        file.unlink()
    index_shards(tmp_path / "out")
    assert len(open_dataset("shards", tmp_path / "out")) == 3
