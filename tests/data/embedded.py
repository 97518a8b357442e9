"""Clips that are no more than their ids, and an encoder that knows a vector of each; and a run that can be killed.

`python embedded.py OUTPUT` mines 600 of them, slowly.
"""

import sys
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from soundspot.types import Audio, AudioVisualDataset, GroundTruth


@dataclass
class Clips(AudioVisualDataset):
    """Clips of these ids, of which two that stand side by side are of one recording."""

    ids: list[str]
    name: str = "clips"

    def __len__(self) -> int:
        return len(self.ids)

    def id(self, index: int) -> str:
        return self.ids[index]

    def group(self, index: int) -> str:
        return self.ids[index][:-1]

    def read_image(self, index: int) -> Image.Image:
        raise AssertionError(index)

    def read_audio(self, index: int) -> Audio:
        raise AssertionError(index)

    def ground_truth(self, index: int) -> GroundTruth:
        raise AssertionError(index)

    def category(self, index: int) -> str:
        raise AssertionError(index)

    def at_epoch(self, epoch: int) -> "Clips":
        return self


@dataclass
class Hashing:
    """Vectors drawn by the ids, of which it counts those it is asked for."""

    name: str = "hashing"
    device: str = "cpu"
    weights_digest: str = "0123456789abcdef"
    pause: float | int = 0
    sizes: list[int] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)

    def read_image(self, data: AudioVisualDataset, index: int) -> str:
        self.asked["picture " + data.id(index)] += 1
        return "picture " + data.id(index)

    def read_audio(self, data: AudioVisualDataset, index: int) -> str:
        self.asked["sound " + data.id(index)] += 1
        return "sound " + data.id(index)

    def embed_images(self, images: list[Any]) -> torch.Tensor:
        time.sleep(self.pause)
        self.sizes.append(len(images))
        return torch.stack([self._vector(image, 12) for image in images])

    def embed_audio(self, audio: list[Any]) -> torch.Tensor:
        time.sleep(self.pause)
        return torch.stack([self._vector(sound, 7) for sound in audio])

    @staticmethod
    def _vector(name: str, width: int) -> torch.Tensor:
        return torch.randn(width, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))


def clips(n: int = 600) -> Clips:
    return Clips([f"clip {i // 2:04d}{'ab'[i % 2]}" for i in range(n)])


def slowly(output: Path) -> None:
    """Mines in small steps, with pauses, so that there is time to kill it in any of them."""
    from soundspot.data.neighbors import exact_knn
    from soundspot.inference.mining import mine as mining

    exact_knn.ROWS_PER_BLOCK = mining.ROWS_PER_BLOCK = 16
    search = exact_knn.ExactSearch.__call__

    def pausing(self: exact_knn.ExactSearch, rows: torch.Tensor) -> Any:
        time.sleep(0.02)
        return search(self, rows)

    exact_knn.ExactSearch.__call__ = pausing  # type: ignore[method-assign]
    mining.mine_neighbors(
        Hashing(pause=0.02), clips(), output, mining.MiningOptions(20, keep_embeddings=True, batch_size=16)
    )


if __name__ == "__main__":
    slowly(Path(sys.argv[1]))
