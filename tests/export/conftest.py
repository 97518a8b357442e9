"""A small model that is exported once, and what browser tests need: the runtime from npm."""

import os
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from soundspot.config.schema import FrontEndConfig
from soundspot.errors import InputError
from soundspot.export.convert import to_onnx
from soundspot.inference.localizer import Localizer
from soundspot.methods import Method
from soundspot.models.weights import weights_digest
from toys import toy

CHECKPOINT = "SOUNDSPOT_CHECKPOINT"  # a trained model for the screenshots, in place of a random one


@pytest.fixture(scope="session")
def localizer() -> Localizer:
    """Asks a toy of the alignment method."""
    if path := os.environ.get(CHECKPOINT):
        return Localizer.load(path)
    front_end = FrontEndConfig("alignment", size=96, seconds=1.0).build()
    return Localizer(toy("alignment", front_end=front_end).eval(), threshold=0.25037)


@pytest.fixture(scope="session", autouse=True)
def _once() -> Iterator[None]:
    """The graph of the same weights is made once in a session; most of a test's time goes there."""
    made: dict[str, Any] = {}

    def kept(method: Method) -> Any:
        key = weights_digest(method)
        if key not in made:
            made[key] = to_onnx(method)
        return deepcopy(made[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("soundspot.export.write.to_onnx", kept)
        yield


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """onnxruntime-web, from npm by the lock file."""
    from soundspot.export import web_page as page

    try:
        found = page.fetch_runtime()
    except InputError as error:
        pytest.skip(f"onnxruntime-web is not here: {error}")
    folder = tmp_path_factory.mktemp("runtime")
    for name, content in found.items():
        (folder / name).write_bytes(content)
    return folder
