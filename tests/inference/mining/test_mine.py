"""Mining goes on where it was stopped and takes over what was made before samples were added: the same bytes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
import torch

import embedded
from conftest import ROOT
from embedded import Clips, Hashing, clips
from schemas import check_output
from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.neighbors import exact_knn
from soundspot.data.neighbors.exact_knn import find_neighbors
from soundspot.data.neighbors.table import NeighborTable, fingerprint_ids
from soundspot.errors import DataError, OutputError, RecipeError
from soundspot.inference.localizer import Localizer
from soundspot.inference.mining import mine as mining
from soundspot.inference.mining.mine import MiningOptions, SampleEmbeddings, mine_neighbors
from soundspot.methods import create
from soundspot.utils.npy_writer import RowWriter

KEPT = MiningOptions(20, keep_embeddings=True, batch_size=16)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (exact_knn, mining):
        monkeypatch.setattr(module, "ROWS_PER_BLOCK", 16)


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_table_holds_the_nearest_of_each_modality_and_says_whose_they_are(tmp_path: Path) -> None:
    data, by = clips(50), Hashing()
    table = mine_neighbors(by, data, tmp_path / "t", MiningOptions(9, batch_size=16))
    groups = [data.group(i) for i in range(50)]
    pictures = by.embed_images([by.read_image(data, i) for i in range(50)])
    sounds = by.embed_audio([by.read_audio(data, i) for i in range(50)])
    np.testing.assert_array_equal(table.images, find_neighbors(pictures, 9, groups))
    np.testing.assert_array_equal(table.audio, find_neighbors(sounds, 9, groups))
    assert isinstance(table.images, np.memmap)
    assert (table.encoder, table.weights_digest, table.data_fingerprint) == (
        "hashing",
        by.weights_digest,
        fingerprint_ids(data.ids),
    )
    assert [*everything(tmp_path / "t")] == ["audio.npy", "ids.txt", "images.npy", "meta.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["t"], "no draft is left"
    check_output(json.loads((tmp_path / "t" / "meta.json").read_text()), "neighbors")
    assert (tmp_path / "t" / "ids.txt").read_text().split("\n") == data.ids
    assert (NeighborTable.load(tmp_path / "t").weights_digest, table.recall) == (by.weights_digest, {})


def test_every_batch_is_full_and_every_sample_is_read_once(tmp_path: Path) -> None:
    by = Hashing()
    mine_neighbors(by, clips(50), tmp_path / "t", MiningOptions(9, batch_size=16))
    assert set(by.sizes) == {16}
    assert set(by.asked.values()) == {1}
    assert len(by.asked) == 100


def kill_when(ready: Callable[[], bool], output: Path) -> None:
    """SIGKILL of a process that mines `clips()`, once something is there; all of its draft is kept."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests" / "data")])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    run = subprocess.Popen([sys.executable, embedded.__file__, str(output)], env=env)
    deadline = time.monotonic() + 60
    while not ready():
        assert run.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not output.exists()


def test_killed_twice_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    whole, broken, part = tmp_path / "whole", tmp_path / "broken", tmp_path / ".broken.part" / "new"
    embedded.clips()
    mine_neighbors(Hashing(), clips(), whole, KEPT)

    def size(name: str) -> int:
        return (part / name).stat().st_size if (part / name).exists() else 0

    kill_when(lambda: size("images.embeddings.npy") > 5000, broken)
    embedded_first = size("images.embeddings.npy")
    assert 5000 < embedded_first < (whole / "images.embeddings.npy").stat().st_size
    kill_when(lambda: size("audio.npy") > 5000, broken)
    assert size("images.npy") == (whole / "images.npy").stat().st_size
    assert size("audio.npy") < (whole / "audio.npy").stat().st_size
    last = Hashing()
    mine_neighbors(last, clips(), broken, KEPT)
    assert everything(broken) == everything(whole)
    assert not last.asked, "nothing is embedded again"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "whole"]


class Stopped(Exception):
    pass


