"""SimSiam's loss without negatives, and the attention pooling that precedes it in SSPL.

Song et al., "Self-Supervised Predictive Learning", CVPR 2022; Chen and He, "Exploring Simple Siamese Representation
Learning", CVPR 2021.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from soundspot.losses.contrastive import full_precision


@full_precision
def attention_weighted_sum(
    image_features: Float[Tensor, "*b c h w"], maps: Float[Tensor, "*b h w"], eps: float = 1e-10
) -> Float[Tensor, "*b c"]:
    """Sum image features over locations, weighted by the map min-max normalized to [0, 1] (SSPL).

    A sum and not a mean, so its norm grows with the attended area; gradients run through minimum and maximum too.

    Args:
        image_features: (..., c, h, w) features.
        maps: (..., h, w) maps; a constant map has weights of 0.
        eps: number added to the range of each map, by which it is divided.

    Returns:
        (..., c) weighted sums, not normalized, in the dtype of `maps`.
    """
    flat = maps.flatten(-2)
    low, high = flat.amin(-1, keepdim=True), flat.amax(-1, keepdim=True)
    weights = (flat - low) / (high - low + eps)
    return torch.einsum("...cp,...p->...c", image_features.flatten(-2).to(weights.dtype), weights)


@full_precision
def simsiam_loss(projected: Float[Tensor, "v b d"], predicted: Float[Tensor, "v b d"]) -> Float[Tensor, ""]:
    """Compute minus the cosine of each view's prediction with the other's projection (Chen and He, Eq. 2).

    Args:
        projected: (v, b, d) projections of v views, which get no gradient.
        predicted: (v, b, d) predictions of the same views; a single view predicts itself.

    Returns:
        Scalar, mean over samples and over the ordered pairs of views: -1 where all agree.
    """
    dtype = torch.promote_types(predicted.dtype, torch.float32)
    cosines = F.cosine_similarity(predicted.to(dtype)[:, None], projected.detach().to(dtype)[None], dim=-1)  # (v, v, b)
    views = len(predicted)
    if views == 1:
        return -cosines.mean()
    return -cosines[~torch.eye(views, dtype=torch.bool, device=cosines.device)].mean()
