"""How pictures and sounds lie in their common space: row i of both belongs together.

`alignment` (Goel et al., "CyCLIP", NeurIPS 2022) and `magnitude` (Liang et al., "Mind the Gap", NeurIPS 2022) are
printed for sound localisation without code. The printed pairs cannot both come from unit vectors, for which
E |v - a|^2 = 2 - 2 alignment; they fit picture vectors that are means of unit vectors over places and are left shorter
than 1. So `renormalize=False` takes vectors as they are. `separability`, `modality_gap` and `centroid_distance` follow
Aledonairesa/robust_vssl, analysis/embedding_metrics.py, which is given unit vectors.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

CHUNK_SIZE = 512  # pictures at a time


class Magnitude(NamedTuple):
    """Of the vectors from sounds to their pictures; the deviation is that of the whole set, not an estimate's."""

    mean: Tensor
    std: Tensor


def alignment(images: Float[Tensor, "n d"], audio: Float[Tensor, "n d"], renormalize: bool = True) -> Float[Tensor, ""]:
    """Mean product of pairs: their cosine, unless vectors are taken as they are.

    Examples:
        >>> pictures, sounds = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        >>> alignment(pictures, sounds)  # cosines 1 and 0.7071
        tensor(0.8536, dtype=torch.float64)
    """
    images, audio = _vectors(images, audio, renormalize)
    return (images * audio).sum(dim=1).mean()


def magnitude(images: Float[Tensor, "n d"], audio: Float[Tensor, "n d"], renormalize: bool = True) -> Magnitude:
    """Mean and standard deviation of the distance between a picture and its sound."""
    images, audio = _vectors(images, audio, renormalize)
    lengths = (images - audio).norm(dim=1)
    return Magnitude(lengths.mean(), lengths.std(correction=0))


def centroid_distance(
    images: Float[Tensor, "n d"], audio: Float[Tensor, "n d"], renormalize: bool = True
) -> Float[Tensor, ""]:
    """Distance between the mean picture and the mean sound."""
    images, audio = _vectors(images, audio, renormalize)
    return (images.mean(dim=0) - audio.mean(dim=0)).norm()


def modality_gap(
    images: Float[Tensor, "n d"], audio: Float[Tensor, "n d"], renormalize: bool = True
) -> Float[Tensor, ""]:
    """p / (p + s), p the mean dissimilarity (1 - cosine) / 2 of pairs, s that of two pictures or two sounds.

    0 where pairs coincide, 1/2 where a pair is as far apart as two of a kind; nan for a single pair.

    Examples:
        >>> vectors = torch.eye(3)
        >>> modality_gap(vectors, vectors)  # pairs coincide
        tensor(0., dtype=torch.float64)
    """
    images, audio = _vectors(images, audio, renormalize)
    paired = (1 - (images * audio).sum(dim=1).mean()) / 2
    within = (_spread(images) + _spread(audio)) / 2
    return paired / (paired + within)


def separability(
    images: Float[Tensor, "n d"], audio: Float[Tensor, "n d"], renormalize: bool = True
) -> Float[Tensor, ""]:
    """First quartile of the pairs' cosines less the third quartile of all others'; nan for a single pair.

    The others are held in float32: 4 n^2 bytes, 100 MB for 5,000 pairs.
    """
    images, audio = _vectors(images, audio, renormalize)
    n = len(images)
    if n < 2:
        return images.new_tensor(torch.nan)
    others = np.empty((n, n - 1), np.float32)
    for start in range(0, n, CHUNK_SIZE):
        few = images[start : start + CHUNK_SIZE] @ audio.T
        other = torch.ones_like(few, dtype=torch.bool)
        other.diagonal(start).fill_(False)
        others[start : start + CHUNK_SIZE] = few[other].view(len(few), n - 1).cpu().numpy()
    pairs = (images * audio).sum(dim=1).quantile(0.25)
    return pairs - float(np.quantile(others.ravel(), 0.75, overwrite_input=True))


def _spread(vectors: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Mean dissimilarity of two different vectors, from the length of their sum."""
    n = len(vectors)
    products = vectors.sum(dim=0).square().sum() - vectors.square().sum()
    return (1 - products / (n * (n - 1))) / 2 if n > 1 else products * torch.nan


def _vectors(images: Tensor, sounds: Tensor, renormalize: bool) -> tuple[Tensor, Tensor]:
    images, sounds = images.double(), sounds.double()
    return (normalize(images, dim=1), normalize(sounds, dim=1)) if renormalize else (images, sounds)
