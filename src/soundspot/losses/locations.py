"""One distribution over the locations of an image and *nowhere*: where a sound comes from, and whether it does at all.

A softmax over locations alone must put its mass somewhere. With one more outcome, of as much weight as all locations of
a given cosine together, the mass can go there, and that of the locations is the probability that the source is visible.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.losses.contrastive import full_precision


@full_precision
def location_log_probabilities(
    maps: Float[Tensor, "*b p"], absence: Float[Tensor, ""], tau: float
) -> tuple[Float[Tensor, "*b p"], Float[Tensor, "*b"]]:
    """Compute the logarithms of P(location) and P(nowhere), which sum to one over the p locations and nowhere.

    P(x) = exp(map(x) / tau) / Z and P(nowhere) = p exp(absence / tau) / Z: a map of the value `absence` throughout is
    as likely visible as not, however many locations it has.

    Args:
        maps: (..., p) cosines at p locations.
        absence: cosine at which a sound is as likely to come from the image as not.
        tau: temperature, by which cosines are divided.

    Returns:
        (..., p) log P(x) and (...) log P(nowhere).
    """
    logits, nowhere = maps / tau, absence / tau + math.log(maps.shape[-1])
    total = torch.logaddexp(logits.logsumexp(dim=-1), nowhere)
    return logits - total[..., None], nowhere - total


@full_precision
def location_loss(
    log_probabilities: Float[Tensor, "*views b p"], target: Float[Tensor, "*views b p"] | None
) -> Float[Tensor, ""]:
    """Compute the divergence of annotated maps from P(location); without annotation, -log P(somewhere).

    Args:
        log_probabilities: (..., b, p) log P(x) of images with their own sounds.
        target: (..., b, p) annotated maps in [0, 1], taken as distributions over the locations; nan throughout, or 0
            throughout, for images without annotation. None: none is annotated.

    Returns:
        Scalar, mean over samples and *summed* over views.
    """
    losses = -log_probabilities.logsumexp(dim=-1)
    if target is not None:
        area = target.sum(dim=-1)
        share = (target / area[..., None]).nan_to_num(0.0)
        divergence = (torch.xlogy(share, share) - share * log_probabilities).sum(dim=-1)
        losses = torch.where(area > 0, divergence, losses)
    return losses.mean(dim=-1).sum()


@full_precision
def nowhere_loss(log_nowhere: Float[Tensor, "*b n"], is_absent: Bool[Tensor, "b n"]) -> Float[Tensor, ""]:
    """Compute the mean of -log P(nowhere) over sounds whose source is not in an image.

    Args:
        log_nowhere: (..., b, n) log P(nowhere) of b images with n sounds each.
        is_absent: (b, n) bool, False where the source may be in the image.

    Returns:
        Scalar, mean over the absent pairs and *summed* over leading axes; 0 where there are none.
    """
    return -(log_nowhere * is_absent).sum() / is_absent.sum().clamp(min=1)
