"""Toy methods and batches: a module of its own, so that a new process can import it."""

from typing import Any

import torch
from torch import nn

from soundspot.config.schema import FrontEndConfig
from soundspot.methods import METHODS, Method, create, method_options
from soundspot.models.staged import StagedEncoder
from soundspot.types import Batch

TINY = {"encoder": "resnet", "blocks": [1, 1], "strides": [1, 2], "width": 4}
STAGED = {"encoder": "tiny_staged", "width": 8}  # while the fixture `tiny_staged` is used
CLASSES = 3


def toy(name: str, **options: Any) -> Method:
    """A method with tiny encoders and the same weights at each call, made for what `clips` holds where that matters."""
    torch.manual_seed(0)
    if name == "joint_slots":  # its decoders have the grids of its front end, and k must be below the batch
        options = {"width": 16, "k": 2, "front_end": FrontEndConfig(name, size=32, seconds=0.5).build(), **options}
    if "classes" in method_options(METHODS[name]):  # as `clips` labels them
        options = {"classes": CLASSES, **options}
    if name == "dmc":  # in 512 dimensions all would be further apart than its margin
        options = {"width": 16, **options}
    return create(name, image=TINY, audio=TINY, **options)


def clips(b: int = 4, views: int = 1) -> Batch:
    """A batch of noise: `views` of each modality of `b` clips, of two of the classes in turn."""
    torch.manual_seed(1)
    index = torch.arange(b)
    labels = torch.eye(CLASSES)[index % 2].expand(2, -1, -1)
    return Batch(torch.randn(views, b, 3, 32, 32), torch.randn(views, b, 1, 257, 51), index, labels=labels)


class TinyStaged(StagedEncoder):
    """An encoder of two stages, whose outputs have strides 4 and 8, and channels by its width."""

    def __init__(
        self, in_channels: int, layers: tuple[str, ...] = ("first", "second"), trained: int | str = 0, width: int = 8
    ) -> None:
        stages = {
            "first": nn.Sequential(nn.Conv2d(in_channels, 4, 4, 4), nn.BatchNorm2d(4), nn.ReLU()),
            "second": nn.Sequential(nn.Conv2d(4, 6, 2, 2), nn.BatchNorm2d(6), nn.ReLU()),
        }
        super().__init__("tiny_staged", stages, {"first": 4, "second": 6}, layers, trained, width)
        self.build_options = {"encoder": "tiny_staged", "layers": list(layers), "trained": trained, "width": width}
