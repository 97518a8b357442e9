"""Neighbor tables are exact, kept whole, bound to their data set, and drawn from as the recipe says."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from soundspot.data.neighbors.exact_knn import find_neighbors
from soundspot.data.neighbors.table import NeighborTable, fingerprint_ids
from soundspot.errors import DataError


def vectors(n: int = 40, d: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def table(n: int = 30, k: int = 8, data: str = "this") -> NeighborTable:
    return NeighborTable(find_neighbors(vectors(n), k), find_neighbors(vectors(n, seed=1), k), data, "some encoder")


def save(table: NeighborTable, folder: Path) -> None:
    """As mining writes a table."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "images.npy", table.images)
    np.save(folder / "audio.npy", table.audio)
    n, k = table.images.shape
    meta = {"data_fingerprint": table.data_fingerprint, "encoder": table.encoder, "weights_digest": "", "n": n, "k": k}
    (folder / "meta.json").write_text(json.dumps(meta))


def test_saved_and_loaded_it_is_the_same_and_memory_mapped(tmp_path) -> None:
    save(table(), tmp_path / "t")
    back = NeighborTable.load(tmp_path / "t", "this")
    np.testing.assert_array_equal(back.images, table().images)
    np.testing.assert_array_equal(back.audio, table().audio)
    assert isinstance(back.images, np.memmap)
    assert (back.data_fingerprint, back.encoder) == ("this", "some encoder")


def test_a_table_of_another_data_set_is_refused_by_name(tmp_path) -> None:
    save(table(data=fingerprint_ids(["a", "b"])), tmp_path)
    with pytest.raises(DataError) as refused:
        NeighborTable.load(tmp_path, fingerprint_ids(["b", "a"]))
    said = str(refused.value)
    assert said.startswith(f"{tmp_path}: this neighbor table was made for another data set")
    assert fingerprint_ids(["a", "b"]) in said
    assert f"expected {fingerprint_ids(['b', 'a'])}" in said
    assert "soundspot neighbors mine" in said


def test_fingerprints_know_order_and_boundaries() -> None:
    prints = {fingerprint_ids(ids) for ids in (["a", "b"], ["b", "a"], ["ab"], ["a"], ["a", "b", ""])}
    assert len(prints) == 5


def test_no_table_is_told(tmp_path) -> None:
    with pytest.raises(DataError, match=r"no neighbor table can be read .*make it with `soundspot neighbors mine`"):
        NeighborTable.load(tmp_path)


def test_a_cut_table_is_told(tmp_path) -> None:
    save(table(), tmp_path)
    whole = (tmp_path / "audio.npy").read_bytes()
    (tmp_path / "audio.npy").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="no neighbor table can be read"):
        NeighborTable.load(tmp_path)


def test_a_meta_that_says_otherwise_is_told(tmp_path) -> None:
    save(table(), tmp_path)
    meta = json.loads((tmp_path / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps({**meta, "k": 3}))
    with pytest.raises(
        DataError, match=r"found tables of \(30, 8\) and \(30, 8\), expected \(30, 3\) as meta.json says; mine again"
    ):
        NeighborTable.load(tmp_path)


INDEX = np.arange(30)


def test_random_draws_are_among_the_first_k_and_even() -> None:
    t = table()
    counts = np.zeros(4)
    for epoch in range(300):
        drawn = t.draw("images", (0, epoch), INDEX, 4, "random")
        place = (t.images[:, :4] == drawn[:, None]).argmax(axis=1)
        assert (t.images[INDEX, place] == drawn).all()
        counts += np.bincount(place, minlength=4)
    np.testing.assert_allclose(counts / counts.sum(), 0.25, atol=0.02)


def test_draws_depend_on_key_and_sample_alone() -> None:
    t = table()
    whole = t.draw("audio", (3, 1), INDEX, 8, "random")
    some = np.array([17, 4, 22])
    np.testing.assert_array_equal(t.draw("audio", (3, 1), some, 8, "random"), whole[some])
    assert (t.draw("audio", (3, 2), INDEX, 8, "random") != whole).any()
    same = NeighborTable(t.audio, t.audio, "this")
    assert (same.draw("images", (3, 1), INDEX, 8, "random") != whole).any(), "modalities draw by themselves"


def test_fixed_is_the_nearest_and_anchor_the_sample_itself() -> None:
    t = table()
    np.testing.assert_array_equal(t.draw("images", (0,), INDEX, 5, "fixed"), t.images[:, 0])
    np.testing.assert_array_equal(t.draw("audio", (0,), INDEX, 5, "anchor"), INDEX)


@pytest.mark.parametrize("how", ["random", "fixed"])
def test_more_than_the_table_holds_is_refused(how: str) -> None:
    with pytest.raises(DataError, match="k: found 9, but the table holds 8 neighbors of each sample; lower `k`"):
        table().draw("images", (0,), INDEX, 9, how)


def test_alike_is_symmetric_and_knows_both_modalities() -> None:
    t, index, k = table(), np.array([3, 29, 11, 0, 8, 21]), 3
    expected = np.zeros((6, 6), bool)
    for a, i in enumerate(index):
        for b, j in enumerate(index):
            for near in (t.images, t.audio):
                expected[a, b] |= j in near[i, :k] or i in near[j, :k]
    mask = t.false_negative_mask(index, k)
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(mask, mask.T)
    assert not mask.diagonal().any()
    assert mask.any()
