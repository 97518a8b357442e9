"""Average precision over the pixels of a map, as in scikit-learn's `average_precision_score`."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

CHUNK_SIZE = 32  # maps at a time


def pixel_ap(
    scores: Float[Tensor, "b *pixels"],
    target: Bool[Tensor, "b *pixels"],
    valid: Bool[Tensor, "b *pixels"] | None = None,
) -> Float[Tensor, " b"]:
    """Compute average precision: the sum over distinct scores, the highest first, of recall gained times precision.

    Equal to `average_precision_score` of scikit-learn for each sample, and 0 for a target without a pixel.

    Args:
        scores: (b, h, w) maps, or (b, ...) with the pixels of a sample in any shape; a higher score ranks first.
        target: ground truth of the same shape, True for pixels of the object.
        valid: mask of the pixels that take part, of the same shape; None: all pixels.

    Returns:
        (b,) float64 in [0, 1].

    Examples:
        >>> pixel_ap(torch.tensor([[0.9, 0.8, 0.1]]), torch.tensor([[True, False, True]]))  # 1/2 * 1 + 1/2 * 2/3
        tensor([0.8333], dtype=torch.float64)
    """
    valid = torch.ones_like(target) if valid is None else valid
    chunks = zip(*(x.flatten(1).split(CHUNK_SIZE) for x in (scores, target & valid, valid)), strict=True)
    results = [_average_precision(*chunk) for chunk in chunks]
    return torch.cat([torch.zeros(0, dtype=torch.float64, device=scores.device), *results])


def _average_precision(
    scores: Float[Tensor, "b n"], target: Bool[Tensor, "b n"], valid: Bool[Tensor, "b n"]
) -> Float[Tensor, " b"]:
    scores = torch.where(valid, scores, -torch.inf)
    if scores.device.type == "cpu":
        order = torch.from_numpy(np.argsort(-scores.numpy(), axis=1))  # several times faster
    else:
        order = scores.argsort(dim=1, descending=True)
    ranked = scores.gather(1, order)
    correct, selected = (mask.gather(1, order).cumsum(dim=1, dtype=torch.int32) for mask in (target, valid))
    ends = torch.ones_like(target)  # of runs of equal scores, which are selected together
    ends[:, :-1] = ranked[:, :-1] != ranked[:, 1:]
    before = torch.where(ends, correct, 0).cummax(dim=1).values.roll(1, dims=1)
    before[:, 0] = 0
    steps = torch.where(ends, correct - before, 0)
    area = (steps * (correct / selected.clamp(min=1).double())).sum(dim=1)
    return area / correct[:, -1].clamp(min=1)
