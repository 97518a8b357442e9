"""Where the data that does not travel with the repository is: skipped by name where it is absent."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from media_files import Right, write_cases
from soundspot.models.encoders import ENCODERS
from toys import TinyStaged

ROOT = Path(__file__).resolve().parent.parent
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the test that takes longest, or one worker runs it when all others are done."""
    items.sort(key=lambda item: item.path.name != "test_demo.py")


def golden_root() -> Path:
    """$SOUNDSPOT_GOLDEN, else ../shared/golden, else the trimmed copies beside the tests."""
    named = os.environ.get("SOUNDSPOT_GOLDEN")
    shared = ROOT.parent / "shared" / "golden"
    return Path(named) if named else shared if shared.is_dir() else ROOT / "tests" / "golden"


def realset_root() -> Path:
    """$SOUNDSPOT_REALSET, else ../shared/realset."""
    return Path(os.environ.get("SOUNDSPOT_REALSET") or ROOT.parent / "shared" / "realset")


def realset2_root() -> Path:
    """$SOUNDSPOT_REALSET2, else ../shared/realset2: photographs and recordings with free licenses."""
    return Path(os.environ.get("SOUNDSPOT_REALSET2") or ROOT.parent / "shared" / "realset2")


def annotations_root() -> Path:
    """$SOUNDSPOT_ANNOTATIONS, else ../shared/annotations: the authors' own lists and boxes."""
    return Path(os.environ.get("SOUNDSPOT_ANNOTATIONS") or ROOT.parent / "shared" / "annotations")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; where it or Playwright is absent, the test is skipped."""
    reason = "is absent: pages are tested without a browser"
    sync_api = pytest.importorskip("playwright.sync_api", reason=f"Playwright {reason}")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip(f"chromium {reason}")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def golden() -> Path:
    root = golden_root()
    if not root.is_dir():
        pytest.skip(f"golden cases are absent: no folder {root} (set SOUNDSPOT_GOLDEN)")
    return root


@pytest.fixture(scope="session")
def realset() -> Path:
    root = realset_root()
    if not (root / "annotations.json").is_file():
        pytest.skip(f"the real set is absent: no {root / 'annotations.json'} (set SOUNDSPOT_REALSET)")
    return root


@pytest.fixture(scope="session")
def realset2() -> Path:
    root = realset2_root()
    if not (root / "annotations.json").is_file():
        pytest.skip(f"the second real set is absent: no {root / 'annotations.json'} (set SOUNDSPOT_REALSET2)")
    return root


@pytest.fixture(scope="session")
def annotations() -> Path:
    root = annotations_root()
    if not (root / "vggss.json").is_file():
        pytest.skip(f"the authors' annotation files are absent: no {root / 'vggss.json'} (set SOUNDSPOT_ANNOTATIONS)")
    return root


@pytest.fixture(scope="session")
def right(tmp_path_factory: pytest.TempPathFactory) -> Right:
    """Media that readers get wrong, written once, and what is right for each."""
    return write_cases(tmp_path_factory.mktemp("cases"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Thousands of small maps are made several times faster by one thread than by several that wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny_staged() -> Iterator[None]:
    """An encoder of two frozen stages by the name `tiny_staged`, which inputs of `tests/fuzz` leave registered."""
    is_new = "tiny_staged" not in ENCODERS
    if is_new:
        ENCODERS.register("tiny_staged")(TinyStaged)
    yield
    if is_new:
        del ENCODERS._entries["tiny_staged"]
