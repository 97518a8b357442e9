"""Small pictures and sounds to index, each another by its seed."""

from pathlib import Path

import numpy as np
import soundfile
from PIL import Image


def write_image(path: Path, seed: int) -> Path:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((40, 40), Image.Resampling.BICUBIC).save(path)
    return path


def write_audio(path: Path, seed: int, seconds: float = 0.5) -> Path:
    t = np.arange(int(8000 * seconds)) / 8000
    pitch = np.random.default_rng(seed).uniform(200, 3000)
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * pitch * t), 8000)
    return path
