"""The torchmetrics classes: no batch, no order and no number of processes moves a score."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.evaluation.metrics import Gathered, LocalisationScores, NegativeScores, RetrievalScores
from whence.evaluation.protocols import PROTOCOLS

N = 23
KINDS = ["silence", "noise", "offscreen"]


def made(name: str) -> Gathered:
    """A metric by name: `retrieval`, `negatives`, or localisation under a protocol."""
    if name == "retrieval":
        return RetrievalScores()
    if name == "negatives":
        return NegativeScores(threshold=0.6)
    return LocalisationScores(name, masks=name in ("corrected", "avsbench"))


def inputs(name: str) -> list[Any]:
    """Arguments of `update` for all samples; ties, an empty truth, groups and absent sources among them."""
    draw = torch.Generator().manual_seed(0)
    groups, present = torch.arange(N) // 2, torch.rand(N, generator=draw) > 0.3
    vectors = torch.nn.functional.normalize(torch.randn(2, N, 8, generator=draw), dim=2)
    if name == "retrieval":
        return [*vectors, groups, torch.arange(N) % 5]
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


def test_the_scores_are_there() -> None:
    assert {"recall_a2i@1", "recall_i2a_category@5", "alignment", "magnitude"} <= scores("retrieval", _in(1)).keys()
    assert {"pia_noise", "aucn_offscreen", "f_loc", "f_auc"} <= scores("negatives", _in(1)).keys()
    found = scores("corrected", _in(1))
    assert {"ciou", "auc_adaptive", "iiou", "miou", "fscore_adaptive", "ap", "max_f1", "loc_acc"} <= found.keys()
    assert "fscore" in scores("avsbench", _in(1))


def _in(parts: int) -> list[torch.Tensor]:
    return list(torch.arange(N).chunk(parts))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, N))
def test_neither_batches_nor_order_move_a_score(name: str, seed: int, size: int) -> None:
    order = torch.randperm(N, generator=torch.Generator().manual_seed(seed))
    whole, parts = scores(name, _in(1)), scores(name, list(order.split(size)))
    assert whole.keys() == parts.keys()
    assert len(whole) > 2
    for key, value in whole.items():
        assert parts[key] == pytest.approx(value, abs=1e-12, nan_ok=True), key


def _process(rank: int, rendezvous: str, results: str) -> None:
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


@pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_have_the_scores_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    mp.spawn(_process, (str(tmp_path / "meet"), str(tmp_path / "found")), nprocs=2)
    alone = {name: scores(name, _in(1)) for name in NAMES}
    for rank in (0, 1):
        found = torch.load(tmp_path / f"found-{rank}.pt", weights_only=True)
        for name, wanted in alone.items():
            assert found[name].keys() == wanted.keys()
            for key, value in wanted.items():
                assert found[name][key] == pytest.approx(value, abs=1e-12, nan_ok=True), (name, key)
