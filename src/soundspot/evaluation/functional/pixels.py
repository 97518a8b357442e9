"""Average precision over the pixels of a map."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

CHUNK_SIZE = 32  # maps at a time


def pixel_ap(
    scores: Float[Tensor, "b *place"],
    target: Bool[Tensor, "b *place"],
    valid: Bool[Tensor, "b *place"] | None = None,
) -> Float[Tensor, " b"]:
    """Sum over the distinct scores, the highest first, of the step in recall times the precision there.

    What `average_precision_score` of scikit-learn computes for each sample, 0 for a truth without a pixel included.

    Args:
        scores: (b, h, w), or any other shape of a sample.
        counted: pixels that take part; None: all.

    Examples:
        >>> pixel_ap(torch.tensor([[0.9, 0.8, 0.1]]), torch.tensor([[True, False, True]]))  # 1/2 * 1 + 1/2 * 2/3
        tensor([0.8333], dtype=torch.float64)
    """
    keep = torch.ones_like(target) if valid is None else valid
    rows = [some.flatten(1).split(CHUNK_SIZE) for some in (scores, target & keep, keep)]
    parts = [_average_precision(*few) for few in zip(*rows, strict=True)]
    return torch.cat([torch.zeros(0, dtype=torch.float64, device=scores.device), *parts])


def _average_precision(
    scores: Float[Tensor, "b n"], truths: Bool[Tensor, "b n"], counted: Bool[Tensor, "b n"]
) -> Float[Tensor, " b"]:
    scores = torch.where(counted, scores, -torch.inf)
    order = _falling(scores)
    ranked = scores.gather(1, order)
    right, seen = (some.gather(1, order).cumsum(dim=1, dtype=torch.int32) for some in (truths, counted))
    ends = torch.ones_like(truths)  # of runs of equal scores, which are seen together
    ends[:, :-1] = ranked[:, :-1] != ranked[:, 1:]
    before = torch.where(ends, right, 0).cummax(dim=1).values.roll(1, dims=1)
    before[:, 0] = 0
    steps = torch.where(ends, right - before, 0)
    area = (steps * (right / seen.clamp(min=1).double())).sum(dim=1)
    return area / right[:, -1].clamp(min=1)


def _falling(rows: Float[Tensor, "b n"]) -> Int[Tensor, "b n"]:
    """Places of each row's values from the highest to the lowest, equal ones in any order."""
    if rows.device.type != "cpu":
        return rows.argsort(dim=1, descending=True)
    return torch.from_numpy(np.argsort(-rows.numpy(), axis=1))
