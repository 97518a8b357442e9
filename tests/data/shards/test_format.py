"""Shards are tar files that others read too; damage is named; a draft is gone on with."""

import errno
import io
import json
import os
import pickle
import re
import tarfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from soundspot.data.datasets.registry import open_dataset
from soundspot.data.shards.format import ShardReader, ShardWriter, get_draft_path, get_index_path, write_shard_index
from soundspot.errors import DataError, OutputError, RecipeError
from soundspot.types import AudioVisualDataset


def picture(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


def sound(level: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.full(160, level), 16000, format="FLAC")
    return file.getvalue()


def sample(n: int) -> dict[str, bytes]:
    return {"png": picture(n), "flac": sound(n / 100), "json": b"{}"}


def write(path: Path, *numbers: int) -> Path:
    with ShardWriter(path) as writer:
        for n in numbers:
            writer.add(f"clip_{n:02d}", sample(n))
        writer.close()
    return path


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)  # webdataset's
def test_a_folder_between_underscores_is_skipped_by_no_reader(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    keys = ["AbCdEfGhIjK/frame", "__0aBcDeF__/frame", "__0aBcDeFgh/frame", "clips/__0aBcDeF__/frame", "__0aBcDeF__"]
    with ShardWriter(path) as writer:
        for n, key in enumerate(keys[:2]):
            writer.add(key, sample(n))
    with ShardWriter(path) as writer:  # goes on with the draft
        assert list(writer.index) == keys[:2]
        for n, key in enumerate(keys[2:], 2):
            writer.add(key, sample(n))
        writer.close()
    with tarfile.open(path) as tar:
        names = tar.getnames()
    skipped = re.compile(r"__[^/]*__($|/)")  # `skip_meta` of webdataset 1.0.2
    assert not [name for name in names if skipped.match(name)]
    assert names[:5:3] == ["AbCdEfGhIjK/frame.flac", "./__0aBcDeF__/frame.flac"]
    get_index_path(path).unlink()
    assert write_shard_index(path) == 5
    reader = ShardReader(path)
    assert [reader.read(key, "png") for key in keys] == [picture(n) for n in range(5)]
    if find_spec("webdataset"):  # in no extra
        import webdataset

        read = list(webdataset.WebDataset(str(path), shardshuffle=False))
        assert [one["__key__"].removeprefix("./") for one in read] == keys


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "shard-000000.tar", *range(12))
    write(tmp_path / "shard-000001.tar", *range(12, 20))
    return tmp_path


def test_tar_reads_it_and_the_bytes_depend_on_the_samples_alone(root: Path, tmp_path: Path) -> None:
    path = root / "shard-000000.tar"
    with tarfile.open(path) as tar:
        names = tar.getnames()
        assert names[:3] == ["clip_00.flac", "clip_00.png", "clip_00.json"]
        assert tar.extractfile("clip_07.png").read() == picture(7)
    assert write(tmp_path / "again.tar", *range(12)).read_bytes() == path.read_bytes()
    told = get_index_path(path).read_text()
    get_index_path(path).unlink()
    assert write_shard_index(path) == 12  # as for a shard that another tool wrote
    assert get_index_path(path).read_text() == told
    assert not list(root.glob("*.part"))


def test_shards_are_a_data_set(root: Path) -> None:
    data = open_dataset("shards", root)
    assert isinstance(data, AudioVisualDataset)
    assert len(data) == 20
    assert data.read_image(13).getpixel((0, 0)) == (13, 0, 0)
    assert data.read_audio(13).waveform[0].item() == pytest.approx(0.13, abs=1e-3)
    assert (data.id(13), data.group(13), data.category(13)) == ("clip_13", "clip_13", "")
    assert pickle.loads(pickle.dumps(data)).read_image(13).getpixel((0, 0)) == (13, 0, 0)
    with pytest.raises(DataError, match="cannot be scored"):
        data.ground_truth(0)
    held_out = open_dataset("shards", root, split="val", val_fraction=0.3)
    kept = open_dataset("shards", root, split="train", val_fraction=0.3)
    assert len(held_out) + len(kept) == 20
    assert not {held_out.id(i) for i in range(len(held_out))} & {kept.id(i) for i in range(len(kept))}


