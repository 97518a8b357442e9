"""Does this sound belong to this picture? Each pair of a batch is asked by itself, and answered by its map."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.utils.distributed import all_gather_with_grad, local_diagonal


def matching_loss(
    logits: Float[Tensor, "v u b m h w"], false_negatives: Bool[Tensor, "m m"] | None = None, grid_size: int = 1
) -> Float[Tensor, ""]:
    """Binary cross-entropy of every picture with every sound; own pairs weigh as much as all others together.

    1/2 mean_i -log p_ii + 1/2 mean over negatives of -log(1 - q_ij), summed over the pairs of views, with p the
    sigmoid of a map's largest logit. Every other pair in turn stands for one that is drawn: the same on average.

    Args:
        logits: of each place of picture i, of this process, with sound j, of any (`contrastive.pair_maps`).
        alike: True where sound j would do for picture i as well as its own, as far as is known: no negative of it.
        cells: a negative is asked for the largest logit of each of `cells` x `cells` parts of its map, so that less of
            it goes unpunished (DSOL's second stage: 2).
    """
    own = torch.eye(logits.shape[-3], dtype=torch.bool, device=logits.device)
    others = ~(own if false_negatives is None else own | false_negatives)
    best = local_diagonal(logits.amax(dim=(-2, -1)))
    parts = F.adaptive_max_pool2d(logits.flatten(0, -4), grid_size).unflatten(0, logits.shape[:-3])
    wrong = all_gather_with_grad(F.softplus(parts).mean(dim=(-2, -1)), 2) * others
    negatives = wrong.sum(dim=(-2, -1)) / others.sum().clamp(min=1)
    return 0.5 * (F.softplus(-best).mean(dim=-1) + negatives).sum()
