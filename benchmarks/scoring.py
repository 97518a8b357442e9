"""Scoring 5,158 maps of 224 x 224 with all that a report has, against the plain loop over samples for the IoU alone.

Ours: `whence score` of a folder of predictions on VGG-SS's list with drawn boxes: maps read from disk, truths made,
every localisation score of the model, of the rows that need no model and of the ceiling, and 1,000 bootstrap draws. The
loop: tests/evaluation/reference.py on the same three sets of maps (model, centred box, ceiling), held in memory and
with no bootstrap, measured on a part of them.
"""

import resource
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks import Row
from benchmarks.metrics import SIDE, inputs, reference
from whence.evaluation import baselines
from whence.evaluation.evaluate import score
from whence.randomness import uniform
from whence.types import Box, Sound, Truth


@dataclass(frozen=True)
class Boxes:
    """A test set of which only the truths are there: one box for each picture, in fractions."""

    length: int
    name: str = "boxes"

    def __len__(self) -> int:
        return self.length

    def id(self, index: int) -> str:
        return f"{index:05d}"

    group = category = id

    def truth(self, index: int) -> Truth:
        x, y, w, h = uniform("box", [index], 4)[0].tolist()
        return Truth(1, 1, (Box(0.6 * x, 0.6 * y, 0.6 * x + 0.1 + 0.3 * w, 0.6 * y + 0.1 + 0.3 * h),))

    def read_image(self, index: int) -> Image.Image:
        raise NotImplementedError

    def read_sound(self, index: int) -> Sound:
        raise NotImplementedError

    def at(self, epoch: int) -> "Boxes":
        return self


def run(quick: bool = False) -> list[Row]:
    """Seconds for the whole set, under one protocol and under all of them."""
    count, looped = (64, 8) if quick else (5158, 100)
    data, maps = Boxes(count), inputs(looped)[0]
    truths = torch.stack([data.truth(index).map(SIDE, SIDE) for index in range(looped)])
    answers = [maps, baselines.centred_box(SIDE, SIDE).expand_as(maps), baselines.oracle(truths)]
    start = time.perf_counter()
    for each in answers:
        reference.score(each.numpy(), truths.double().numpy(), mirrored=True)
    loop = (time.perf_counter() - start) / looped * count

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(Path(folder) / "maps.npz", "w") as shard:
            for index in range(count):
                with shard.open(f"{data.id(index)}.npy", "w") as entry:
                    np.lib.format.write_array(entry, maps[index % looped].numpy() + np.float32(1e-6 * index))
        (Path(folder) / "meta.json").write_text("{}")
        for protocol in ("corrected", "all"):
            start = time.perf_counter()
            score(folder, data, protocol=protocol)
            taken = time.perf_counter() - start
            unit = 2**20 if sys.platform == "linux" else 2**30  # of the peak: kB on Linux, bytes elsewhere
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
            note = f"{count} maps from disk; peak memory of the process so far {peak:.2f} GiB"
            rows.append(Row(f"scoring, protocol {protocol}", loop, taken, "s", note=note))
    return rows
