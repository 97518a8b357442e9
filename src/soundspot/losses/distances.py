"""Distance losses of Attention10k and DMC, and its supervised attention.

`distance_ratio_loss` and `attention_cross_entropy` are those of Senocak et al., "Learning to Localize Sound Source in
Visual Scenes", CVPR 2018; `margin_pair_loss` that of Hu et al., "Deep Multimodal Clustering for Unsupervised
Audiovisual Learning", CVPR 2019.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.losses.contrastive import full_precision


@full_precision
def pairwise_distances(first: Float[Tensor, "*v n d"], second: Float[Tensor, "*u m d"]) -> Float[Tensor, "*w n m"]:
    """Compute the Euclidean distance of each of n vectors from each of m, as in `torch.cdist`, from differences.

    Args:
        first: (..., n, d) vectors, not normalized here.
        second: (..., m, d) vectors; leading axes are broadcast.

    Returns:
        (..., n, m) distances in float32, or float64 for such inputs. The gradient is 0 where two vectors are equal.
    """
    dtype = torch.promote_types(first.dtype, torch.float32)
    return torch.cdist(first.to(dtype), second.to(dtype), compute_mode="donot_use_mm_for_euclid_dist")


def distance_ratio_loss(
    distances: Float[Tensor, "*views b b"], false_negatives: Bool[Tensor, "b b"] | None = None
) -> Float[Tensor, ""]:
    """Pull each image nearer to its own audio than to others: mean over samples, *summed* over the pairs of views.

    With (p+, p-) the softmax of the distances from its own audio and from another's, ((p+ - 0)^2 + (p- - 1)^2) / 2,
    which is p+ squared; the mean of it over the negatives.

    Args:
        distances: (..., b, b) distances of image i from audio j; leading axes are pairs of views.
        false_negatives: (b, b) bool, True where audio j is likely to match image i too; such pairs are left out of the
            mean over negatives. None: all other audio is negative.

    Returns:
        Scalar, from images to audio only; per pair of views near 0 when all negatives are far, 1 / 4 when all distances
        are equal.
    """
    negatives = ~torch.eye(distances.shape[-1], dtype=torch.bool, device=distances.device)
    if false_negatives is not None:
        negatives = negatives & ~false_negatives
    matched = distances.diagonal(dim1=-2, dim2=-1)[..., None]
    losses = torch.sigmoid(matched - distances).square() * negatives
    return (losses.sum(dim=-1) / negatives.sum(dim=-1).clamp(min=1)).mean(dim=-1).sum()


def margin_pair_loss(
    distances: Float[Tensor, "*views b b"], margin: float = 5.0, false_negatives: Bool[Tensor, "b b"] | None = None
) -> Float[Tensor, ""]:
    """Pull matching pairs together and push others `margin` apart (Hadsell, Chopra and LeCun, CVPR 2006), as DMC does.

    Half of d^2 for a matching pair, half of max(0, margin - d)^2 for another; for each audio the mean of its own image
    and of the mean over the negatives.

    Args:
        distances: (..., b, b) distances of image i from audio j; leading axes are pairs of views.
        margin: distance up to which negatives are pushed apart, in the unit of `distances`.
        false_negatives: (b, b) bool, True where audio j is likely to match image i too; such pairs are left out of the
            mean over negatives. None: all other images are negatives.

    Returns:
        Scalar, mean over the audio, *summed* over the pairs of views: 0 at the best, margin^2 / 4 where all distances
        are 0.
    """
    matched = torch.eye(distances.shape[-1], dtype=torch.bool, device=distances.device)
    negatives = ~matched if false_negatives is None else ~(matched | false_negatives)
    push = ((margin - distances).clamp(min=0).square() * negatives).sum(dim=-2) / negatives.sum(dim=-2).clamp(min=1)
    pull = distances.diagonal(dim1=-2, dim2=-1).square()
    return ((pull + push) / 4).mean(dim=-1).sum()


def attention_cross_entropy(
    logits: Float[Tensor, "*views b p"], target: Float[Tensor, "*views b p"]
) -> Float[Tensor, ""]:
    """Compute the cross-entropy of an attention over locations with an annotated map, -sum_p g_p log A_p.

    Args:
        logits: (..., b, p) logits of the attention A, which is their softmax over the p locations.
        target: (..., b, p) annotated map g in [0, 1], not normalized, so a large source weighs more; nan counts as 0,
            so an image without annotation costs nothing.

    Returns:
        Scalar, mean over all samples, those without annotation included; summed over the pairs of views.
    """
    target = torch.nan_to_num(target, nan=0.0)
    return -(target * torch.log_softmax(logits, dim=-1)).sum(dim=-1).mean(dim=-1).sum()