@pytest.mark.parametrize("after", [1, 4, 9, 14, 80])
@pytest.mark.parametrize("extended", [False, True])
def test_stopped_anywhere_it_ends_with_the_same_bytes(
    after: int, extended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = KEPT
    if extended:
        mine_neighbors(Hashing(), Clips(clips(90).ids[:7] + clips(90).ids[9:80]), tmp_path / "old", KEPT)
        how = replace(KEPT, extend=tmp_path / "old")
    mine_neighbors(Hashing(), clips(90), tmp_path / "whole", how)
    append, left = RowWriter.append, after

    def counted(self: RowWriter, rows: np.ndarray) -> None:
        nonlocal left
        left -= 1
        append(self, rows[: 3 if left == 0 else None])
        if left == 0:
            self._file.write(b"a part of a row")
            raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(RowWriter, "append", counted)
        if after < 80:
            with pytest.raises(Stopped):
                mine_neighbors(Hashing(), clips(90), tmp_path / "broken", how)
    mine_neighbors(Hashing(), clips(90), tmp_path / "broken", how)
    assert everything(tmp_path / "broken") == everything(tmp_path / "whole")


def test_a_draft_of_something_else_is_told_and_kept_unless_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: RowWriter, rows: np.ndarray) -> None:
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(RowWriter, "append", full)
        with pytest.raises(Stopped):
            mine_neighbors(Hashing(), clips(40), tmp_path / "t", MiningOptions(9))
    before = sorted((tmp_path / ".t.part").rglob("*"))
    for other, words in (
        ((Hashing(), clips(40), tmp_path / "t", MiningOptions(8)), "k 9, now 8"),
        (
            (Hashing(weights_digest="f" * 16), clips(40), tmp_path / "t", MiningOptions(9)),
            "weights_digest '0123456789abcdef', now 'ffff",
        ),
    ):
        with pytest.raises(OutputError, match=rf"\.t\.part: holds what was begun with other options \({words}"):
            mine_neighbors(*other)
        assert sorted((tmp_path / ".t.part").rglob("*")) == before
    assert mine_neighbors(Hashing(), clips(40), tmp_path / "t", MiningOptions(8, overwrite=True)).images.shape == (
        40,
        8,
    )


def test_a_disk_that_is_full_is_told(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with RowWriter(tmp_path / "a.npy", 3, np.int32) as rows:
        rows._file.close()
        rows._file = FileIO("/dev/full", "wb")
        with pytest.raises(
            OutputError, match=r"a.npy: could not be written \(No space left on device\): .*make room there"
        ):
            rows.append(np.zeros((2, 3), np.int32))


def test_a_table_of_vectors_that_are_there(tmp_path: Path) -> None:
    pictures, sounds = torch.randn(30, 5), torch.randn(30, 4)
    table = mine_neighbors(SampleEmbeddings(pictures, sounds, "mine"), clips(30), tmp_path / "t", MiningOptions(6))
    np.testing.assert_array_equal(table.audio, find_neighbors(sounds, 6, [clips(30).group(i) for i in range(30)]))
    with pytest.raises(RecipeError, match="you have them already"):
        mine_neighbors(SampleEmbeddings(pictures, sounds, "mine"), clips(30), tmp_path / "u", KEPT)


# Samples are added.


ADDED = {
    "at the end": lambda ids: ids[:80],
    "in between": lambda ids: [id for i, id in enumerate(ids) if i % 9],
    "most of them": lambda ids: ids[10:50],
    "none": lambda ids: ids,
}


@pytest.mark.parametrize("where", ADDED)
def test_an_extended_table_is_the_one_made_anew(where: str, tmp_path: Path) -> None:
    ids = clips(100).ids
    old = Clips(ADDED[where](ids))
    mine_neighbors(Hashing(), old, tmp_path / "old", replace(KEPT, k=30))
    mine_neighbors(Hashing(), clips(100), tmp_path / "anew", KEPT)
    by = Hashing()
    mine_neighbors(by, clips(100), tmp_path / "extended", replace(KEPT, extend=tmp_path / "old"))
    assert everything(tmp_path / "extended") == everything(tmp_path / "anew")
    assert {name.split(" ", 1)[1] for name in by.asked} == set(ids) - set(old.ids)
    extend = replace(KEPT, extend=tmp_path / "old", overwrite=True)
    again = mine_neighbors(Hashing(), clips(100), tmp_path / "old", extend)
    np.testing.assert_array_equal(again.images, np.load(tmp_path / "anew" / "images.npy"))


def test_a_networks_vectors_are_the_same_whoever_is_embedded_with_them(tmp_path: Path) -> None:
    scenes = {"size": 64, "seconds": 1.0, "regenerate": False}
    few, all_of = (open_dataset("scenes", length=length, **scenes) for length in (37, 45))
    front_end = InputSpec(ImageSpec(64), AudioSpec(16000, 0.5))
    tiny = {"encoder": "resnet", "blocks": [1, 1], "strides": [1, 2], "width": 8}
    localizer = Localizer(create("alignment", image=tiny, audio=tiny, front_end=front_end).eval())
    mine_neighbors(localizer, few, tmp_path / "old", replace(KEPT, k=6))
    mine_neighbors(localizer, all_of, tmp_path / "anew", replace(KEPT, k=6))
    mine_neighbors(localizer, all_of, tmp_path / "extended", replace(KEPT, k=6, extend=tmp_path / "old"))
    assert everything(tmp_path / "extended") == everything(tmp_path / "anew")
    assert len(json.loads((tmp_path / "anew" / "meta.json").read_text())["weights_digest"]) == 16


def test_what_cannot_be_extended_is_told(tmp_path: Path) -> None:
    mine_neighbors(Hashing(), clips(40), tmp_path / "old", KEPT)
    mine_neighbors(Hashing(), clips(40), tmp_path / "bare", replace(KEPT, keep_embeddings=False))

    def refused(words: str, data: Clips, by: Hashing | None = None, old: str = "old") -> None:
        with pytest.raises(DataError, match=words):
            mine_neighbors(by or Hashing(), data, tmp_path / "new", replace(KEPT, extend=tmp_path / old))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "old"]

    ids = clips(44).ids
    refused(
        r"made by hashing 0123\w+, expected hashing ffff. Extend with the same",
        clips(44),
        Hashing(weights_digest="ffff"),
    )
    refused("made by hashing 0123", clips(44), Hashing(name="other"))
    refused(r"2 of its 40 samples are not in the data set \(first: 'clip 0000a'\)", Clips(ids[2:]))
    refused("stand in another order", Clips([ids[1], ids[0], *ids[2:]]))
    refused("images.embeddings.npy: cannot be read .* mine anew with --keep-embeddings", clips(44), old="bare")
    regrouped = clips(44)
    regrouped.group = regrouped.id
    refused("belong to other groups", regrouped)
    (tmp_path / "old" / "audio.embeddings.npy").write_bytes((tmp_path / "old" / "images.npy").read_bytes())
    refused(r"holds int32 of shape \(40, 20\), expected float32 of 40 samples", clips(44))
    refused("no neighbor table can be read", clips(44), old="none")


