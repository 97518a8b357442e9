"""Metrics by name with their inputs: a module of its own, so that a new process can import it."""

from typing import Any

import torch
import torch.distributed as dist

from soundspot.evaluation.metrics.torchmetrics_classes import (
    LocalizationScores,
    NegativeScores,
    RetrievalScores,
    SampleMetric,
)
from soundspot.evaluation.protocols.presets import PROTOCOLS

N = 23
KINDS = ["silence", "noise", "offscreen"]


def made(name: str) -> SampleMetric:
    """A metric by name: `retrieval`, `negatives`, or localisation under a protocol."""
    if name == "retrieval":
        return RetrievalScores()
    if name == "negatives":
        return NegativeScores(threshold=0.6)
    return LocalizationScores(name, is_mask=name in ("corrected", "avsbench"))


def inputs(name: str) -> list[Any]:
    """Arguments of `update` for all samples; ties, an empty truth, groups and absent sources among them."""
    draw = torch.Generator().manual_seed(0)
    groups, present = torch.arange(N) // 2, torch.rand(N, generator=draw) > 0.3
    vectors = torch.nn.functional.normalize(torch.randn(2, N, 8, generator=draw), dim=2)
    if name == "retrieval":
        return [vectors[0][groups], vectors[1], groups, torch.arange(N) % 5]
    maps = torch.rand(N, 7, 7, generator=draw) * 2 - 1
    maps[3] = 0.25
    truths = torch.zeros(N, 224, 224, dtype=torch.bool)
    for truth, (x, y, w, h) in zip(truths, torch.randint(20, 110, (N, 4), generator=draw).tolist(), strict=True):
        truth[y : y + h, x : x + w] = True
    truths[5] = False
    if name == "negatives":
        return [maps, truths, {kind: torch.rand(N, 7, 7, generator=draw) for kind in KINDS}, groups]
    return [maps, truths, groups, present]


def some(arguments: list[Any], which: torch.Tensor) -> list[Any]:
    return [
        {key: value[which] for key, value in one.items()} if isinstance(one, dict) else one[which] for one in arguments
    ]


def scores(name: str, batches: list[torch.Tensor]) -> dict[str, float]:
    metric, arguments = made(name), inputs(name)
    for batch in batches:
        metric.update(*some(arguments, batch))
    return {key: value.item() for key, value in metric.compute().items()}


NAMES = ["retrieval", "negatives", *PROTOCOLS]


def half(rank: int, rendezvous: str, results: str) -> None:
    """Half of the samples, in batches of this process's own size, then the scores of all."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    found = {}
    for name in NAMES:
        metric, arguments = made(name), inputs(name)
        mine = torch.arange(N)[:9] if rank == 0 else torch.arange(N)[9:]
        for batch in mine.split(4 + rank):
            metric.update(*some(arguments, batch))
        found[name] = {key: value.item() for key, value in metric.compute().items()}
    torch.save(found, f"{results}-{rank}.pt")
    dist.destroy_process_group()
