"""Offline clusters: k-means over one embedding per sample (extra `kmeans`), and the files that keep them.

Embeddings are compared by direction. The center of a cluster is the mean of its members' embeddings as they are.
"""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from soundspot.errors import DataError, RecipeError
from soundspot.utils.atomic_io import atomic_write_folder
from soundspot.utils.safe_read import load_npy, read_json_object

MIN_MINIBATCH_SAMPLES = 50_000  # from which k-means goes through the samples in batches


@dataclass(frozen=True)
class Clusters:
    """Clusters of the n samples of a data set.

    Attributes:
        assignments: (n,) cluster of each sample, 0 to k - 1; no cluster is empty.
        centers: (k, d) float32 means of the embeddings of each cluster's members, not normalized.
        data_fingerprint: hash of the ids of the data set that was clustered.
    """

    assignments: Int[np.ndarray, " n"]
    centers: Float[np.ndarray, "k d"]
    data_fingerprint: str

    def one_hot(self, indices: NDArray[np.int64]) -> Float[Tensor, "2 b k"]:
        """Return the clusters of samples as one-hot labels, in the form of `soundspot.types.Batch.labels`.

        Args:
            indices: (b,) positions of the samples.

        Returns:
            (2, b, k) float32, the same for the images and for the audio.
        """
        codes = torch.from_numpy(np.asarray(self.assignments[indices], np.int64))
        return torch.nn.functional.one_hot(codes, len(self.centers)).float().expand(2, -1, -1)

    def save(self, folder: Path) -> None:
        """Write assignments.npy, centers.npy and meta.json; the folder appears at once when complete.

        Args:
            folder: path of the folder; clusters saved there before are replaced.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write_folder(folder, overwrite=True, marker_file="meta.json") as draft:
            np.save(draft / "assignments.npy", self.assignments)
            np.save(draft / "centers.npy", self.centers)
            (draft / "meta.json").write_text(json.dumps({"data_fingerprint": self.data_fingerprint}))

    @classmethod
    def load(cls, folder: Path, data_fingerprint: str) -> "Clusters":
        """Load clusters that `save` wrote.

        Args:
            folder: path of the folder.
            data_fingerprint: hash of the ids of the data set that they are to be used with.

        Returns:
            The clusters.

        Raises:
            DataError: there are none, they are damaged, or they are of another data set.
        """
        try:
            fingerprint = read_json_object(folder / "meta.json", "expected that of clusters")["data_fingerprint"]
            assignments, centers = (load_npy(folder / f"{name}.npy") for name in ("assignments", "centers"))
        except (OSError, ValueError, KeyError, DataError) as error:
            raise DataError(
                f"{folder}: no clusters can be read ({error}); remove the folder to make them anew"
            ) from error
        if fingerprint != data_fingerprint:
            raise DataError(
                f"{folder}: these clusters were made of another data set ({fingerprint}), expected {data_fingerprint}. "
                "Remove the folder to make them anew, or train elsewhere"
            )
        return cls(assignments, centers, data_fingerprint)


def fit_kmeans(vectors: Float[Tensor, "n d"], k: int, data_fingerprint: str, seed: int = 0) -> Clusters:
    """Cluster the directions of embeddings by k-means.

    Args:
        vectors: (n, d) embeddings of any norm, one per sample; an all-zero embedding stays at the origin.
        k: number of clusters.
        data_fingerprint: hash of the ids of the data set, kept with the clusters.
        seed: seed of k-means; the same vectors and seed give the same clusters. From 50,000 samples on, mini-batches
            are used.

    Returns:
        The clusters, none of them empty.

    Raises:
        RecipeError: scikit-learn is not installed.
        DataError: a vector is not finite, or there are fewer samples or distinct directions than clusters.
    """
    if len(vectors) < k:
        raise DataError(f"labels.num_clusters: found {k}, but there are {len(vectors)} samples; lower it")
    bad = (~torch.isfinite(vectors).all(dim=1)).nonzero().flatten()
    if len(bad):
        raise DataError(f"{len(bad)} of {len(vectors)} vectors to cluster are not finite (first: sample {int(bad[0])})")
    flat = vectors.double().numpy()
    directions = torch.nn.functional.normalize(vectors.double(), dim=1).numpy()
    assignments = fill_empty_clusters(directions, run_kmeans(directions, k, seed), k)
    centers = np.stack([flat[assignments == cluster].mean(axis=0) for cluster in range(k)])
    return Clusters(assignments, centers.astype(np.float32), data_fingerprint)


def run_kmeans(directions: Float[np.ndarray, "n d"], k: int, seed: int) -> Int[np.ndarray, " n"]:
    """Run scikit-learn's k-means, the best of 10 initializations; mini-batches of 4096 from 50,000 vectors on.

    Args:
        directions: (n, d) vectors, normalized.
        k: number of clusters.
        seed: seed of the initializations.

    Returns:
        (n,) int64 cluster of each vector, 0 to k - 1; a cluster may be empty.

    Raises:
        RecipeError: scikit-learn is not installed.
    """
    try:
        from sklearn.cluster import KMeans, MiniBatchKMeans
    except ImportError as error:
        raise RecipeError(
            '`labels.source: clusters` needs scikit-learn; install it with `pip install "soundspot[kmeans]"`'
        ) from error
    is_small = len(directions) < MIN_MINIBATCH_SAMPLES
    estimator, options = (KMeans, {}) if is_small else (MiniBatchKMeans, {"batch_size": 4096})
    with warnings.catch_warnings():  # fewer distinct vectors than clusters: `fill_empty_clusters` raises
        warnings.simplefilter("ignore")
        return np.asarray(estimator(k, n_init=10, random_state=seed, **options).fit(directions).labels_, np.int64)


def fill_empty_clusters(
    directions: Float[np.ndarray, "n d"], assignments: Int[np.ndarray, " n"], k: int
) -> Int[np.ndarray, " n"]:
    """Move the sample farthest from its own center into each empty cluster.

    Args:
        directions: (n, d) vectors that were clustered.
        assignments: (n,) cluster of each vector, 0 to k - 1; not changed.
        k: number of clusters.

    Returns:
        (n,) new assignments, in which no cluster is empty.

    Raises:
        DataError: every sample lies at its center, so there are fewer directions than clusters.
    """
    assignments = assignments.copy()
    while len(empty := np.setdiff1d(np.arange(k), assignments)):
        sizes = np.bincount(assignments, minlength=k)
        sums = np.zeros((k, directions.shape[1]))
        np.add.at(sums, assignments, directions)
        distance = np.linalg.norm(directions - (sums / np.maximum(sizes, 1)[:, None])[assignments], axis=1)
        distance[sizes[assignments] < 2] = 0
        if distance.max() < 1e-6:
            raise DataError(
                f"the {len(assignments)} vectors to cluster have {k - len(empty)} directions, fewer than the {k} "
                "clusters asked for: the features have collapsed, or the data set is too small. Lower "
                "`labels.num_clusters`, or make clusters at another time (`labels.cluster_schedule`)"
            )
        assignments[distance.argmax()] = empty[0]
    return assignments
