"""Toy methods and batches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from released import Case, golden_case
from whence.importers import import_checkpoint
from whence.methods import METHODS, Method, create, options_of
from whence.recipe import FrontEnd
from whence.types import Batch

TINY = {"encoder": "resnet", "blocks": [1, 1], "strides": [1, 2], "width": 4}
CLASSES = 3


@pytest.fixture
def toy() -> Callable[..., Method]:
    """A method with tiny encoders and the same weights at each call, made for what `clips` holds where that matters."""

    def build(name: str, **options: Any) -> Method:
        torch.manual_seed(0)
        if name == "joint_slots":  # its decoders have the grids of its front end, and k must be below the batch
            options = {"width": 16, "k": 2, "front_end": FrontEnd(name, size=32, seconds=0.5).build(), **options}
        if "classes" in options_of(METHODS[name]):  # as `clips` labels them
            options = {"classes": CLASSES, **options}
        if name == "dmc":  # in 512 dimensions all would be further apart than its margin
            options = {"width": 16, **options}
        return create(name, image=TINY, audio=TINY, **options)

    return build


@pytest.fixture
def clips() -> Callable[..., Batch]:
    """A batch of noise: `views` of each modality of `b` clips, of two of the classes in turn."""

    def build(b: int = 4, views: int = 1) -> Batch:
        torch.manual_seed(1)
        index = torch.arange(b)
        labels = torch.eye(CLASSES)[index % 2].expand(2, -1, -1)
        return Batch(torch.randn(views, b, 3, 32, 32), torch.randn(views, b, 1, 257, 51), index, labels=labels)

    return build


# Golden cases: a module names its own (`GOLDEN = "ssltie"`), or makes the fixture `case` itself.


@pytest.fixture(scope="module")
def case(golden: Path, request: pytest.FixtureRequest) -> Case:
    """The golden case of the module."""
    return golden_case(golden, request.module.GOLDEN, getattr(request.module, "METHOD", None))


@pytest.fixture(scope="module")
def theirs(case: Case) -> dict[str, Tensor]:
    """What the released code gave."""
    return case.arrays()


@pytest.fixture(scope="module")
def released(case: Case) -> Method:
    """The method with the weights of the case; a test that changes it puts it back."""
    return import_checkpoint(case.state(), case.method)
