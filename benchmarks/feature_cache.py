"""Training steps from stored features of frozen encoders, against the same steps of the same recipe without them.

EZ-VSL on EfficientNet-Lite0 (320 pixels, block10 and head) and aiSFX (5 s), 40 samples, one view of each. The samples
are of four categories of the catalog that $SOUNDSPOT_REALSET2 names, with released weights where they were fetched;
else composed scenes and random weights, of which a step takes as long. The fill is measured for information.
"""

import os
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks import Row
from soundspot.config.schema import DataConfig, FeatureCacheConfig, FrontEndConfig, Recipe, TrainConfig, ViewsConfig
from soundspot.data.datasets.catalog import Catalog
from soundspot.errors import CheckpointError
from soundspot.methods import Method
from soundspot.training.clip_reader import ClipReader
from soundspot.training.datamodule import build_batch, build_dataloader
from soundspot.training.feature_cache import cache_features
from soundspot.training.feature_plan import RepeatedEpochs
from soundspot.training.feature_reader import FeatureBatch, build_feature_batch
from soundspot.training.fit import build_method, open_recipe_dataset
from soundspot.training.lightning_module import resolve_precision
from soundspot.training.sample_order import ResumableBatchSampler


def recipe(folder: str, quick: bool) -> Recipe:
    root, size, batch = os.environ.get("SOUNDSPOT_REALSET2"), 64 if quick else 320, 4 if quick else 40
    data = DataConfig("scenes", None, {"length": batch, "size": size, "seconds": 6.0, "regenerate": False})
    if root and not quick:
        data = DataConfig("catalog", root, {"categories": list(Catalog(root).categories[:4])})
    return Recipe(
        method={"name": "ezvsl"},
        image={"encoder": "efficientnet_lite0", "weights": "pretrained", "trained": 0, "layers": ["block10", "head"]},
        audio={"encoder": "aisfx", "weights": "pretrained", "trained": 0},
        front_end=FrontEndConfig("efficientnet_lite0+aisfx", size=size, seconds=1.0 if quick else 5.0),
        data=data,
        views=ViewsConfig(multi_view=False, semantic=False, base_view="unaugmented"),
        train=TrainConfig(batch_size=batch, workers=0 if quick else 2),
        feature_cache=FeatureCacheConfig(folder, augmentations=0),
    )


def seconds_of_step(method: Method, reader: ClipReader, values: Recipe, steps: int) -> float:
    """Mean of `steps` steps after one that warms up, fed by workers."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    optimizer = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], lr=1e-4, fused=True)
    fast = resolve_precision("auto", device) != "32-true"
    sampler = ResumableBatchSampler(len(reader), values, steps + 1, lambda: 0, lambda: None)
    start = 0.0
    for number, raw in enumerate(build_dataloader(reader, sampler, values.train.workers)):
        if number == 1:
            start = time.perf_counter()
        raw = raw.to(device, non_blocking=True)
        options = method.front_end, values.views, values.train.seed
        batch = build_feature_batch(raw, *options) if isinstance(raw, FeatureBatch) else build_batch(raw, *options)
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=fast):
            loss = method.losses(batch)["contrast"]
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
        try:
            method = build_method(values, 0)
        except CheckpointError:  # not fetched
            encoders = ({**options, "weights": None} for options in (values.image, values.audio))
            values = replace(values, **dict(zip(("image", "audio"), encoders, strict=True)))
            method = build_method(values, 0)
        method = method.to(device, memory_format=torch.channels_last).train()
        data = RepeatedEpochs(open_recipe_dataset(values.data), values.feature_cache.epochs)
        reader = ClipReader(data, method.front_end, values.views, values.train.seed)
        plain = seconds_of_step(method, reader, values, 1 if quick else 3)
        start = time.perf_counter()
        feature_reader = cache_features(method, reader, values, progress=False)
        fill = time.perf_counter() - start
        used = sum(path.stat().st_size for path in Path(folder).rglob("*.npy"))
        ours = seconds_of_step(method, feature_reader, values, 2 if quick else 30)
    what = f"training step of EZ-VSL on frozen encoders, {values.train.batch_size} samples"
    note = f"stored once: {used / 1e6:.0f} MB in {fill:.0f} s, the time of {fill / plain:.1f} plain steps"
    return [Row(f"{what}: features read or computed", plain, ours, target=None if quick else 20.0, note=note)]
