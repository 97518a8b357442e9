"""Training steps from stored features of frozen encoders, against the same steps of the same recipe without them.

The recipe is that of the starter (`nowhere/starter`): its views, negatives and masks, 40 samples a step. They are
of four categories of the folders beside the one that $SOUNDSPOT_REALSET2 names; without it, composed scenes, of which a
step takes as long. The fill is measured for information.
"""

import os
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks import Row
from soundspot.config.load import read_recipe
from soundspot.config.schema import DataConfig, Recipe, TrainConfig
from soundspot.data.datasets.catalog import Catalog
from soundspot.training.clip_reader import ClipReader
from soundspot.training.datamodule import FalseNegativeMask, build_dataloader
from soundspot.training.feature_cache import cache_features
from soundspot.training.feature_plan import RepeatedEpochs
from soundspot.training.fit import build_method, open_recipe_dataset
from soundspot.training.lightning_module import LocalizationModule, resolve_precision
from soundspot.training.negatives import NUM_NOISES
from soundspot.training.sample_order import ResumableBatchSampler


def recipe(folder: str, quick: bool) -> Recipe:
    values = read_recipe("nowhere/starter", ["--feature_cache.folder", folder])
    root, datasets = os.environ.get("SOUNDSPOT_REALSET2"), values.data.options["datasets"]
    if root and not quick:
        few = {"categories": list(Catalog(root).categories[:4])}
        for data, options in zip(datasets, ({}, {"length": 80}), strict=True):
            data |= {"root": str(Path(root).parent), "options": data["options"] | few | options}
        return replace(values, train=replace(values.train, order="samples"))
    size, batch, seconds = (64, 4, 1.0) if quick else (320, 40, 5.0)
    return replace(
        values,
        data=DataConfig("scenes", None, {"length": batch, "size": size, "seconds": seconds + 1, "regenerate": False}),
        front_end=replace(values.front_end, size=size, seconds=seconds),
        train=TrainConfig(batch_size=batch, false_negatives="category", workers=0 if quick else 2),
    )


def seconds_of_step(module: LocalizationModule, reader: ClipReader, mask: FalseNegativeMask, steps: int) -> float:
    """Mean of `steps` steps after one that warms up, fed by workers."""
    device = next(module.parameters()).device
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-4)
    fast = resolve_precision("auto", device) != "32-true"
    sampler = ResumableBatchSampler(len(reader), module.recipe, steps + 1, lambda: 0, lambda: None)
    start = 0.0
    for number, raw in enumerate(build_dataloader(reader, sampler, module.recipe.train.workers)):
        if number == 1:
            start = time.perf_counter()
        raw = raw.to(device, non_blocking=True)
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=fast):
            loss = torch.stack(list(module.compute_losses(raw, lambda *_: None, mask).values())).sum()
        loss.backward()
        optimizer.step()
        loss.item()
    return (time.perf_counter() - start) / steps


def run(quick: bool = False) -> list[Row]:
    """Seconds of a step, and of the fill."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        values = recipe(folder, quick)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        method = build_method(values, 0).to(device, memory_format=torch.channels_last).train()
        data = RepeatedEpochs(open_recipe_dataset(values.data), values.feature_cache.epochs)
        mask = FalseNegativeMask(data, values, lambda: None)
        module = LocalizationModule(method, values, mask, lambda *_: None, total_steps=1)
        reader = ClipReader(data, method.front_end, values.views, values.train.seed, method.supports_ground_truth)
        plain = seconds_of_step(module, reader, mask, 1 if quick else 3)
        start = time.perf_counter()
        feature_reader = cache_features(method, reader, values, progress=False)
        module._negative_sounds(is_stored=True).inputs(range(-1, NUM_NOISES), device)  # once in a run
        fill = time.perf_counter() - start
        used = sum(path.stat().st_size for path in Path(folder).rglob("*.npy"))
        ours = seconds_of_step(module, feature_reader, mask, 2 if quick else 30)
    what = f"training step of the starter's recipe, {values.train.batch_size} samples: features read or computed"
    note = f"stored once: {used / 1e6:.0f} MB in {fill:.0f} s, the time of {fill / plain:.1f} plain steps"
    return [Row(what, plain, ours, target=None if quick else 20.0, note=note)]
