"""Maps that need no model, to be read beside every score.

*Whole image*: every pixel is predicted, under no threshold, so its IoU is the object's share of the image and the same
in the adaptive columns. *Centered box*: a map that falls from the middle outwards, thresholded by the protocol's own
rules: half the image, or the object's area. A *constant map* is not a row: under `corrected` it scores what a random
map scores on average, and published rules treat it as they do (`>` predicts nothing, `>=` everything).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def centered_box(height: int, width: int) -> Float[Tensor, "h w"]:
    """Compute a map in [-1, 1] whose highest pixels form a centered box of the image's shape.

    Its k highest pixels form that box for any k. No two pixels are equal, so that rules for ties do not matter; the
    upper half of the pixels is positive.

    Args:
        height, width: size of the map in pixels.

    Returns:
        (height, width) float32 scores that fall from the center outwards.
    """
    y = ((torch.arange(height, dtype=torch.float64) + 0.5) / height - 0.5).abs()
    x = ((torch.arange(width, dtype=torch.float64) + 0.5) / width - 0.5).abs()
    outwards = torch.maximum(y[:, None], x[None, :]).flatten().argsort(stable=True)
    rank = torch.empty_like(outwards)
    rank[outwards] = torch.arange(len(outwards))
    return (1 - (2 * rank + 1) / len(outwards)).view(height, width).float()


def oracle_maps(target: Bool[Tensor, "b h w"] | Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Compute maps in [-1, 1] that order pixels by their ground truth, and equal pixels strictly in reading order.

    Without a strict order, a rule that selects or drops ties as a whole could treat the oracle better or worse than its
    order deserves. Pixels of ground truth 1 are positive, pixels of 0 negative. Exact up to 2^23 pixels.

    Args:
        target: (b, h, w) ground truth in [0, 1].

    Returns:
        (b, h, w) float32 scores; of equal pixels, an earlier one is higher.
    """
    pixels = target[0].numel() if len(target) else 1
    fall = torch.arange(1, pixels + 1, dtype=torch.float32).view(target.shape[1:]) - 0.5
    return target.to(torch.float32, copy=True).mul_(pixels).sub_(fall).div_(pixels)
