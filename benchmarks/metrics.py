"""IoU and adaptive IoU of 5,000 maps of 224 x 224: the batched functions against the plain loop over samples.

The loop is tests/evaluation/reference.py, what released evaluators do: a min-max and two full sorts for each map, masks
as float64 arrays. Both run in one process on the same maps, the loop on a part of them: its time per map is constant.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "evaluation"))
import reference

from whence.evaluation.functional import auc, success_rate
from whence.evaluation.protocols import PROTOCOLS, Protocol

MAPS, LOOPED, SIDE = 5000, 250, 224


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    """Maps of 14 x 14 brought to full size, as models give them, and boxes."""
    torch.manual_seed(0)
    maps = torch.empty(MAPS, SIDE, SIDE)
    for part in maps.split(250):
        coarse = torch.randn(len(part), 1, 14, 14)
        part.copy_(torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear")[:, 0])
    truths = torch.zeros(MAPS, SIDE, SIDE, dtype=torch.bool)
    for truth, (x, y, w, h) in zip(truths, torch.randint(20, 140, (MAPS, 4)).tolist(), strict=True):
        truth[y : y + h, x : x + w] = True
    return maps, truths


def scores(maps: torch.Tensor, truths: torch.Tensor, protocol: Protocol) -> dict[str, float]:
    iou, adaptive = protocol.score(maps, truths)
    return {
        "ciou": success_rate(iou).item(),
        "ciou_adaptive": success_rate(adaptive).item(),
        "auc": auc(iou, protocol.auc_grid).item(),
        "auc_adaptive": auc(adaptive, protocol.auc_grid).item(),
    }


def run() -> dict[str, float]:
    """Milliseconds per 1,000 maps of each, and their ratio, under the default and under a published protocol."""
    maps, truths = inputs()
    some, theirs = maps[:LOOPED].numpy(), truths[:LOOPED].numpy().astype(np.float64)
    loop = min(_seconds(lambda: reference.score(some, theirs, mirrored=True)) for _ in range(3)) / LOOPED
    found = {"loop_ms_per_1000": 1e6 * loop}
    for name in ("corrected", "alignment"):
        batched = min(_seconds(lambda p=PROTOCOLS[name]: scores(maps, truths, p)) for _ in range(3)) / MAPS
        found |= {f"{name}_ms_per_1000": 1e6 * batched, f"{name}_ratio": loop / batched}
    wanted, got = (
        reference.score(some, theirs, mirrored=True),
        scores(maps[:LOOPED], truths[:LOOPED], PROTOCOLS["alignment"]),
    )
    assert all(abs(got[key] - wanted[key]) < 1e-12 for key in got), "the two do not agree"
    return found


def _seconds(work: object) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    found = run()
    print(f"IoU metrics of {MAPS} maps, {SIDE} x {SIDE}, {torch.get_num_threads()} threads")
    print(f"  loop over samples     {found['loop_ms_per_1000']:8.1f} ms per 1,000 maps")
    for name in ("corrected", "alignment"):
        print(
            f"  batched, {name:<12} {found[f'{name}_ms_per_1000']:8.1f}    {found[f'{name}_ratio']:.1f} times as fast"
        )


if __name__ == "__main__":
    main()
