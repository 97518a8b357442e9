"""Things of one's own, of one color and pitch each, and a model that can be taught them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image

import soundspot
from soundspot.config.checkpoint import save_checkpoint
from soundspot.config.frontend import PRESETS, InputSpec
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.category_folders import write_category_catalog
from soundspot.training.projection_inputs import read_inputs
from soundspot.training.retention import measure_retention

TINY = {"encoder": "resnet", "blocks": [1, 1], "strides": [2, 2], "width": 8}
OLD, NEW = {"brick": ("red", 200), "lake": ("blue", 3000)}, {"leaf": ("green", 700), "snow": ("white", 1500)}


def write_things(folder: Path, things: dict[str, tuple[str, int]]) -> Path:
    """Write four images and four tones of each thing, name -> color and pitch, into subfolders of their names."""
    rng = np.random.default_rng(0)
    for name, (color, pitch) in things.items():
        (folder / name).mkdir(parents=True)
        for number in range(4):
            picture = Image.new("RGB", (48, 48), "gray")
            x, y = rng.integers(0, 24, 2).tolist()
            picture.paste(color, (x, y, x + 24, y + 24))
            picture.save(folder / name / f"{number}.png")
            tone = np.sin(2 * np.pi * (pitch + 10 * number) * np.arange(8000) / 8000)
            soundfile.write(folder / name / f"{number}.wav", tone * 0.5, 8000)
    return folder


def write_base(folder: Path, name: str = "ezvsl", encoder: Mapping[str, Any] = TINY) -> Path:
    """Write a model that keeps what it knows of red bricks and blue lakes; return the path of its checkpoint."""
    torch.manual_seed(0)
    spec = PRESETS["alignment"]
    front_end = InputSpec.from_dict(
        {"image": vars(spec.image) | {"size": 48}, "audio": vars(spec.audio) | {"seconds": 0.5}}
    )
    method = soundspot.create(
        name, image=encoder, audio=encoder, width=16, front_end=front_end, reducer="softmax"
    ).eval()
    write_category_catalog(write_things(folder / "old", OLD), folder / "catalog")
    inputs = read_inputs(method, Catalog(folder / "catalog", "train"), tuple(OLD))
    retention = measure_retention(method, inputs, tuple(OLD), torch.rand(9), torch.rand(9) / 2)
    path = folder / "base.safetensors"
    save_checkpoint(method, path, statistics=retention.tensors(), retained=list(OLD), threshold=0.4, video_size=48)
    return path
