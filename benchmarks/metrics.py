"""IoU and adaptive IoU of 5,000 maps of 224 x 224: the batched functions against the plain loop over samples.

The loop is tests/evaluation/reference.py, what released evaluators do: a min-max and two full sorts for each map, masks
as float64 arrays. Both run in one process on the same maps; the loop on a part of them, at a constant time per map.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks import Row, seconds

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "evaluation"))
import reference
from soundspot.evaluation.functional import auc, success_rate
from soundspot.evaluation.protocols.presets import PROTOCOLS, Protocol

SIDE, BATCH = 224, 64


def inputs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps of 14 x 14 brought to full size, as models give them, and boxes."""
    torch.manual_seed(0)
    maps = torch.empty(count, SIDE, SIDE)
    for part in maps.split(250):
        coarse = torch.randn(len(part), 1, 14, 14)
        part.copy_(torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear")[:, 0])
    truths = torch.zeros(count, SIDE, SIDE, dtype=torch.bool)
    for truth, (x, y, w, h) in zip(truths, torch.randint(20, 140, (count, 4)).tolist(), strict=True):
        truth[y : y + h, x : x + w] = True
    return maps, truths


def scores(maps: torch.Tensor, truths: torch.Tensor, protocol: Protocol) -> dict[str, float]:
    iou, adaptive = protocol.compute_iou(maps, truths)
    return {
        "ciou": success_rate(iou).item(),
        "ciou_adaptive": success_rate(adaptive).item(),
        "auc": auc(iou, protocol.auc_grid).item(),
        "auc_adaptive": auc(adaptive, protocol.auc_grid).item(),
    }


def upsampled(coarse: torch.Tensor) -> np.ndarray:
    """Each map by itself brought to full size, as the loops do it."""
    resize = torch.nn.functional.interpolate
    return np.stack(
        [resize(one[None, None], (SIDE, SIDE), mode="bilinear", align_corners=True)[0, 0] for one in coarse]
    )


def run(quick: bool = False) -> list[Row]:
    """Milliseconds per 1,000 maps, under the default and under a published protocol; from full maps and from coarse."""
    count, looped = (100, 20) if quick else (5000, 250)
    maps, truths = inputs(count)
    some, theirs = maps[:looped].numpy(), truths[:looped].numpy().astype(np.float64)
    wanted = reference.score(some, theirs, mirrored=True)
    got = scores(maps[:looped], truths[:looped], PROTOCOLS["alignment"])
    assert all(abs(got[key] - wanted[key]) < 1e-12 for key in got), "the two do not agree"

    loop = 1e6 * seconds(lambda: reference.score(some, theirs, mirrored=True)) / looped
    read = 1e6 * seconds(lambda: (maps.numpy().max(), truths.numpy().view(np.uint64).max())) / count
    rows = []
    for name in ("corrected", "alignment"):
        batched = 1e6 * seconds(lambda rules=PROTOCOLS[name]: scores(maps, truths, rules)) / count
        note = (
            f"per 1,000 of {count} maps, whose bytes take {read:.3g} ms to be read once; the loop on {looped} of them"
        )
        rows.append(Row(f"IoU metrics, protocol {name}", loop, batched, "ms", target=30.0, note=note))

    coarse, rules = torch.randn(count, 14, 14), PROTOCOLS["alignment"]

    def whole() -> list[torch.Tensor]:
        return [
            rules.compute_iou(few, theirs)[0]
            for few, theirs in zip(coarse.split(BATCH), truths.split(BATCH), strict=True)
        ]

    plain = reference.score(upsampled(coarse[:looped]), theirs, mirrored=True)["iou"]
    assert np.abs(torch.cat(whole())[:looped].numpy() - plain).max() < 1e-3, "the two do not agree"
    loop = 1e6 * seconds(lambda: reference.score(upsampled(coarse[:looped]), theirs, mirrored=True)) / looped
    note = f"per 1,000 of {count} maps of 14 x 14 in batches of {BATCH}, brought to {SIDE} x {SIDE} by both"
    rows.append(Row("the same from coarse maps", loop, 1e6 * seconds(whole) / count, "ms", note=note))
    return rows
