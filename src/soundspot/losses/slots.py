"""Losses of slot attention: false negatives, divergence of slots, reconstruction of features, agreement of maps.

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
    """Find likely false negatives: samples among each other's k nearest in images *and* in audio.

    Args:
        image_slots: (b, d) unit-norm target slots of the images.
        audio_slots: (b, d) unit-norm target slots of the audio.
        k: number of nearest samples by cosine, the sample itself included, as released; 1 gives no pair, b all.

    Returns:
        (b, b) bool, True where samples i and j are likely to match, and so no negatives of each other; symmetric, False
        on the diagonal.

    Raises:
        RecipeError: the batch holds fewer than k samples. (The released code fails in `topk`.)
    """
    b = len(image_slots)
    if k > b:
        raise RecipeError(
            f"method.k: found {k}, expected at most the number of samples in a batch, and this one holds {b}; lower "
            "method.k or raise train.batch_size"
        )
    is_near = torch.ones(b, b, dtype=torch.bool, device=image_slots.device)
    for slots in (image_slots, audio_slots):
        nearest = (slots @ slots.T).topk(k, dim=1).indices
        is_near &= torch.zeros_like(is_near).scatter_(1, nearest, True)
    return (is_near & is_near.T).fill_diagonal_(False)


@full_precision
def divergence_loss(slots: Float[Tensor, "b s d"]) -> Float[Tensor, ""]:
    """Compute the mean cosine, where positive, of ordered pairs of different slots of one sample.

    Args:
        slots: (b, s, d) slots of unit L2 norm.

    Returns:
        Scalar in [0, 1], mean over the b s (s - 1) pairs, where negative cosines count as 0; 0 for a single slot.
    """
    b, s, _ = slots.shape
    cosines = F.relu(slots @ slots.transpose(-1, -2)).triu(1).sum() * 2  # the matrix is symmetric
    return cosines / (b * max(1, s * (s - 1)))


def reconstruction_loss(decoded: Float[Tensor, "b n d"], features: Float[Tensor, "b n d"]) -> Float[Tensor, ""]:
    """Compute the mean squared error of decoded slots to the encoder's features.

    Args:
        decoded: (b, n, d) output of the slot decoder.
        features: (b, n, d) target features, which get no gradient here; the encoder learns through the slots.

    Returns:
        Scalar, mean over all b n d entries.
    """
    return F.mse_loss(decoded, features.detach())


def attention_matching_loss(
    cross_attention: Float[Tensor, "b n"], self_attention: Float[Tensor, "b n"]
) -> Float[Tensor, ""]:
    """Compute the mean squared error of the target slots' two attention maps over the same tokens.

    Args:
        cross_attention: (b, n) attention of the other modality's target query on the n tokens.
        self_attention: (b, n) attention of the own target query, which gets no gradient, so that the other query learns
            to attend there.

    Returns:
        Scalar, mean over all b n entries.
    """
    return F.mse_loss(cross_attention, self_attention.detach())
