"""Memory does not grow with the test set, and how the work is divided moves no number."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sharing
import torch

from conftest import ROOT
from soundspot.evaluation.engine.disk_tensor import DiskTensor, RowView
from soundspot.evaluation.functional import embedding_ranks
from soundspot.evaluation.metrics.relevance import RetrievalInputs, compute_relevance


def test_rows_come_back_as_they_were_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundspot.evaluation.engine.disk_tensor.MAX_MEMORY_BYTES", 100)  # so that they lie in a file
    monkeypatch.setattr("soundspot.evaluation.engine.disk_tensor.BLOCK_BYTES", 100)
    for dtype in (torch.float32, torch.bfloat16, torch.uint8):
        drawn = (100 * torch.rand(50, 2, 3)).to(dtype)
        rows = DiskTensor()
        for some in drawn.split([1, 20, 0, 29]):
            rows.append(some)
        order = torch.tensor([3, 4, 5, 49, 0, 0, 1])
        assert rows.shape == drawn.shape
        assert torch.equal(rows[order], drawn[order])
        assert torch.equal(rows[45:70], drawn[45:70])
        assert torch.equal(torch.cat([*rows.iter_blocks()]), drawn)
        assert len([*rows.iter_blocks()]) > 1
        assert torch.equal(RowView(rows, order)[2:4], drawn[order[2:4]])
        assert rows[order[:0]].shape == (0, 2, 3)
    assert [*DiskTensor().iter_blocks()] == []


def test_ranks_by_labels_are_those_of_the_whole_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(0)
    groups, kinds = torch.randint(0, 40, (100,), generator=draw), torch.randint(0, 7, (100,), generator=draw)
    pictures, which = groups.unique(return_inverse=True)
    images, sounds = torch.randn(len(pictures), 8, generator=draw), torch.randn(100, 8, generator=draw)
    shows = torch.zeros(len(pictures), 7, dtype=torch.bool)
    shows[which, kinds] = True
    tapes = torch.randint(0, 60, (100,), generator=draw)
    plays = torch.zeros(len(pictures), 60, dtype=torch.bool)
    plays[which, tapes] = True
    wanted = {"": pictures[:, None] == groups, "_recording": plays[:, tapes], "_category": shows[:, kinds]}
    found = compute_relevance(groups, tapes, kinds)
    assert [*found] == [*wanted]
    assert [*compute_relevance(groups, torch.arange(100), torch.zeros_like(kinds))] == [""]
    for name, size in (("MIN_QUERIES", 3), ("MAX_CELLS", 1), ("ITEM_CHUNK", 11)):
        monkeypatch.setattr(f"soundspot.evaluation.functional.retrieval.{name}", size)
    for suffix, matrix in wanted.items():
        assert torch.equal(found[suffix].get_block(slice(None), slice(None)), matrix)
        assert torch.equal(found[suffix].get_block(slice(5, 9), slice(90, 200)), matrix[5:9, 90:])
        assert [side.tolist() for side in found[suffix].count_relevant()] == [
            matrix.sum(1).tolist(),
            matrix.sum(0).tolist(),
        ]
        for got, plain in (
            (embedding_ranks(images, sounds, found[suffix].get_block), embedding_ranks(images, sounds, matrix)),
            (
                embedding_ranks(sounds, images, found[suffix].get_transposed_block),
                embedding_ranks(sounds, images, matrix.T),
            ),
        ):
            assert all(map(torch.equal, got, plain))
    rows = DiskTensor()
    rows.append(sounds)
    order = torch.arange(100).flip(0)
    kept, stored = (
        RetrievalInputs(images, some, images[which], found, pictures, groups).pair_statistics
        for some in (sounds, RowView(rows, order.flip(0)))
    )
    assert torch.equal(kept, stored)


@pytest.mark.parametrize(
    ("way", "many", "side"),
    [("score", 20000, 56), *(pytest.param("evaluate", many, 112, marks=pytest.mark.slow) for many in (3000, 20000))],
)
def test_memory_is_that_of_a_batch(way: str, many: int, side: int) -> None:
    """More items cost what a report says of each, blocks that fill up, and far less than their maps."""
    few, maps = 1000, (many - 1000) * side * side * 4e-6
    low, high = (peak(n, way, side) for n in (few, many))
    assert high - low < maps / 2, f"{low} MB for {few} items, {high} MB for {many}, whose maps are {maps} MB more"


def peak(n: int, way: str, side: int) -> float:
    """Megabytes that a process of its own holds at most."""
    command = [sys.executable, "-m", "benchmarks.scoring", str(n), way, str(side), "28"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert not done.returncode, done.stderr
    found: float = json.loads(done.stdout)["megabytes"]
    return found


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_processes_write_what_one_would(tmp_path: Path, processes: int) -> None:
    """Every byte of report.json, samples.csv and the maps; batches are the same, so rounding is."""
    one, several = tmp_path / "one", tmp_path / "several"
    for folder in (one, several):
        folder.mkdir()
        sharing.incomplete(folder / "some")
    sharing.work(one)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    script = ROOT / "tests" / "evaluation" / "sharing.py"
    done = subprocess.run([*torchrun, script, several], env=environment(), capture_output=True, text=True)
    assert not done.returncode, done.stderr
    written = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert len(written) == 4 * 4 + 2
    for path in written:
        assert (one / path).read_bytes() == (several / path).read_bytes(), path


def environment() -> dict[str, str]:
    """One thread; and what is freed is given back to the system, so that a peak is what the program holds."""
    freed = {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_ARENA_MAX": "1"}  # glibc's
    return {**os.environ, **freed, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
