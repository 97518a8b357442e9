"""Losses of distances: Senocak et al., "Learning to Localize Sound Source in Visual Scenes", with its taught attention.

Its distance ratio, and the margin of Hu et al., "Deep Multimodal Clustering for Unsupervised Audiovisual Learning".
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.losses.contrastive import full_precision


@full_precision
def pairwise_distances(first: Float[Tensor, "*v n d"], second: Float[Tensor, "*u m d"]) -> Float[Tensor, "*w n m"]:
    """Euclidean distance of each of n vectors from each of m, as they are: no norm is taken out.

    Its gradient is 0 where two are the same. Leading axes are broadcast.
    """
    kind = torch.promote_types(first.dtype, torch.float32)
    return torch.cdist(first.to(kind), second.to(kind), compute_mode="donot_use_mm_for_euclid_dist")


def distance_ratio_loss(
    distances: Float[Tensor, "*views b b"], false_negatives: Bool[Tensor, "b b"] | None = None
) -> Float[Tensor, ""]:
    """Each picture is nearer to its own sound than to another's: mean over clips, *summed* over the pairs of views.

    With (p+, p-) the softmax of the distances from its own sound and from another's, ((p+ - 0)^2 + (p- - 1)^2) / 2,
    which is p+ squared; the mean of it over the others.

    Args:
        apart: distance of picture i from sound j, [..., i, j].
        alike: True where sound j would do for picture i as well as its own: no other of it.

    Returns:
        Per pair of views: near 0 when every sound but its own is far off, 1 / 4 when all are as far.
    """
    others = ~torch.eye(distances.shape[-1], dtype=torch.bool, device=distances.device)
    if false_negatives is not None:
        others = others & ~false_negatives
    shares = torch.sigmoid(distances.diagonal(dim1=-2, dim2=-1)[..., None] - distances).square() * others
    return (shares.sum(dim=-1) / others.sum(dim=-1).clamp(min=1)).mean(dim=-1).sum()


def margin_pair_loss(
    distances: Float[Tensor, "*views b b"], margin: float = 5.0, false_negatives: Bool[Tensor, "b b"] | None = None
) -> Float[Tensor, ""]:
    """Own pairs are brought together, others pushed `margin` apart (Hadsell, Chopra and LeCun, CVPR 2006), as DMC does.

    Half of a pair's d^2 where it is its own, half of max(0, margin - d)^2 where it is not; for each sound the mean of
    its own picture and of the mean over the others.

    Args:
        apart: distance of picture i from sound j, [..., i, j].
        alike: True where sound j would do for picture i as well as its own: no other of it.

    Returns:
        Mean over the sounds, *summed* over the pairs of views: 0 at the best, margin^2 / 4 where all distances are 0.
    """
    own = torch.eye(distances.shape[-1], dtype=torch.bool, device=distances.device)
    others = ~own if false_negatives is None else ~(own | false_negatives)
    pushed = ((margin - distances).clamp(min=0).square() * others).sum(dim=-2) / others.sum(dim=-2).clamp(min=1)
    pulled = distances.diagonal(dim1=-2, dim2=-1).square()
    return ((pulled + pushed) / 4).mean(dim=-1).sum()


def attention_cross_entropy(
    logits: Float[Tensor, "*views b p"], target: Float[Tensor, "*views b p"]
) -> Float[Tensor, ""]:
    """Cross-entropy of an attention over places with what an annotator marked, -sum_p g_p log A_p.

    Args:
        logits: of the attention A, a softmax over places p.
        truth: g, in [0, 1]; not scaled, so a large source weighs more. Not a number where nobody marked the picture,
            which then costs nothing.

    Returns:
        Mean over all clips, those nobody marked included; summed over the pairs of views.
    """
    marked = torch.nan_to_num(target, nan=0.0)
    return -(marked * torch.log_softmax(logits, dim=-1)).sum(dim=-1).mean(dim=-1).sum()
