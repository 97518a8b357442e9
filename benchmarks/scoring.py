"""Scoring 5,158 maps of 224 x 224 with all that a report has, against the plain loop over samples for the IoU alone.

Ours: `soundspot evaluate-maps` of a folder of predictions on VGG-SS's list with drawn boxes: maps read from disk,
ground truths made, every localization score of the model, of the rows that need no model and of the ceiling, and
1,000 bootstrap draws. The
loop: tests/evaluation/reference.py on the same three sets of maps (model, centered box, ceiling), held in memory and
with no bootstrap, measured on a part of them.

Memory is the peak of a process that scores 1,000 items against that of one that scores 20,000, each item with a map of
56 x 56 (12.5 kB): a folder of predictions, and a localizer whose report is written, with all it is asked besides.

All protocols together should take at most twice as long as one. SOUNDSPOT_BASE names a checkout of another version,
whose time for one protocol is measured as well.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks import Row, measured_apart, peak_megabytes, side_by_side
from benchmarks.metrics import SIDE, inputs, reference
from soundspot.evaluation.engine import baselines
from soundspot.evaluation.engine.evaluate import evaluate, evaluate_maps
from soundspot.evaluation.engine.predictions import MapWriter
from soundspot.evaluation.protocols.presets import PROTOCOLS
from soundspot.types import Audio, AudioVisualDataset, Box, GroundTruth
from soundspot.utils.hash_rng import make_generator, uniform

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 512  # numbers in the code of a picture or of a sound


@dataclass(frozen=True)
class Boxes(AudioVisualDataset):
    """A test set with one drawn box for each picture, in fractions; what is seen and heard is the item's number."""

    length: int
    name: str = "boxes"

    def __len__(self) -> int:
        return self.length

    def id(self, index: int) -> str:
        return f"{index:05d}"

    group = category = id

    def ground_truth(self, index: int) -> GroundTruth:
        x, y, w, h = uniform(("box",), [index], 4)[0].tolist()
        return GroundTruth(1, 1, (Box(0.6 * x, 0.6 * y, 0.6 * x + 0.1 + 0.3 * w, 0.6 * y + 0.1 + 0.3 * h),))

    def read_image(self, index: int) -> Image.Image:
        return Image.fromarray(np.array([[index]], np.int32))

    def read_audio(self, index: int) -> Audio:
        return Audio(torch.full((8,), float(index + 1)), 8000)

    def at_epoch(self, epoch: int) -> "Boxes":
        return self


class Drawn:
    """Answers that cost nothing to make: drawn codes, and a drawn map that is moved by their products."""

    name = "drawn"

    def __init__(self, side: int) -> None:
        random = make_generator("drawn", side)
        self.table = torch.from_numpy(random.standard_normal((997, WIDTH), dtype=np.float32))
        self.map = torch.from_numpy(random.standard_normal((side, side), dtype=np.float32))

    def encode_images(self, pictures: list[Image.Image]) -> Tensor:
        return self.table[torch.tensor([int(np.asarray(picture)[0, 0]) % 997 for picture in pictures])]

    def encode_audio(self, sounds: list[Audio]) -> Tensor:
        return self.table[torch.tensor([int(sound.waveform[0]) % 997 for sound in sounds])]

    def maps(self, image_codes: Tensor, sound_codes: Tensor) -> Tensor:
        return (image_codes * sound_codes).sum(dim=1)[:, None, None] + self.map

    embed_images, embed_audio = encode_images, encode_audio


def predictions(folder: Path, data: Boxes, maps: Tensor) -> None:
    """A folder of as many maps as items, none like another."""
    writer = MapWriter(folder)
    for index in range(len(data)):
        writer.add(data.id(index), maps[index % len(maps)].numpy() + np.float32(1e-6 * index))
    writer.close({})


def measure(n: int, way: str = "score", side: int = 14, size: int = SIDE) -> dict[str, float]:
    """Seconds to score `n` items, and megabytes: the peak of this process, which should do nothing else.

    Args:
        way: `score` a folder of predictions, or `evaluate` a localizer whose report is written.
        side, size: of the maps, and of what they are compared at.
    """
    data, rules = Boxes(n), replace(PROTOCOLS["corrected"], size=size)
    with tempfile.TemporaryDirectory() as folder:
        if way == "score":
            drawn = make_generator("maps", side).standard_normal((50, side, side), dtype=np.float32)
            predictions(Path(folder), data, torch.from_numpy(drawn))
        start = time.perf_counter()
        if way == "score":
            evaluate_maps(folder, data, protocol=rules).save(Path(folder) / "report", maps=False)
        else:
            evaluate(Drawn(side), data, protocol=rules, output=Path(folder) / "report")
        taken = time.perf_counter() - start
    return {"seconds": taken, "megabytes": peak_megabytes()}


def run(quick: bool = False) -> list[Row]:
    """Seconds for the whole set, under one protocol and under all of them; memory at two sizes."""
    count, looped = (64, 8) if quick else (5158, 100)
    data, maps = Boxes(count), inputs(looped)[0]
    truths = torch.stack([data.ground_truth(index).to_map(SIDE, SIDE) for index in range(looped)])
    answers = [maps, baselines.centered_box(SIDE, SIDE).expand_as(maps), baselines.oracle_maps(truths)]
    start = time.perf_counter()
    for each in answers:
        reference.score(each.numpy(), truths.double().numpy(), mirrored=True)
    loop = (time.perf_counter() - start) / looped * count

    with tempfile.TemporaryDirectory() as folder:
        predictions(Path(folder), data, maps)
        works = [lambda name=name: evaluate_maps(folder, data, protocol=name) for name in ("corrected", "all")]
        one, everything = side_by_side(works, times=1 if quick else 2)
    note = f"{count} maps of {SIDE} x {SIDE} from disk"
    rows = [
        Row("scoring, protocol corrected", loop, one, note=note),
        Row("scoring, protocol all", loop, everything, note=note),
        Row("scoring, twice one protocol against all", 2 * one, everything, target=1.0),
    ]
    if base := os.environ.get("SOUNDSPOT_BASE"):
        rows.append(against_base(Path(base), count))
    return rows + [memory(way, quick) for way in ("score", "evaluate")]


def against_base(base: Path, count: int, times: int = 2) -> Row:
    """Compare scoring under one protocol with that of `base`, a checkout of another version, in turns."""
    command = [sys.executable, "-m", "benchmarks.scoring", str(count), "score", "14", str(SIDE)]
    taken: dict[Path, list[float]] = {base: [], ROOT: []}
    for _ in range(times):
        for root, seconds in taken.items():
            environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
            result = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, check=True)
            seconds.append(json.loads(result.stdout)["seconds"])
    before, now = map(min, taken.values())
    return Row("scoring, one protocol against the base", before, now, target=0.9, note="maps of 14 x 14 from disk")


def memory(way: str, quick: bool) -> Row:
    """Peaks of two processes; the ratio that is wanted is 1, less what a report holds of each item."""
    few, many = (100, 400) if quick else (1000, 20000)
    peaks = [measured_apart("scoring", n, way, 56, 56)["megabytes"] for n in (few, many)]
    held = f"their maps alone are {many * 56 * 56 * 4 / 1e6:.0f} MB"
    note = f"peak of a process, in the column of the plain way for {few} items, in ours for {many}; {held}"
    return Row(f"{way}: memory", *peaks, "MB", target=0.75, note=note)


if __name__ == "__main__":
    n, way, *sizes = sys.argv[1:]
    found: dict[str, Any] = measure(int(n), way, *map(int, sizes))
    print(json.dumps(found))
