"""Toy methods and batches."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from whence.methods import Method, create
from whence.types import Batch

TINY = {"encoder": "resnet", "blocks": [1, 1], "strides": [1, 2], "width": 4}


@pytest.fixture
def toy() -> Callable[..., Method]:
    """A method with tiny encoders and the same weights at each call."""

    def build(name: str, **options: Any) -> Method:
        torch.manual_seed(0)
        return create(name, image=TINY, audio=TINY, **options)

    return build


@pytest.fixture
def clips() -> Callable[..., Batch]:
    """A batch of noise: `views` of each modality of `b` clips."""

    def build(b: int = 4, views: int = 1) -> Batch:
        torch.manual_seed(1)
        return Batch(torch.randn(views, b, 3, 32, 32), torch.randn(views, b, 1, 33, 20), torch.arange(b))

    return build
