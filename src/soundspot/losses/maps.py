"""Reductions of cosine maps: means over foreground and background, and SLAVC's joint probability.

The tri-map is that of Chen et al., "Localizing Visual Sounds the Hard Way", CVPR 2021, Eqs. 4 to 6: locations above one
threshold surely sound, locations below a lower one surely do not, and those in between are ignored. The map weighs its
own locations, by a sigmoid in place of a step.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def foreground_mean(
    maps: Float[Tensor, "*pairs p"], threshold: float = 0.65, width: float = 0.03
) -> Float[Tensor, "*pairs"]:
    """Compute the mean of each map over its locations, weighted by sigmoid((map - threshold) / width).

    Computed as a softmax of logarithms, so a map that lies far below the threshold everywhere, whose weights would all
    round to 0, still has a mean and a finite gradient. Gradients run through the weights too, as in the released code.

    Args:
        maps: (..., p) cosines at p locations.
        threshold: cosine above which a location is foreground.
        width: width of the sigmoid, in units of the cosine; near 0 it is a step.

    Returns:
        (...) weighted means, in [-1, 1].
    """
    return (torch.softmax(F.logsigmoid((maps - threshold) / width), dim=-1) * maps).sum(dim=-1)


def background_mean(
    maps: Float[Tensor, "*pairs p"], threshold: float = 0.4, width: float = 0.03
) -> Float[Tensor, "*pairs"]:
    """Compute the mean of each map over its locations, weighted by 1 - sigmoid((map - threshold) / width).

    Args:
        maps: (..., p) cosines at p locations.
        threshold: cosine below which a location is background.
        width: width of the sigmoid, in units of the cosine; near 0 it is a step.

    Returns:
        (...) weighted means, in [-1, 1].
    """
    return (torch.softmax(F.logsigmoid((threshold - maps) / width), dim=-1) * maps).sum(dim=-1)


def joint_log_probability(
    identification_logits: Float[Tensor, "*views b m p"],
    localization_logits: Float[Tensor, "*views b m p"],
    candidates: Bool[Tensor, "b m"] | None = None,
) -> Float[Tensor, "*views b m"]:
    """Compute log sum_p of (softmax of identification over audio) * (softmax of localization over locations), as SLAVC.

    Args:
        identification_logits: (..., b, m, p) logits of image i with audio j at location p, for the softmax over the m
            audio clips.
        localization_logits: (..., b, m, p) logits of the same pairs, for the softmax over the p locations.
        candidates: (b, m) bool, True where audio j competes in the identification of image i; None: all audio does.

    Returns:
        (..., b, m) logarithms of the pairs' probabilities, at most 0, computed as logarithms: products of two small
        numbers would round to 0.
    """
    if candidates is not None:
        identification_logits = identification_logits.masked_fill(~candidates[..., None], -1e4)
    identification = torch.log_softmax(identification_logits, dim=-2)
    return (identification + torch.log_softmax(localization_logits, dim=-1)).logsumexp(dim=-1)