def test_lists_choose_samples(root: Path) -> None:
    (root / "some.txt").write_text("clip_03\nclip_15\nclip_77\n")
    with pytest.raises(DataError, match=r"of 3 samples 1 lack 2 files \(first: clip_77.jpg, clip_77.flac\)"):
        open_dataset("shards", root, list=root / "some.txt")
    with pytest.warns(UserWarning, match="are left out"):
        data = open_dataset("shards", root, list=root / "some.txt", missing="skip")
    assert [data.id(i) for i in range(len(data))] == ["clip_03", "clip_15"]
    data = open_dataset("shards", root, exclude=[root / "some.txt"])
    assert len(data) == 18
    assert set(data.excluded) == {"clip_03", "clip_15"}


def test_samples_without_a_part_are_found_when_they_are_opened(root: Path) -> None:
    with ShardWriter(root / "shard-000002.tar") as writer:
        writer.add("deaf", {"png": picture(1), "mask.png": picture(1)})
        writer.add("blind", {"flac": sound(0.1), "mask.png": picture(1)})
        writer.close()
    with pytest.raises(DataError, match=r"of 22 samples 2 lack 2 files \(first: deaf.flac, blind.jpg\)"):
        open_dataset("shards", root)
    with pytest.warns(UserWarning, match=r"of 22 samples 2 lack .*are left out"):
        assert len(open_dataset("shards", root, missing="skip")) == 20
    (root / "out.txt").write_text("deaf\nblind\n")
    assert len(open_dataset("shards", root, exclude=[root / "out.txt"])) == 20
    with pytest.raises(RecipeError, match=r"missing.*'ignore'"):
        open_dataset("shards", root, missing="ignore")


def test_a_split_that_holds_nothing_is_told(root: Path) -> None:
    with pytest.raises(DataError, match=r"`split: val` of `val_fraction: 0.0001` holds none of 20 samples. Raise"):
        open_dataset("shards", root, split="val", val_fraction=0.0001)
    (root / "all.txt").write_text("".join(f"clip_{n:02d}\n" for n in range(20)))
    with pytest.raises(DataError, match=r"no sample is left \(20 are excluded\)"):
        open_dataset("shards", root, exclude=[root / "all.txt"])


