"""Offline clusters: k-means over one vector of each sample (extra `clusters`), and the files that keep them.

Vectors are compared by direction. A cluster's centre is the mean of its members' vectors as they are.
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

LARGE = 50_000  # samples from which k-means sees a batch of them at a time


@dataclass(frozen=True)
class Clusters:
    """Which cluster each sample is in.

    Attributes:
        members: (n,) from 0 to k - 1; each is somebody's.
        centres: (k, d).
        data: fingerprint of the data set that they were made of.
    """

    assignments: Int[np.ndarray, " n"]
    centers: Float[np.ndarray, "k d"]
    data_fingerprint: str

    def one_hot(self, indices: NDArray[np.int64]) -> Float[Tensor, "2 b k"]:
        """As labels (`soundspot.types.Batch.labels`): picture and sound of a sample are of its cluster."""
        codes = torch.from_numpy(np.asarray(self.assignments[indices], np.int64))
        return torch.nn.functional.one_hot(codes, len(self.centers)).float().expand(2, -1, -1)

    def save(self, folder: Path) -> None:
        """Writes members.npy, centres.npy and meta.json; the folder appears whole."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write_folder(folder, overwrite=True, marker_file="meta.json") as draft:
            np.save(draft / "members.npy", self.assignments)
            np.save(draft / "centres.npy", self.centers)
            (draft / "meta.json").write_text(json.dumps({"data": self.data_fingerprint, "shape": self.centers.shape}))

    @classmethod
    def load(cls, folder: Path, data_fingerprint: str) -> "Clusters":
        """Reads what `save` wrote.

        Raises:
            DataError: there are none, they are damaged, or they are another data set's.
        """
        try:
            meta = json.loads((folder / "meta.json").read_text())
            members, centres = (np.load(folder / f"{name}.npy") for name in ("members", "centres"))
        except (OSError, ValueError) as error:
            raise DataError(
                f"{folder}: no clusters can be read ({error}); remove the folder to make them anew"
            ) from error
        if meta["data"] != data_fingerprint:
            raise DataError(
                f"{folder}: these clusters were made of another data set ({meta['data']}), expected {data_fingerprint}. Remove the "
                "folder to make them anew, or train elsewhere"
            )
        return cls(members, centres, data_fingerprint)


def fit_kmeans(vectors: Float[Tensor, "n d"], k: int, data_fingerprint: str, seed: int = 0) -> Clusters:
    """k-means of the vectors' directions.

    Args:
        vectors: one of each sample; one that is all zero has no direction and counts as the middle of all.
        data: fingerprint of the data set.
        seed: the same vectors and seed have the same clusters. From 50,000 samples on batches of them are looked at.

    Raises:
        RecipeError: scikit-learn is not installed.
        DataError: a vector is not finite, or fewer of them differ than there are clusters.
    """
    if len(vectors) < k:
        raise DataError(f"{k} clusters were asked of {len(vectors)} samples; lower `labels.clusters`")
    bad = (~torch.isfinite(vectors).all(dim=1)).nonzero().flatten()
    if len(bad):
        raise DataError(f"{len(bad)} of {len(vectors)} vectors to cluster are not finite (first: sample {int(bad[0])})")
    flat = vectors.double().numpy()
    directions = torch.nn.functional.normalize(vectors.double(), dim=1).numpy()
    members = fill_empty_clusters(directions, grouped(directions, k, seed), k)
    centres = np.stack([flat[members == cluster].mean(axis=0) for cluster in range(k)])
    return Clusters(members, centres.astype(np.float32), data_fingerprint)


def grouped(directions: Float[np.ndarray, "n d"], k: int, seed: int) -> Int[np.ndarray, " n"]:
    """scikit-learn's k-means; a cluster may be empty."""
    try:
        from sklearn.cluster import KMeans, MiniBatchKMeans
    except ImportError as error:
        raise RecipeError(
            '`labels.source: clusters` needs scikit-learn; install it with `pip install "soundspot[kmeans]"`'
        ) from error
    kind, options = (KMeans, {}) if len(directions) < LARGE else (MiniBatchKMeans, {"batch_size": 4096})
    with warnings.catch_warnings():  # fewer distinct vectors than clusters: `filled` says it in our words
        warnings.simplefilter("ignore")
        found = kind(k, n_init=10, random_state=seed, **options).fit(directions)
    return np.asarray(found.labels_, np.int64)


def fill_empty_clusters(
    directions: Float[np.ndarray, "n d"], assignments: Int[np.ndarray, " n"], k: int
) -> Int[np.ndarray, " n"]:
    """The same with every empty cluster begun anew by the sample that lies farthest from its own cluster's centre.

    Raises:
        DataError: there is none that lies off its centre: fewer vectors differ than there are clusters.
    """
    assignments = assignments.copy()
    while len(empty := np.setdiff1d(np.arange(k), assignments)):
        sizes = np.bincount(assignments, minlength=k)
        sums = np.zeros((k, directions.shape[1]))
        np.add.at(sums, assignments, directions)
        off = np.linalg.norm(directions - (sums / np.maximum(sizes, 1)[:, None])[assignments], axis=1)
        off[sizes[assignments] < 2] = 0
        if off.max() < 1e-6:
            raise DataError(
                f"the {len(assignments)} vectors to cluster have {k - len(empty)} directions, fewer than the {k} clusters "
                "asked for: the features have collapsed, or the data set is too small. Lower `labels.clusters`, or "
                "make clusters at another time (`labels.at`)"
            )
        assignments[off.argmax()] = empty[0]
    return assignments
