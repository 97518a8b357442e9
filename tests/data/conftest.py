"""A tiny catalogue to spoil: two categories seen and heard, one only heard."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

RATE = 8000


def entries() -> dict:
    """12 pictures of 40 x 30 in two categories, 9 recordings in three; a third of each is for testing."""
    images, audio = [], []
    for category in ("bell", "dog"):
        for n in range(6):
            mask = f"masks/{category}_{n}.png" if n % 2 else None
            images.append(
                {"file": f"images/{category}/{n}.png", "category": category, "split": "test" if n > 3 else "train",
                 "group": f"photo_{category}_{n}", "width": 40, "height": 30, "boxes": [[5.0, 5.0, 25.0, 20.5]],
                 "mask": mask, "annotation": "human" if n else "auto", "non_commercial": n == 2, "note": None,
                 "licence": "CC0 1.0"}
            )  # fmt: skip
    for category in ("bell", "dog", "rain"):
        for n in range(3):
            audio.append(
                {"file": f"audio/{category}_{n}.wav", "category": category, "split": "test" if n > 1 else "train",
                 "group": f"take_{category}_{n}", "seconds": 0.2, "licence": "CC0 1.0"}
            )  # fmt: skip
    return {"version": 1, "images": images, "audio": audio}


def save(root: Path, document: object) -> None:
    (root / "annotations.json").write_text(json.dumps(document))


@pytest.fixture
def catalogue(tmp_path) -> Path:
    return build(tmp_path / "tiny")


@pytest.fixture
def spoiled(tmp_path) -> Callable[[Callable[[dict], object]], Path]:
    """spoiled(change) -> the folder of a catalogue whose annotations `change` has had its way with."""

    def spoil(change: Callable[[dict], object]) -> Path:
        root = build(tmp_path / "spoiled")
        document = entries()
        change(document)
        save(root, document)
        return root

    return spoil


def build(root: Path) -> Path:
    document = entries()
    chance = np.random.RandomState(0)
    for folder in ("images/bell", "images/dog", "masks", "audio"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for entry in document["images"]:
        Image.fromarray(chance.randint(0, 255, (30, 40, 3), np.uint8)).save(root / entry["file"])
        if entry["mask"]:
            mask = np.zeros((30, 40), bool)
            mask[5:20, 5:25] = True
            Image.fromarray(mask).save(root / entry["mask"])
    for entry in document["audio"]:
        soundfile.write(root / entry["file"], chance.uniform(-0.5, 0.5, 1600), RATE)
    save(root, document)
    return root
