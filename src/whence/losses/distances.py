"""Losses of distances and of taught attention: Senocak et al., "Learning to Localize Sound Source in Visual Scenes"."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from whence.losses.contrastive import full_precision


@full_precision
def distances(visual: Float[Tensor, "*views b d"], sounds: Float[Tensor, "*views b d"]) -> Float[Tensor, "*views b b"]:
    """Euclidean distance of each picture's vector from each sound's, as they are: no norm is taken out."""
    kind = torch.promote_types(visual.dtype, torch.float32)
    return torch.cdist(visual.to(kind), sounds.to(kind), compute_mode="donot_use_mm_for_euclid_dist")


def distance_ratio(apart: Float[Tensor, "*views b b"], alike: Bool[Tensor, "b b"] | None = None) -> Float[Tensor, ""]:
    """Each picture is nearer to its own sound than to another's: mean over clips, *summed* over the pairs of views.

    With (p+, p-) the softmax of the distances from its own sound and from another's, ((p+ - 0)^2 + (p- - 1)^2) / 2,
    which is p+ squared; the mean of it over the others.

    Args:
        apart: distance of picture i from sound j, [..., i, j].
        alike: True where sound j would do for picture i as well as its own: no other of it.

    Returns:
        Per pair of views: near 0 when every sound but its own is far off, 1 / 4 when all are as far.
    """
    others = ~torch.eye(apart.shape[-1], dtype=torch.bool, device=apart.device)
    if alike is not None:
        others = others & ~alike
    shares = torch.sigmoid(apart.diagonal(dim1=-2, dim2=-1)[..., None] - apart).square() * others
    return (shares.sum(dim=-1) / others.sum(dim=-1).clamp(min=1)).mean(dim=-1).sum()


def taught(logits: Float[Tensor, "*views b p"], truth: Float[Tensor, "*views b p"]) -> Float[Tensor, ""]:
    """Cross-entropy of an attention over places with what an annotator marked, -sum_p g_p log A_p.

    Args:
        logits: of the attention A, a softmax over places p.
        truth: g, in [0, 1]; not scaled, so a large source weighs more. Not a number where nobody marked the picture,
            which then costs nothing.

    Returns:
        Mean over all clips, those nobody marked included; summed over the pairs of views.
    """
    marked = torch.nan_to_num(truth, nan=0.0)
    return -(marked * torch.log_softmax(logits, dim=-1)).sum(dim=-1).mean(dim=-1).sum()
