"""Sounds whose source is not in the image must give lower maps than the image's own sound.

Silence, noise and off-screen sounds are the negatives of Juanola et al., "Learning from Silence and Noise for Visual
Sound Source Localization" (SSL-SaN), arXiv 2508.21761, 2025, which takes them into the denominator of InfoNCE, and of
the metrics of the same group (arXiv 2410.01020), which compare the maps of all images with one threshold. So the peaks
of all images' negatives compete with each own peak here: what is learned is the order that one threshold needs.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.losses.contrastive import full_precision


def peak_weights(maps: Float[Tensor, "*b h w"], sharpness: float = 10.0) -> Float[Tensor, "*b n"]:
    """Compute the weights of each map's locations around its peak: a softmax of the map scaled to [0, 1].

    Args:
        maps: (..., h, w) maps of any scale.
        sharpness: factor of the scaled map in the softmax; 0 gives equal weights, infinity the maximum alone.

    Returns:
        (..., h * w) weights of sum 1, without gradients.
    """
    values = maps.detach().flatten(-2)
    low, high = torch.aminmax(values, dim=-1, keepdim=True)
    return torch.softmax(sharpness * (values - low) / (high - low).clamp(min=1e-12), dim=-1)


def soft_peak(maps: Float[Tensor, "*b h w"], sharpness: float = 10.0) -> Float[Tensor, "*b"]:
    """Compute the mean of each map over its locations, weighted by a softmax of the map scaled to [0, 1].

    Args:
        maps: (..., h, w) maps of any scale.
        sharpness: factor of the scaled map in the softmax; 0 gives the mean, infinity the maximum.

    Returns:
        (...) soft maxima, in units of the maps. Gradients run through the values and not through the weights.
    """
    return (peak_weights(maps, sharpness) * maps.flatten(-2)).sum(dim=-1)


@full_precision
def negative_audio_nce(
    own: Float[Tensor, "b h w"],
    negatives: Float[Tensor, "k b h w"],
    is_negative: Bool[Tensor, "k b"],
    tau: float = 0.07,
) -> Float[Tensor, ""]:
    """Compute InfoNCE of each own peak against the peaks of all images with their negative sounds.

    -log( exp(p_i / tau) / (exp(p_i / tau) + sum over negatives n of exp(q_n / tau)) )

    Args:
        own: (b, h, w) raw maps of the images with their own sounds.
        negatives: (k, b, h, w) raw maps of the same images with k negative sounds each.
        is_negative: (k, b) bool, False where an image has no such negative; its map is not used.
        tau: temperature, by which peaks are divided.

    Returns:
        Scalar, mean over the own peaks; near 0 where all lie above all negative ones, and 0 without negatives.
    """
    logits = (soft_peak(negatives.float()) / tau).masked_fill(~is_negative, -1e4)
    return F.softplus(logits.flatten().logsumexp(dim=0) - soft_peak(own.float()) / tau).mean()