def test_shards_of_other_tools(tmp_path: Path) -> None:
    """Names from `tar .`, folders, links and WebDataset's own notes; an id may begin as those do."""
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        folder = tarfile.TarInfo("./deep")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        link = tarfile.TarInfo("./b.png")
        link.type, link.linkname = tarfile.SYMTYPE, "a.png"
        tar.addfile(link)
        for name, content in (
            ("__header__", b"told"),
            *((f"./{key}.{kind}", part) for key in ("deep/a", "__q") for kind, part in sample(3).items()),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    assert write_shard_index(tmp_path / "a.tar") == 2
    data = open_dataset("shards", tmp_path)
    assert [data.id(i) for i in range(2)] == ["deep/a", "__q"]
    assert data.read_image(1).getpixel((0, 0)) == (3, 0, 0)


def test_of_several_frames_each_epoch_shows_one(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "a.tar") as writer:
        for key in "abcdefgh":
            writer.add(key, {f"{n}.png": picture(10 * n) for n in range(11)} | {"flac": sound(0.1)})
        writer.close()
    data = open_dataset("shards", tmp_path)
    shown = [[data.at_epoch(epoch).read_image(i).getpixel((0, 0))[0] for i in range(8)] for epoch in (0, 0, 1, 2)]
    assert shown[0] == shown[1] != shown[2]
    assert len({*shown[0], *shown[2], *shown[3]}) > 5
    assert 100 in {data.at_epoch(epoch).read_image(0).getpixel((0, 0))[0] for epoch in range(60)}, (
        "frame 10 follows frame 9"
    )


def test_damage_is_named(root: Path) -> None:
    path = root / "shard-000001.tar"
    whole = path.read_bytes()
    part = ShardReader(path).index["clip_15"]["png"]
    flipped = bytearray(whole)
    flipped[part.offset + 5] ^= 1
    path.write_bytes(flipped)
    data = open_dataset("shards", root)
    data.read_image(14)
    with pytest.raises(DataError, match=r"shard-000001\.tar: found clip_15\.png with another checksum"):
        data.read_image(15)
    path.write_bytes(whole[: part.offset + 10])
    with pytest.raises(DataError, match=r"shard-000001\.tar: found \d+ bytes \(cut short\)"):
        open_dataset("shards", root).read_image(15)
    with pytest.raises(DataError, match=r"a file that ends in clip_15\.png"):
        write_shard_index(path)
    path.write_text("no archive")
    with pytest.raises(DataError, match="not tar"):
        write_shard_index(path)
    get_index_path(path).write_text("{")
    with pytest.raises(DataError, match=r"no index that can be read .* expected shard-000001\.index\.json"):
        open_dataset("shards", root)
    with pytest.raises(DataError, match=r"found no shards \(\*\.tar\)"):
        open_dataset("shards", root / "nowhere")


def test_few_files_are_open_however_many_shards_there_are(tmp_path: Path) -> None:
    for n in range(90):
        write(tmp_path / f"shard-{n:06d}.tar", n)
    data, before = open_dataset("shards", tmp_path), len(os.listdir("/proc/self/fd"))
    assert [data.read_image(i).getpixel((0, 0))[0] for i in range(90)] == [*range(90)]
    assert len(os.listdir("/proc/self/fd")) <= before + 64
    assert data.read_image(0).getpixel((0, 0)) == (0, 0, 0), "closed, and opened again"


def test_a_shard_that_cannot_be_opened_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_dataset("shards", root)

    def full(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", full)
        with pytest.raises(DataError, match=r"shard-000000\.tar: could not be read \(Too many open files\).*ulimit -n"):
            data.read_image(0)
    assert data.read_image(0).getpixel((0, 0)) == (0, 0, 0)
    again = write(root / "other.tar", 40)
    (root / "shard-000000.tar").unlink()
    again.rename(root / "shard-000000.tar")
    get_index_path(again).rename(get_index_path(root / "shard-000000.tar"))
    assert open_dataset("shards", root).read_image(0).getpixel((0, 0)) == (40, 0, 0), "another file of that name"


def test_a_key_stands_once(root: Path) -> None:
    write(root / "shard-000002.tar", 3)
    twice = r"shard-000002\.tar: found the sample clip_03, which shard-000000\.tar holds too"
    with pytest.raises(DataError, match=twice):
        open_dataset("shards", root)
    with ShardWriter(root / "new.tar") as writer:
        writer.add("a", {"json": b""})
        for key in ("a", "a.b", ""):
            with pytest.raises(DataError, match="expected one that is new and has no dot"):
                writer.add(key, {"json": b""})


@pytest.mark.parametrize("cut", [1, 700, 1300, 2000])
def test_what_is_whole_of_a_draft_is_kept(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.tar"
    with ShardWriter(path) as writer:
        for n in range(5):
            writer.add(f"clip_{n:02d}", sample(n))
    draft = get_draft_path(path)
    draft.write_bytes(draft.read_bytes()[:-cut])
    with ShardWriter(path) as writer:
        assert list(writer.index) == [f"clip_{n:02d}" for n in range(5)][: len(writer.index)]
        assert len(writer.index) == {1: 5, 700: 4, 1300: 4, 2000: 4}[cut]  # the last byte is but padding
        for n in range(len(writer.index), 5):
            writer.add(f"clip_{n:02d}", sample(n))
        writer.close()
    assert path.read_bytes() == write(tmp_path / "b.tar", *range(5)).read_bytes()


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    told = r"a\.tar: could not be written \(No space left on device\).*continues from them"
    with ShardWriter(tmp_path / "a.tar") as writer, Path("/dev/full").open("wb", buffering=0) as full:
        writer._file.close()
        writer._file = full
        with pytest.raises(OutputError, match=told):
            writer.add("a", {"json": json.dumps({}).encode()})
