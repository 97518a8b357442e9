"""Answers that need no model, to be read beside every score.

*Whole image*: every pixel is predicted, under no threshold, so its IoU is the object's share of the picture and the
same in the adaptive columns. *Centred box*: a map that falls from the middle outwards, through the protocol's own cut:
half the picture, or the object's area. A *constant map* is not a row: under `corrected` it scores what a random map
scores on average, and published rules do with it as they do (`>` predicts nothing, `>=` everything).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def whole_image_iou(target: Bool[Tensor, "b h w"] | Float[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """IoU of predicting every pixel, float64."""
    soft = target.double().flatten(1)
    area = soft.sum(dim=1)
    return area / (area + (soft == 0).sum(dim=1))


def centered_box(height: int, width: int) -> Float[Tensor, "h w"]:
    """A map in [-1, 1] whose highest pixels form a centered box of the picture's shape, however many are kept.

    No two pixels are equal, so that no rule for ties has a say; the upper half of them is positive.
    """
    y = ((torch.arange(height, dtype=torch.float64) + 0.5) / height - 0.5).abs()
    x = ((torch.arange(width, dtype=torch.float64) + 0.5) / width - 0.5).abs()
    outwards = torch.maximum(y[:, None], x[None, :]).flatten().argsort(stable=True)
    rank = torch.empty_like(outwards)
    rank[outwards] = torch.arange(len(outwards))
    return (1 - (2 * rank + 1) / len(outwards)).view(height, width).float()


def oracle_maps(target: Bool[Tensor, "b h w"] | Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Maps in [-1, 1] that order pixels by their truth; equals fall strictly in reading order.

    Without that fall a rule that keeps or drops ties as a whole could treat the oracle better or worse than its order
    deserves. Pixels of full truth are positive, those outside of it negative. Exact up to 2^23 pixels.
    """
    pixels = target[0].numel() if len(target) else 1
    fall = torch.arange(1, pixels + 1, dtype=torch.float32).view(target.shape[1:]) - 0.5
    return target.to(torch.float32, copy=True).mul_(pixels).sub_(fall).div_(pixels)
