"""HardPos on two views against its formula, and where it is LVS."""

import math
from collections.abc import Callable

import pytest
import torch

from soundspot.methods import Method
from soundspot.types import Batch

Toy, Clips = Callable[..., Method], Callable[..., Batch]


def weighted(cosines: torch.Tensor, weights: torch.Tensor) -> float:
    return ((weights * cosines).sum() / weights.sum()).item()


@torch.no_grad()
@pytest.mark.parametrize("combine", ["mean", "odds"])
def test_two_views_written_out(combine: str, toy: Toy, clips: Clips) -> None:
    """Positives are the clip, its picture with the neighbour's sound and the neighbour's picture with its sound."""
    batch, method = clips(b=3, views=2), toy("hardpos", combine=combine).eval()
    grids, vectors = (x.double() for x in method.encode(batch))

    def front(view: int, heard: int, i: int, j: int) -> float:
        cosines = torch.einsum("chw,c->hw", grids[view, i], vectors[heard, j])
        return weighted(cosines, torch.sigmoid((cosines - 0.65) / 0.03))

    expected = 0.0
    for i in range(3):
        positives = [math.exp(front(v, u, i, i) / 0.07) for v, u in ((0, 0), (0, 1), (1, 0))]
        together = sum(positives) if combine == "odds" else math.prod(positives) ** (1 / 3)
        own = torch.einsum("chw,c->hw", grids[0, i], vectors[0, i])
        behind = weighted(own, torch.sigmoid((0.4 - own) / 0.03))
        against = sum(math.exp(front(0, 0, i, j) / 0.07) for j in range(3) if j != i) + math.exp(behind / 0.07)
        expected -= math.log(together / (together + against)) / 3
    assert method.losses(batch)["contrast"].item() == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("views", [1, 2, 3])
def test_with_identical_views_it_is_lvs(views: int, toy: Toy, clips: Clips) -> None:
    one = clips()
    alike = torch.zeros(4, 4, dtype=torch.bool)
    alike[0, 1] = True
    same = Batch(*(x.expand(views, -1, -1, -1, -1) for x in (one.images, one.audio)), one.index, alike)
    ours = toy("hardpos").eval().losses(same)["contrast"]
    lvs = toy("lvs").eval().losses(Batch(one.images, one.audio, one.index, alike))["contrast"]
    torch.testing.assert_close(ours, lvs)
