"""The nine-pair loss of s_L with the places pooled before the product, against the product at every place.

(3, 256, 512, 14, 14) picture features and (3, 256, 512) sound vectors, forward and backward. The plain form holds the
maps of every picture with every sound (9 x 256 x 256 x 14 x 14 floats are 0.46 GB, and as much again for their
gradient), so it fits a machine of 24 GB without being cut into pairs of views. Each form runs in a process of its own,
since a process's peak memory never falls.
"""

import json
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks import Row, measured_apart, peak_megabytes, seconds
from soundspot.losses.contrastive import info_nce, map_similarity


def pooled(grids: Tensor, vectors: Tensor) -> Tensor:
    return map_similarity(grids, vectors, "mean")


def unpooled(grids: Tensor, vectors: Tensor) -> Tensor:
    """As Eq. 3 is printed: the cosine at every place, then the mean."""
    return torch.einsum("vichw,ujc->vuijhw", grids, vectors).mean(dim=(-2, -1))


FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"pooled": pooled, "unpooled": unpooled}


def measure(form: str, clips: int, channels: int, side: int) -> dict[str, float]:
    """Seconds of forward and backward, megabytes of memory beyond the inputs, and the loss itself."""
    torch.manual_seed(0)
    grids = torch.empty(3, clips, channels, side, side).normal_().div_(channels**0.5).requires_grad_()
    vectors = torch.empty(3, clips, channels).normal_().div_(channels**0.5).requires_grad_()
    before = peak_megabytes()
    losses = []

    def work() -> None:
        grids.grad = vectors.grad = None
        loss = info_nce(FORMS[form](grids, vectors))
        loss.backward()
        losses.append(loss.item())

    taken = seconds(work)
    return {"seconds": taken, "megabytes": max(1.0, peak_megabytes() - before), "loss": losses[0]}


def run(quick: bool = False) -> list[Row]:
    clips, channels, side = (32, 64, 7) if quick else (256, 512, 14)
    found = {}
    for form in FORMS:
        found[form] = measured_apart("nine_pairs", form, clips, channels, side)
    plain, ours = found["unpooled"], found["pooled"]
    assert abs(plain["loss"] - ours["loss"]) < 1e-3 * abs(plain["loss"]), "the two do not agree"
    what = f"nine-pair loss, batch {clips}"
    note = "beyond the inputs, of which the gradient of the inputs is a part in both"
    return [
        Row(f"{what}: time", plain["seconds"], ours["seconds"], target=1.0),
        Row(f"{what}: memory", plain["megabytes"], ours["megabytes"], "MB", target=1.0, note=note),
    ]


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], *map(int, sys.argv[2:]))))
