"""Mining the exact top-1000 of 144,000 x 512 against the bare product that computes every similarity and keeps none.

The bare product is `unit[rows] @ unit.T` in float32, 1,024 rows at once. Ours is `Exact` from vectors in a file to the
table in a file. Vectors are of 300 overlapping clusters. Each runs in a process of its own, since a process's peak
memory never falls, and the product once before and once after ours.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import Row, peak_megabytes
from soundspot.data.neighbors.exact_knn import ROWS_PER_BLOCK, ExactSearch
from soundspot.utils.npy_writer import RowWriter

WIDTH = 512
PLAIN_ROWS = 1024


def vectors(n: int) -> Tensor:
    """(n, WIDTH), of 300 overlapping clusters."""
    chance = torch.Generator().manual_seed(0)
    centres = torch.randn(300, WIDTH, generator=chance)
    return centres[torch.randint(300, (n,), generator=chance)].add_(torch.randn(n, WIDTH, generator=chance))


def product(file: Path, k: int) -> None:
    """Every similarity, thrown away."""
    unit = torch.nn.functional.normalize(torch.from_numpy(np.load(file)), dim=1)
    for some in unit.split(PLAIN_ROWS):
        some @ unit.T


def search(file: Path, k: int) -> None:
    """The table of `soundspot neighbors mine`, beside the file."""
    given = np.load(file, mmap_mode="c")
    with RowWriter(file.with_name("table.npy"), k, np.int32, len(given)) as table:
        find = ExactSearch(torch.from_numpy(given), k)
        for rows in torch.arange(len(given)).split(ROWS_PER_BLOCK):
            table.append(find(rows))


WAYS = {"product": product, "search": search}


def measure(n: int, k: int = 1000, way: str = "search") -> dict[str, float]:
    """Seconds and peak megabytes of one way for n vectors, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.npy"
        np.save(file, vectors(n).numpy())
        command = [sys.executable, "-m", "benchmarks.mining", way, str(file), str(k)]
        found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def run(quick: bool = False) -> list[Row]:
    n, k = (20_000, 100) if quick else (144_000, 1000)
    before, ours, after = (measure(n, k, way) for way in ("product", "search", "product"))
    plain = min(before["seconds"], after["seconds"])
    what = f"mining top-{k} of {n:,} x {WIDTH}"
    note = "against 2 GiB, for the whole process" if not quick else "for the whole process"
    return [
        Row(
            f"{what}: time",
            plain,
            ours["seconds"],
            target=None if quick else 1 / 1.3,
            note="the bare product, in float32, finds nothing",
        ),
        Row(f"{what}: memory", 2**31 / 1e6, ours["megabytes"], "MB", target=None if quick else 1.0, note=note),
    ]


def main() -> None:
    way, file, k = sys.argv[1:]
    start = time.perf_counter()
    WAYS[way](Path(file), int(k))
    print(json.dumps({"seconds": time.perf_counter() - start, "megabytes": peak_megabytes()}))


if __name__ == "__main__":
    main()
