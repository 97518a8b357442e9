"""Any data set becomes shards: the same ids, groups, categories and truths, pictures and sounds near the same."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from trees import framed
from whence.cli.data import index
from whence.cli.main import main
from whence.data.datasets import open_dataset
from whence.data.engines import Pool
from whence.data.pack import Packing, pack
from whence.data.packing import Maker, Sample
from whence.errors import OutputError
from whence.scenes import open_scenes, write_catalogue
from whence.types import AudioVisualDataset


def ids(data: AudioVisualDataset) -> list[str]:
    return [data.id(index) for index in range(len(data))]


def test_scenes_keep_all_that_is_known(tmp_path: Path) -> None:
    data = open_scenes("scenes-interactive", length=4, size=64, seconds=0.5)
    assert pack(data, tmp_path / "out", Packing(quality=95), Pool(0), shard_size=3) == {"": 8}
    packed = open_dataset("shards", tmp_path / "out")
    assert isinstance(packed, AudioVisualDataset)
    assert ids(packed) == ids(data)
    for i in range(8):
        assert (packed.group(i), packed.category(i)) == (data.group(i), data.category(i))
        ours, theirs = packed.truth(i), data.truth(i)
        assert (ours.boxes, ours.rule, ours.present) == (theirs.boxes, theirs.rule, theirs.present)
        assert ours.mask.equal(theirs.mask)
        difference = np.asarray(packed.read_image(i)).astype(float) - np.asarray(data.read_image(i))
        assert np.abs(difference).mean() < 6
        heard = packed.read_sound(i)
        assert heard.rate == 16000
        assert float((heard.waveform - data.read_sound(i).waveform).abs().max()) < 1e-4


def test_a_catalogue_and_a_public_layout(tmp_path: Path) -> None:
    write_catalogue(open_scenes("scenes", length=6, size=48, seconds=0.3), tmp_path / "catalogue", False)
    sets = [
        open_dataset("catalogue", tmp_path / "catalogue", split="train"),
        open_dataset("avsbench_s4", framed(tmp_path / "public", "avsbench_s4")),
    ]
    for number, data in enumerate(sets):
        pack(data, tmp_path / str(number), Packing(side=32), Pool(0))
        packed = open_dataset("shards", tmp_path / str(number))
        assert [one.replace(".", "_") for one in ids(data)] == ids(packed)
        assert max(packed.read_image(0).size) <= 32
        assert packed.truth(0).map(24, 24).equal(data.truth(0).map(24, 24)), "boxes and masks keep their own units"


def test_pictures_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    write_catalogue(open_scenes("scenes", length=6, size=48, seconds=0.3), tmp_path / "catalogue", False)
    data = open_dataset("catalogue", tmp_path / "catalogue", split="train")
    next((tmp_path / "catalogue").rglob("*.png")).write_bytes(b"")
    causes = pack(data, tmp_path / "out", Packing(), Pool(0))
    assert causes["empty"] >= 1
    assert causes[""] == len(data) - causes["empty"]


def stopped(make: Maker, names: Sequence[str]) -> Iterator[Sample]:
    """As a run that is ended after two samples."""
    yield from map(make, names[:2])
    raise KeyboardInterrupt


def test_a_run_goes_on_with_its_own_data_set_alone(tmp_path: Path) -> None:
    data, out = open_scenes("scenes", length=6, size=32, seconds=0.2), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        pack(data, out, Packing(), stopped, options={"split": "train"})
    with pytest.raises(OutputError, match="prepared otherwise"):
        pack(data, out, Packing(), Pool(0), options={"split": "val"})
    with pytest.raises(OutputError, match=rf"1 inputs .* no more in .* \(first: {data.id(5)}\). Bring them back"):
        pack(open_scenes("scenes", length=5, size=32, seconds=0.2), out, Packing(), Pool(0), options={"split": "train"})
    assert pack(data, out, Packing(), Pool(0), options={"split": "train"}) == {"": 6}


def test_the_command_writes_the_options_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["data", "pack", "scenes", str(tmp_path / "out"), "--workers", "0", "--options"]
    assert main([*command, '{"length": 2, "size": 32, "seconds": 0.2}']) == 0
    assert main([*command, '{"length": 2, "size": 48, "seconds": 0.2}']) == 2
    assert "prepared otherwise" in capsys.readouterr().err


def test_the_command_makes_an_index_for_shards_of_other_tools(tmp_path: Path) -> None:
    pack(open_scenes("scenes", length=3, size=32, seconds=0.2), tmp_path / "out", Packing(), Pool(0))
    for file in (tmp_path / "out").glob("*.index.json"):
        file.unlink()
    index(tmp_path / "out")
    assert len(open_dataset("shards", tmp_path / "out")) == 3
