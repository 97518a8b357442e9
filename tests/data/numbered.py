"""A data set whose images and sounds say which they are, with recipes, batches and neighbors of it."""

from collections import Counter

import torch
from PIL import Image

from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.config.schema import NeighborsConfig, Recipe, TrainConfig, ViewsConfig
from soundspot.data.neighbors.exact_knn import find_neighbors
from soundspot.data.neighbors.table import NeighborTable
from soundspot.training.sample_order import ResumableBatchSampler
from soundspot.types import Audio, AudioVisualDataset, GroundTruth

SIZE, RATE = 32, 1000
FRONT_END = InputSpec(ImageSpec(size=SIZE), AudioSpec(rate=RATE, seconds=1.0, n_fft=64, hop=32))
PLAIN = ViewsConfig(multi_view=False, semantic=False, base_view="unaugmented")


class Numbered(AudioVisualDataset):
    """Picture i is grey level i + 1; sound i counts its own samples, so that a window tells where it was cut."""

    name = "numbered"

    def __init__(self, length: int = 24, seconds: float = 3.0, epoch: int = 0) -> None:
        self.length, self.seconds, self.epoch = length, seconds, epoch
        self.read: Counter[tuple[str, int]] = Counter()

    def __len__(self) -> int:
        return self.length

    def id(self, index: int) -> str:
        return f"sample {index}"

    def read_image(self, index: int) -> Image.Image:
        self.read["image", index] += 1
        return Image.new("RGB", (40, 40), (index + 1, index + 1, 100 + self.epoch))

    def read_audio(self, index: int) -> Audio:
        self.read["sound", index] += 1
        samples = round(self.seconds * RATE)
        return Audio((index + torch.arange(samples) / samples) / 100, RATE)

    def ground_truth(self, index: int) -> GroundTruth:
        return GroundTruth(40, 40)

    group = id

    def category(self, index: int) -> str:
        return "even" if index % 2 == 0 else "odd"

    def at_epoch(self, epoch: int) -> "Numbered":
        return Numbered(self.length, self.seconds, epoch)


def recipe(views: ViewsConfig = PLAIN, near: NeighborsConfig | None = None, **train: object) -> Recipe:
    settings = {"batch_size": 5, "seed": 7, **train}
    return Recipe(views=views, neighbors=near or NeighborsConfig(sampling="anchor"), train=TrainConfig(**settings))


def stream(
    leg: int = 4, start: int = 0, table: NeighborTable | None = None, size: int = 24, **changes: object
) -> ResumableBatchSampler:
    return ResumableBatchSampler(size, recipe(**changes), leg, lambda: start, lambda: table)


def table(n: int = 24, k: int = 6) -> NeighborTable:
    chance = torch.Generator().manual_seed(0)
    images, sounds = (find_neighbors(torch.randn(n, 4, generator=chance), k) for _ in range(2))
    return NeighborTable(images, sounds, "numbered")