def test_without_faiss_its_indexes_are_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    by = Hashing()
    with pytest.raises(
        RecipeError, match=r"needs FAISS; install it with `pip install soundspot\[ann\]`, or use `exact`"
    ):
        mine_neighbors(by, clips(50), tmp_path / "t", MiningOptions(5, "ivf"))
    assert not by.asked
    assert not list(tmp_path.iterdir())


def test_meta_says_what_made_it(tmp_path: Path) -> None:
    mine_neighbors(Hashing(), clips(40), tmp_path / "t", MiningOptions(5))
    meta = json.loads((tmp_path / "t" / "meta.json").read_text())
    check_output(meta, "neighbors")
    groups = fingerprint_ids([clips(40).group(i) for i in range(40)])
    assert meta == {
        "data_fingerprint": fingerprint_ids(clips(40).ids),
        "groups": groups,
        "encoder": "hashing",
        "weights_digest": "0123456789abcdef",
        "n": 40,
        "k": 5,
        "index_type": "exact",
    }


def test_vectors_that_tell_nothing_are_told_before_anything_is_written(tmp_path: Path) -> None:
    """A dead encoder's table would look like any other."""
    data, good = clips(10), torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    broken, dead = good.clone(), good.clone()
    broken[3, 1], dead[[2, 7]] = torch.nan, 0.0
    with pytest.raises(DataError, match=rf"audio: 1 of 10 embeddings are not finite \(first: {data.id(3)}\)"):
        mine_neighbors(SampleEmbeddings(good, broken, "mine"), data, tmp_path / "t", MiningOptions(3))
    assert not list(tmp_path.iterdir())
    with pytest.warns(UserWarning, match=rf"images: 2 of 10 embeddings are all zero \(first: {data.id(2)}\)"):
        mine_neighbors(SampleEmbeddings(dead, good, "mine"), data, tmp_path / "t", MiningOptions(3))
    for wrong in ({"num_probes": 0}, {"k": 0}, {"batch_size": 0}):
        with pytest.raises(RecipeError, match=f"{next(iter(wrong))}: found 0, expected 1 or more"):
            MiningOptions(**wrong)


@pytest.mark.parametrize(
    ("file", "content"),
    [("ids.txt", b"\xff"), ("meta.json", b'{"n": 1}'), ("meta.json", b"["), ("images.embeddings.npy", b"x")],
)
def test_a_damaged_table_is_not_extended(file: str, content: bytes, tmp_path: Path) -> None:
    mine_neighbors(Hashing(), clips(40), tmp_path / "old", KEPT)
    (tmp_path / "old" / file).write_bytes(content)
    with pytest.raises(DataError, match=f"{tmp_path / 'old'}"):
        mine_neighbors(Hashing(), clips(44), tmp_path / "new", replace(KEPT, extend=tmp_path / "old"))
