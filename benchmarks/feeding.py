"""Training fed from shards, against the same steps on one batch that lies on the device already.

EZ-VSL's two ResNet-18 at 224 pixels. What is fed comes through worker processes, and is cropped, normalised and made
spectrograms of on the device; so the ratio tells what of the device's time feeding costs. On a CPU both are done by the
same cores, and no ratio is asked for.
"""

import tempfile
import time
from itertools import islice
from pathlib import Path

import torch

from benchmarks import Row
from benchmarks.loading import WAYS, write
from soundspot.config.frontend import PRESETS
from soundspot.config.schema import Recipe, TrainConfig, ViewsConfig
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.shards.executors import ProcessExecutor, count_cores
from soundspot.data.shards.from_dataset import write_shards_from_dataset
from soundspot.methods import create
from soundspot.training.clip_reader import ClipReader, RawBatch
from soundspot.training.datamodule import build_batch, build_dataloader
from soundspot.training.lightning_module import resolve_precision, should_compile
from soundspot.training.sample_order import ResumableBatchSampler

VIEWS = ViewsConfig(multi_view=False, semantic=False)


def run(quick: bool = False) -> list[Row]:
    """Milliseconds a clip."""
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    size, steps, clips = (4, 2, 16) if quick else (256, 40, 4096) if cuda else (32, 6, 256)
    spec = PRESETS["ezvsl"]
    method = create("ezvsl").to(device, memory_format=torch.channels_last)
    if should_compile("auto"):
        for encoder in (method.image_encoder, method.audio_encoder):
            encoder.forward = torch.compile(encoder.forward)  # type: ignore[method-assign]
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-4, fused=True)
    fast = resolve_precision("auto", device) != "32-true"

    def step(raw: RawBatch, whole: bool) -> None:
        batch = build_batch(raw, spec, VIEWS, seed=0) if whole else resident
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=fast):
            loss = method.losses(batch)["contrast"]
        loss.backward()
        optimizer.step()

    def clock() -> float:
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "files", clips)
        shards = Path(folder) / "shards"
        write_shards_from_dataset(
            open_dataset("pairs", Path(folder) / "files"),
            shards,
            next(iter(WAYS.values())),
            ProcessExecutor(count_cores()),
        )
        feed = ClipReader(open_dataset("shards", shards), spec, VIEWS, seed=0)
        recipe = Recipe(views=VIEWS, train=TrainConfig(batch_size=size))
        stream = ResumableBatchSampler(clips, recipe, 3 + steps, lambda: 0, lambda: None)
        batches = iter(build_dataloader(feed, stream, num_workers=count_cores() if cuda else 0))
        first = next(batches).to(device)
        resident = build_batch(first, spec, VIEWS, seed=0)
        for raw in islice(batches, 2):
            step(raw.to(device, non_blocking=True), whole=True)
        start = clock()
        for raw in islice(batches, steps):
            step(raw.to(device, non_blocking=True), whole=True)
        fed = (clock() - start) / steps / size
        step(first, whole=False)
        start = clock()
        for _ in range(steps):
            step(first, whole=False)
        there = (clock() - start) / steps / size
    what = f"training fed from shards, batches of {size}, {device.type}"
    note = f"plain is the same step on a batch that is there already; {1 / fed:.0f} against {1 / there:.0f} clips/s"
    return [Row(what, 1e3 * there, 1e3 * fed, "ms a clip", target=0.85 if cuda else None, note=note)]
