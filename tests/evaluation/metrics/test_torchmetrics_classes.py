"""The torchmetrics classes: no batch, no order and no number of processes moves a score."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from gathered import NAMES, N, half, scores
from hypothesis import given, settings
from hypothesis import strategies as st


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


@pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_have_the_scores_of_one(tmp_path: Path) -> None:
    mp.spawn(half, (str(tmp_path / "meet"), str(tmp_path / "found")), nprocs=2)
    alone = {name: scores(name, _in(1)) for name in NAMES}
    for rank in (0, 1):
        found = torch.load(tmp_path / f"found-{rank}.pt", weights_only=True)
        for name, wanted in alone.items():
            assert found[name].keys() == wanted.keys()
            for key, value in wanted.items():
                assert found[name][key] == pytest.approx(value, abs=1e-12, nan_ok=True), (name, key)
