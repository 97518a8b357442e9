"""Soft k-means of local features, and how far the clusters of two modalities are apart.

Hu, Nie and Li, "Deep Multimodal Clustering for Unsupervised Audiovisual Learning", CVPR 2019, as released for PyTorch.
b clips, n tokens (places of a picture or of a spectrogram), k clusters.
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
    """What tokens have been gathered to.

    Attributes:
        centres: of the clusters, after the last round.
        shares: of each token in each cluster, by which those centres were made; they sum to 1 over the clusters.
    """

    centers: Float[Tensor, "b k d"]
    assignments: Float[Tensor, "b k n"]


@full_precision
def soft_kmeans(tokens: Float[Tensor, "b n d"], k: int, iterations: int = 4, sharpness: float = 30.0) -> SoftClusters:
    """Each token is shared out over the clusters by its distances, each centre becomes the mean of its shares.

    share_kn = softmax over k of (-sharpness |c_k - x_n|)          c_k = sum_n share_kn x_n / sum_n share_kn

    Distances are those of the vectors as they are, so a large `sharpness` all but gives each token to one cluster.
    Computed from logarithms: a cluster that loses every token becomes the mean of those that it is nearest to keeping,
    where the quotient above would be 0 / 0.

    Args:
        k: clusters. The first centres are tokens: the first one, and every one n / k (whole) later.
        rounds: of shares and centres.

    Raises:
        RecipeError: there are fewer tokens than clusters.
    """
    n = tokens.shape[1]
    if not 0 < k <= n:
        raise RecipeError(
            f"found {k} clusters of {n} local features, expected 1 to {n}. Ask for fewer, or for larger inputs"
        )
    tokens = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
    centres = tokens[:, torch.arange(k, device=tokens.device) * (n // k)]
    for _ in range(iterations):
        logs = (-sharpness * pairwise_distances(centres, tokens)).log_softmax(dim=1)
        centres = logs.softmax(dim=2) @ tokens
    return SoftClusters(centres, logs.exp())


@full_precision
def cluster_distances(
    image_centers: Float[Tensor, "v b k d"], audio_centers: Float[Tensor, "u m a d"]
) -> Float[Tensor, "v u b m"]:
    """How far each picture is from each sound: of each of the sound's centres to the nearest of the picture's.

    Returns:
        The norm of those distances over the sound's centres, entry [v, u, i, j] of picture i and sound j.
    """
    k, a = image_centers.shape[2], audio_centers.shape[2]
    every = pairwise_distances(
        image_centers.flatten(1, 2)[:, None], audio_centers.flatten(1, 2)[None]
    )  # (v, u, b k, b a)
    nearest = every.unflatten(2, (-1, k)).unflatten(4, (-1, a)).amin(dim=3)  # (v, u, b, b, a)
    return (nearest.square().sum(dim=-1) + EPS).sqrt()
