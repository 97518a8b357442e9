"""Losses that live on a map: what counts as foreground and as background of a map of cosines.

The tri-map of Chen et al., "Localizing Visual Sounds the Hard Way", CVPR 2021, Eqs. 4 to 6: places above one threshold
surely sound, places below a lower one surely do not, and those in between are left to themselves. The map weighs its
own places, by a sigmoid in place of a step.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def foreground_mean(
    maps: Float[Tensor, "*pairs p"], threshold: float = 0.65, width: float = 0.03
) -> Float[Tensor, "*pairs"]:
    """Mean over the places p of a map, weighted by sigmoid((map - threshold) / width).

    Computed as a softmax of logarithms, so a map that lies far below the threshold everywhere, whose weights would all
    round to 0, still has a mean and a finite gradient. Gradients run through the weights too, as in the released code.
    """
    return (torch.softmax(F.logsigmoid((maps - threshold) / width), dim=-1) * maps).sum(dim=-1)


def background_mean(
    maps: Float[Tensor, "*pairs p"], threshold: float = 0.4, width: float = 0.03
) -> Float[Tensor, "*pairs"]:
    """Mean over the places p of a map, weighted by 1 - sigmoid((map - threshold) / width)."""
    return (torch.softmax(F.logsigmoid((threshold - maps) / width), dim=-1) * maps).sum(dim=-1)


def joint_log_probability(
    identification_logits: Float[Tensor, "*views b m p"],
    localization_logits: Float[Tensor, "*views b m p"],
    candidates: Bool[Tensor, "b m"] | None = None,
) -> Float[Tensor, "*views b m"]:
    """log sum_p of (softmax of `which` over sounds) * (softmax of `where` over places): SLAVC's logits.

    Args:
        which, where: logits of picture i with sound j at place p, [..., i, j, p].
        rivals: sounds that compete in `which`; None: all of them.

    Returns:
        Logarithms of probabilities, computed as such: products of two small numbers would round to 0.
    """
    if candidates is not None:
        identification_logits = identification_logits.masked_fill(~candidates[..., None], -1e4)
    return (
        torch.log_softmax(identification_logits, dim=-2) + torch.log_softmax(localization_logits, dim=-1)
    ).logsumexp(dim=-1)
