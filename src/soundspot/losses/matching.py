"""Binary classification of which image and audio match, by the maximum of their map.

Hu et al., "Discriminative Sounding Objects Localization via Self-supervised Audiovisual Matching", NeurIPS 2020.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.utils.distributed import all_gather_with_grad, local_diagonal


def matching_loss(
    logits: Float[Tensor, "v u b m h w"], false_negatives: Bool[Tensor, "m m"] | None = None, grid_size: int = 1
) -> Float[Tensor, ""]:
    """Compute the binary cross-entropy of every image with every audio; matching pairs weigh as much as all others.

    1/2 mean_i -log p_ii + 1/2 mean over negatives of -log(1 - q_ij), summed over the pairs of views, with p the
    sigmoid of a map's largest logit. All negatives are used where the paper draws one: the same on average.

    Args:
        logits: (v, u, b, m, h, w) maps of image i, of this process, with audio j, of any (`all_pair_maps`).
        false_negatives: (m, m) pairs that are no negatives.
        grid_size: a negative is scored by the largest logit of each of `grid_size` x `grid_size` regions of its map, so
            that less of it goes unpunished (DSOL's second stage: 2).

    Returns:
        Scalar.
    """
    matched = torch.eye(logits.shape[-3], dtype=torch.bool, device=logits.device)
    negatives = ~(matched if false_negatives is None else matched | false_negatives)
    maxima = local_diagonal(logits.amax(dim=(-2, -1)))
    regions = F.adaptive_max_pool2d(logits.flatten(0, -4), grid_size).unflatten(0, logits.shape[:-3])
    losses = all_gather_with_grad(F.softplus(regions).mean(dim=(-2, -1)), 2) * negatives
    negative_loss = losses.sum(dim=(-2, -1)) / negatives.sum().clamp(min=1)
    return 0.5 * (F.softplus(-maxima).mean(dim=-1) + negative_loss).sum()
