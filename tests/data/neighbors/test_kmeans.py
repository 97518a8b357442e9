"""Offline clusters are those of the vectors' directions, never empty, and kept whole."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from schemas import check_output
from soundspot.data.neighbors import kmeans as clusters
from soundspot.data.neighbors.kmeans import Clusters, fill_empty_clusters, fit_kmeans
from soundspot.errors import DataError, RecipeError

pytest.importorskip("sklearn", reason="the extra `clusters` is not installed")


def blobs(each: int = 20, k: int = 4, d: int = 8) -> torch.Tensor:
    """k directions, `each` vectors of any length about each."""
    chance = torch.Generator().manual_seed(0)
    middles = torch.linalg.qr(torch.randn(d, d, generator=chance))[0][:k]
    vectors = middles.repeat_interleave(each, 0) + 0.05 * torch.randn(each * k, d, generator=chance)
    return vectors * torch.rand(each * k, 1, generator=chance).add(0.1) * 30


@pytest.mark.parametrize("large", [False, True])
def test_directions_that_lie_together_are_a_cluster(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "MIN_MINIBATCH_SAMPLES", 10 if large else 10**6)
    vectors = blobs()
    found = fit_kmeans(vectors, 4, "this")
    assert [len(set(found.assignments[i : i + 20].tolist())) for i in range(0, 80, 20)] == [1, 1, 1, 1]
    assert set(found.assignments.tolist()) == {0, 1, 2, 3}
    for cluster in range(4):  # the mean of its members as they are
        mean = vectors[torch.from_numpy(found.assignments == cluster)].mean(dim=0)
        torch.testing.assert_close(torch.from_numpy(found.centers[cluster]), mean)


def test_the_same_seed_has_the_same_clusters() -> None:
    vectors = torch.randn(200, 6, generator=torch.Generator().manual_seed(1))
    one, other = (fit_kmeans(vectors, 9, "this", seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.assignments, other.assignments)


def test_labels_are_one_hot_in_both_modalities() -> None:
    found = Clusters(np.array([2, 0, 1, 2]), np.zeros((3, 5), np.float32), "this")
    labels = found.one_hot(np.array([3, 1]))
    assert labels.tolist() == [[[0, 0, 1], [1, 0, 0]]] * 2


def test_an_empty_cluster_is_begun_anew_by_the_sample_farthest_off() -> None:
    directions = np.array([[0.0, 0], [0, 0.1], [0, 0.2], [5, 5], [9, 0], [9, 0.3]])
    members = fill_empty_clusters(directions, np.array([0, 0, 0, 0, 2, 2]), 4)
    assert members.tolist() == [0, 0, 0, 1, 3, 2]  # [5, 5] first; then the pair, of which the first is as far off


def test_fewer_directions_than_clusters_are_refused() -> None:
    vectors = torch.eye(3).repeat(10, 1) * torch.arange(1, 31)[:, None]
    assert set(fit_kmeans(vectors, 3, "this").assignments.tolist()) == {0, 1, 2}
    with pytest.raises(DataError, match=r"the 30 vectors to cluster have 3 directions, fewer than the 4 clusters"):
        fit_kmeans(vectors, 4, "this")
    with pytest.raises(DataError, match="1 directions, fewer than the 2 clusters"):
        fit_kmeans(torch.zeros(30, 3), 2, "this")
    with pytest.raises(DataError, match=r"labels.num_clusters: found 4, but there are 3 samples"):
        fit_kmeans(torch.eye(3), 4, "this")


def test_vectors_that_are_not_finite_are_named() -> None:
    vectors = blobs()
    vectors[7, 2] = torch.nan
    with pytest.raises(DataError, match=r"1 of 80 vectors to cluster are not finite \(first: sample 7\)"):
        fit_kmeans(vectors, 4, "this")


def test_without_scikit_learn_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(RecipeError, match=r'install it with `pip install "soundspot\[kmeans\]"`'):
        fit_kmeans(blobs(), 4, "this")


def test_saved_and_loaded_they_are_the_same_and_of_their_data_set(tmp_path: Path) -> None:
    found = fit_kmeans(blobs(), 4, "this")
    found.save(tmp_path / "c")
    check_output(json.loads((tmp_path / "c" / "meta.json").read_text()), "clusters")
    again = Clusters.load(tmp_path / "c", "this")
    np.testing.assert_array_equal(again.assignments, found.assignments)
    np.testing.assert_array_equal(again.centers, found.centers)
    with pytest.raises(DataError, match=r"made of another data set \(this\), expected other"):
        Clusters.load(tmp_path / "c", "other")
    (tmp_path / "c" / "assignments.npy").write_bytes(b"no")
    with pytest.raises(DataError, match="no clusters can be read"):
        Clusters.load(tmp_path / "c", "this")
