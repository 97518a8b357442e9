"""Toy methods and batches."""

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from released import Case, golden_case
from soundspot.importers import import_checkpoint
from soundspot.methods import Method
from soundspot.types import Batch
from toys import clips, toy


@pytest.fixture(name="toy")
def _toy() -> Callable[..., Method]:
    return toy


@pytest.fixture(name="clips")
def _clips() -> Callable[..., Batch]:
    return clips


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
