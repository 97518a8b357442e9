"""Soft k-means of local features, and the distance of the clusters of two modalities.

Hu, Nie and Li, "Deep Multimodal Clustering for Unsupervised Audiovisual Learning", CVPR 2019, as released for PyTorch.
b samples, n tokens (locations of an image or of a spectrogram), k clusters.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from soundspot.errors import RecipeError
from soundspot.losses.contrastive import full_precision
from soundspot.losses.distances import pairwise_distances

EPS = 1e-9  # of a squared distance, under a root


@dataclass(frozen=True)
class SoftClusters:
    """Centers and soft assignments of a soft k-means.

    Attributes:
        centers: (b, k, d) cluster centers after the last iteration, float32 or float64.
        assignments: (b, k, n) weight of each token in each cluster, from which those centers were computed; in [0, 1],
            with sum 1 over k.
    """

    centers: Float[Tensor, "b k d"]
    assignments: Float[Tensor, "b k n"]


@full_precision
def soft_kmeans(tokens: Float[Tensor, "b n d"], k: int, iterations: int = 4, sharpness: float = 30.0) -> SoftClusters:
    """Cluster tokens by soft k-means.

    a_kn = softmax over k of (-sharpness |c_k - x_n|)          c_k = sum_n a_kn x_n / sum_n a_kn

    Distances are those of the tokens without normalization, so a large `sharpness` all but gives each token to one
    cluster. Computed from logarithms: a cluster that loses every token becomes the mean of those that it is nearest to
    keeping, where the quotient above would be 0 / 0.

    Args:
        tokens: (b, n, d) local features, not normalized here.
        k: number of clusters, from 1 to n. The initial centers are the tokens at 0, n // k, 2 (n // k), ...
        iterations: number of iterations, 1 or more; each updates assignments, then centers.
        sharpness: factor of the Euclidean distances.

    Returns:
        Centers (b, k, d) and assignments (b, k, n); gradients run through all iterations.

    Raises:
        RecipeError: k is below 1 or above the number of tokens.
    """
    n = tokens.shape[1]
    if not 0 < k <= n:
        raise RecipeError(
            f"found {k} clusters of {n} local features, expected 1 to {n}. Ask for fewer, or for larger inputs"
        )
    tokens = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
    centers = tokens[:, torch.arange(k, device=tokens.device) * (n // k)]
    for _ in range(iterations):
        logs = (-sharpness * pairwise_distances(centers, tokens)).log_softmax(dim=1)
        centers = logs.softmax(dim=2) @ tokens
    return SoftClusters(centers, logs.exp())


@full_precision
def cluster_distances(
    image_centers: Float[Tensor, "v b k d"], audio_centers: Float[Tensor, "u m a d"]
) -> Float[Tensor, "v u b m"]:
    """Compute the distance of each image from each audio: the norm of the distances to the nearest image centers.

    Args:
        image_centers: (v, b, k, d) cluster centers of b images in v views.
        audio_centers: (u, m, a, d) cluster centers of m audio clips in u views.

    Returns:
        (v, u, b, m) distances: for image i and audio j, the L2 norm, over the a audio centers, of the Euclidean
        distance from each audio center to the nearest image center.
    """
    k, a = image_centers.shape[2], audio_centers.shape[2]
    distances = pairwise_distances(image_centers.flatten(1, 2)[:, None], audio_centers.flatten(1, 2)[None])
    nearest = distances.unflatten(2, (-1, k)).unflatten(4, (-1, a)).amin(dim=3)  # (v, u, b k, m a) to (v, u, b, m, a)
    return (nearest.square().sum(dim=-1) + EPS).sqrt()
