"""Without negatives: what two views of a picture, each attended by its sound, predict of each other."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from soundspot.losses.contrastive import full_precision


@full_precision
def attention_weighted_sum(
    image_features: Float[Tensor, "*b c h w"], maps: Float[Tensor, "*b h w"], eps: float = 1e-10
) -> Float[Tensor, "*b c"]:
    """Sum over places of a grid, each weighted by the map scaled to [0, 1] by its own least and most (SSPL).

    A sum and not a mean, so its size says how much of the picture is attended to; gradients run through the least and
    the most too. A map without variation weighs nothing.
    """
    flat = maps.flatten(-2)
    low, high = flat.amin(-1, keepdim=True), flat.amax(-1, keepdim=True)
    weights = (flat - low) / (high - low + eps)
    return torch.einsum("...cp,...p->...c", image_features.flatten(-2).to(weights.dtype), weights)


@full_precision
def simsiam_loss(projected: Float[Tensor, "v b d"], predicted: Float[Tensor, "v b d"]) -> Float[Tensor, ""]:
    """Each view's prediction is the other's projection, which gets no gradient (Chen and He, CVPR 2021, Eq. 2).

    Args:
        projected, predicted: of each view of a clip. A single view stands for the other one too.

    Returns:
        Minus their cosine, mean over clips and over the ordered pairs of views: -1 where all agree.
    """
    kind = torch.promote_types(predicted.dtype, torch.float32)
    cosines = F.cosine_similarity(predicted.to(kind)[:, None], projected.detach().to(kind)[None], dim=-1)  # (v, v, b)
    views = len(predicted)
    if views == 1:
        return -cosines.mean()
    other = ~torch.eye(views, dtype=torch.bool, device=cosines.device)
    return -cosines[other].mean()
