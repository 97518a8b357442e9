"""FAISS finds most of what the exact search finds, says how much, and answers for every row."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soundspot.data.neighbors.exact_knn import find_neighbors
from soundspot.data.neighbors.faiss import ApproximateSearch, measure_recall

pytest.importorskip("faiss", reason="the extra `ann` is not installed")

N = 39 * 256 + 16


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    """Clusters, as embeddings have them: 40 of about 250."""
    chance = torch.Generator().manual_seed(0)
    return torch.randn(40, 16, generator=chance)[torch.arange(N) % 40] + 0.3 * torch.randn(N, 16, generator=chance)


def mined(
    x: torch.Tensor, file: Path, groups: list[str] | None = None, rows: int | None = None, **how: int
) -> np.ndarray:
    search = ApproximateSearch(x, 20, groups, file, **how)
    return np.concatenate([search(some) for some in torch.arange(rows or len(x)).split(700)])


def test_most_true_neighbours_are_found_and_their_share_is_measured(tmp_path: Path) -> None:
    x = torch.randn(2000, 16, generator=torch.Generator().manual_seed(0))
    groups = [f"{i // 5}" for i in range(2000)]
    table, true = mined(x, tmp_path / "i", groups, num_probes=16), find_neighbors(x, 20, groups)
    share = np.mean([len(set(a) & set(b)) / 20 for a, b in zip(table, true, strict=True)])
    assert 0.5 < share < 1
    assert measure_recall(table, x, groups) == pytest.approx(share, abs=0.02)
    assert measure_recall(true, x, groups) == 1.0
    assert not (table // 5 == np.arange(2000)[:, None] // 5).any()
    assert all(len(set(row)) == 20 for row in table.tolist())


def test_with_every_cell_looked_into_ivf_is_exact(x: torch.Tensor, tmp_path: Path) -> None:
    table = mined(x[:2000], tmp_path / "i", num_probes=2000)
    np.testing.assert_array_equal(table, find_neighbors(x[:2000], 20))
    assert measure_recall(table, x[:2000], None) == 1


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 30), st.sampled_from([None, 3]))
def test_equal_vectors_are_neighbours_by_the_lower_position(
    tmp_path: Path, seed: int, distinct: int, k: int, group_size: int | None
) -> None:
    """Copies of a few vectors: FAISS's own order of equal products depends on how many are asked for."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(distinct, 12, generator=draw)[torch.randint(0, distinct, (160,), generator=draw)]
    groups = None if group_size is None else [f"{i // group_size}" for i in range(160)]
    (tmp_path / "i").unlink(missing_ok=True)
    table = ApproximateSearch(x, k, groups, tmp_path / "i", num_probes=1000)(torch.arange(160))
    np.testing.assert_array_equal(table, find_neighbors(x, k, groups))
    assert measure_recall(table[:, ::-1].copy(), x, groups) == 1


def test_any_of_equal_neighbours_is_a_true_one() -> None:
    x = torch.eye(4)[torch.arange(12) % 4]
    table = np.array([[(i + 4 * step) % 12 for step in (2, 1)][:1] for i in range(12)], np.int32)
    assert measure_recall(table, x, None) == 1
    table[0] = 1
    assert measure_recall(table, x, None) == pytest.approx(11 / 12)


def test_rows_that_find_too_few_look_further(x: torch.Tensor, tmp_path: Path) -> None:
    table = mined(x[:800], tmp_path / "i", groups=[f"{i % 2}" for i in range(800)], num_probes=1)
    assert (table % 2 != np.arange(800)[:, None] % 2).all()


def test_an_index_that_is_there_is_used(x: torch.Tensor, tmp_path: Path) -> None:
    table = mined(x[:2000], tmp_path / "i")
    before = (tmp_path / "i").stat().st_mtime_ns
    np.testing.assert_array_equal(mined(x[:2000], tmp_path / "i"), table)
    assert (tmp_path / "i").stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.iterdir()] == ["i"]


def test_a_table_says_how_much_is_found(x: torch.Tensor, tmp_path: Path) -> None:
    from embedded import clips
    from soundspot.inference.mining.mine import MiningOptions, SampleEmbeddings, mine_neighbors

    embeddings = SampleEmbeddings(x[:900], x[100:1000], "npy")
    table = mine_neighbors(embeddings, clips(900), tmp_path / "t", MiningOptions(20, "ivf", num_probes=4))
    assert table.recall.keys() == {"images", "audio"}
    assert 0.5 < table.recall["images"] <= 1
    groups = [clips(900).group(i) for i in range(900)]
    assert table.recall["images"] == measure_recall(np.asarray(table.images), x[:900].numpy(), groups)
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == [
        "audio.npy",
        "ids.txt",
        "images.npy",
        "meta.json",
    ]
