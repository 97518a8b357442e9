"""The losses of slots: who is no negative, slots kept apart, features had back, maps made to agree. All pure.

I. Kim, Song, Park, W. H. Kim and Kwak, "Improving Sound Source Localization with Joint Slot Attention on Image and
Audio", CVPR 2025. The paper writes squared norms; the released code (InhoKim429/JSA 359aa337) means over elements, and
so do these: that is why matching weighs 100 there. The contrast itself is `contrastive.info_nce`, both directions
summed. b batch, s slots, n tokens, d channels.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.errors import RecipeError
from soundspot.losses.contrastive import full_precision


@torch.no_grad()
@full_precision
def reciprocal_neighbors(
    image_slots: Float[Tensor, "b d"], audio_slots: Float[Tensor, "b d"], k: int = 20
) -> Bool[Tensor, "b b"]:
    """Likely false negatives: clips among each other's k nearest in pictures *and* in sounds. Symmetric, no gradient.

    Args:
        pictures, sounds: unit-norm target slots.
        k: how many are nearest, the clip itself among them, as released; so 1 names nobody and b everybody.

    Returns:
        True where clips i and j are no negatives of each other; False on the diagonal.

    Raises:
        RecipeError: the batch holds fewer than k clips. (The released code stops in `topk` with torch's words.)
    """
    b = len(image_slots)
    if k > b:
        raise RecipeError(
            f"method.k: found {k}, expected at most the number of clips in a batch, and this one holds {b}; lower "
            "method.k or raise train.batch_size"
        )
    near = torch.ones(b, b, dtype=torch.bool, device=image_slots.device)
    for vectors in (image_slots, audio_slots):
        nearest = (vectors @ vectors.T).topk(k, dim=1).indices
        near &= torch.zeros_like(near).scatter_(1, nearest, True)
    return (near & near.T).fill_diagonal_(False)


@full_precision
def divergence_loss(slots: Float[Tensor, "b s d"]) -> Float[Tensor, ""]:
    """Mean cosine, where positive, of ordered pairs of different slots of one clip; 0 for a single slot.

    Args:
        slots: of unit norm.
    """
    b, s, _ = slots.shape
    cosines = F.relu(slots @ slots.transpose(-1, -2)).triu(1).sum() * 2  # the matrix is symmetric
    return cosines / (b * max(1, s * (s - 1)))


def reconstruction_loss(decoded: Float[Tensor, "b n d"], features: Float[Tensor, "b n d"]) -> Float[Tensor, ""]:
    """Mean squared error to the encoder's features, which get no gradient: it reaches the encoder through the slots."""
    return F.mse_loss(decoded, features.detach())


def attention_matching_loss(
    cross_attention: Float[Tensor, "b n"], self_attention: Float[Tensor, "b n"]
) -> Float[Tensor, ""]:
    """Mean squared error of the target slots' two attention maps over the same tokens.

    Args:
        across: read with the other modality's query.
        inside: with the own one; gets no gradient, so it is the other query that learns to look there.
    """
    return F.mse_loss(cross_attention, self_attention.detach())
