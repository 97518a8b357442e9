"""Statistics of the joint embedding space of images and audio: row i of both belongs together.

`alignment` (Goel et al., "CyCLIP", NeurIPS 2022) and `magnitude` (Liang et al., "Mind the Gap", NeurIPS 2022) are
printed for sound localization without code. The printed pairs cannot both come from unit vectors, for which
E |v - a|^2 = 2 - 2 alignment; they fit image embeddings that are means of unit vectors over pixels and are left
shorter than 1. So `renormalize=False` takes embeddings as they are. `separability`, `modality_gap` and
`centroid_distance` follow Aledonairesa/robust_vssl, analysis/embedding_metrics.py, which takes unit vectors.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

CHUNK_SIZE = 512  # images at a time


class Magnitude(NamedTuple):
    """Mean and standard deviation of the Euclidean distances between paired embeddings.

    Attributes:
        mean: scalar, float64.
        std: population standard deviation, a scalar, float64.
    """

    mean: Tensor
    std: Tensor


def alignment(images: Float[Tensor, "n d"], audio: Float[Tensor, "n d"], renormalize: bool = True) -> Float[Tensor, ""]:
    """Compute the mean inner product of pairs, which is their mean cosine where `renormalize` is set.

    Args:
        images: (n, d) image embeddings.
        audio: (n, d) audio embeddings; row i is paired with image i.
        renormalize: scale each embedding to unit L2 norm first; False: use the embeddings unchanged.

    Returns:
        Scalar, float64.

    Examples:
        >>> images, audio = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        >>> alignment(images, audio)  # cosines 1 and 0.7071
        tensor(0.8536, dtype=torch.float64)
    """
    images, audio = _vectors(images, audio, renormalize)
    return (images * audio).sum(dim=1).mean()


def magnitude(images: Float[Tensor, "n d"], audio: Float[Tensor, "n d"], renormalize: bool = True) -> Magnitude:
    """Compute the mean and standard deviation of the Euclidean distance between an image and its audio.

    Args:
        images: (n, d) image embeddings.
        audio: (n, d) audio embeddings; row i is paired with image i.
        renormalize: scale each embedding to unit L2 norm first; False: use the embeddings unchanged.

    Returns:
        Mean and population standard deviation, scalars, float64.
    """
    images, audio = _vectors(images, audio, renormalize)
    lengths = (images - audio).norm(dim=1)
    return Magnitude(lengths.mean(), lengths.std(correction=0))


def centroid_distance(
    images: Float[Tensor, "n d"], audio: Float[Tensor, "n d"], renormalize: bool = True
) -> Float[Tensor, ""]:
    """Compute the Euclidean distance between the mean image embedding and the mean audio embedding.

    Args:
        images: (n, d) image embeddings.
        audio: (m, d) audio embeddings; m may differ from n.
        renormalize: scale each embedding (not the means) to unit L2 norm first; False: use the embeddings unchanged.

    Returns:
        Scalar, float64.
    """
    images, audio = _vectors(images, audio, renormalize)
    return (images.mean(dim=0) - audio.mean(dim=0)).norm()


def modality_gap(
    images: Float[Tensor, "n d"], audio: Float[Tensor, "n d"], renormalize: bool = True
) -> Float[Tensor, ""]:
    """Compute p / (p + s), the dissimilarity of pairs relative to that within a modality.

    The dissimilarity of two embeddings is (1 - cosine) / 2. p is its mean over the n pairs; s is the average of its
    mean over two different images and its mean over two different audio embeddings.

    Args:
        images: (n, d) image embeddings.
        audio: (n, d) audio embeddings; row i is paired with image i.
        renormalize: scale each embedding to unit L2 norm first; False: use inner products in place of cosines.

    Returns:
        Scalar, float64: 0 where pairs coincide, 1/2 where a pair is as far apart as two embeddings of a modality; nan
        where n is below 2.

    Examples:
        >>> embeddings = torch.eye(3)
        >>> modality_gap(embeddings, embeddings)  # pairs coincide
        tensor(0., dtype=torch.float64)
    """
    images, audio = _vectors(images, audio, renormalize)
    paired = (1 - (images * audio).sum(dim=1).mean()) / 2
    within = (_spread(images) + _spread(audio)) / 2
    return paired / (paired + within)


def separability(
    images: Float[Tensor, "n d"], audio: Float[Tensor, "n d"], renormalize: bool = True
) -> Float[Tensor, ""]:
    """Compute the first quartile of the cosines of pairs minus the third quartile of those of all other combinations.

    The other combinations are held in float32: 4 n^2 bytes, 100 MB for 5,000 pairs.

    Args:
        images: (n, d) image embeddings.
        audio: (n, d) audio embeddings; row i is paired with image i.
        renormalize: scale each embedding to unit L2 norm first; False: use inner products in place of cosines.

    Returns:
        Scalar, float64; positive where most pairs are more similar than most other combinations; nan where n
        is below 2.
    """
    images, audio = _vectors(images, audio, renormalize)
    n = len(images)
    if n < 2:
        return images.new_tensor(torch.nan)
    others = np.empty((n, n - 1), np.float32)
    for start in range(0, n, CHUNK_SIZE):
        similarity = images[start : start + CHUNK_SIZE] @ audio.T
        unpaired = torch.ones_like(similarity, dtype=torch.bool)
        unpaired.diagonal(start).fill_(False)
        others[start : start + CHUNK_SIZE] = similarity[unpaired].view(-1, n - 1).cpu().numpy()
    pairs = (images * audio).sum(dim=1).quantile(0.25)
    return pairs - float(np.quantile(others.ravel(), 0.75, overwrite_input=True))


def _spread(vectors: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Compute the mean dissimilarity of two different embeddings, from the length of their sum."""
    n = len(vectors)
    products = vectors.sum(dim=0).square().sum() - vectors.square().sum()
    return (1 - products / (n * (n - 1))) / 2 if n > 1 else products * torch.nan


def _vectors(images: Tensor, sounds: Tensor, renormalize: bool) -> tuple[Tensor, Tensor]:
    images, sounds = images.double(), sounds.double()
    return (normalize(images, dim=1), normalize(sounds, dim=1)) if renormalize else (images, sounds)
