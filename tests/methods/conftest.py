"""Toy methods and batches."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from whence.methods import Method, create
from whence.recipe import FrontEnd
from whence.types import Batch

TINY = {"encoder": "resnet", "blocks": [1, 1], "strides": [1, 2], "width": 4}


@pytest.fixture
def toy() -> Callable[..., Method]:
    """A method with tiny encoders and the same weights at each call, made for what `clips` holds where that matters."""

    def build(name: str, **options: Any) -> Method:
        torch.manual_seed(0)
        if name == "joint_slots":  # its decoders have the grids of its front end, and k must be below the batch
            options = {"width": 16, "k": 2, "front_end": FrontEnd(name, size=32, seconds=0.5).build(), **options}
        if name == "dmc":  # in 512 dimensions all would be further apart than its margin
            options = {"width": 16, **options}
        return create(name, image=TINY, audio=TINY, **options)

    return build


@pytest.fixture
def clips() -> Callable[..., Batch]:
    """A batch of noise: `views` of each modality of `b` clips."""

    def build(b: int = 4, views: int = 1) -> Batch:
        torch.manual_seed(1)
        return Batch(torch.randn(views, b, 3, 32, 32), torch.randn(views, b, 1, 257, 51), torch.arange(b))

    return build
