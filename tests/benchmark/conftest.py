"""A small catalog of drawn things with masks and sounds, and projects made of it."""

import shutil
from pathlib import Path

import pytest

from soundspot.benchmark.audio import match_audio
from soundspot.benchmark.compose import compose_images
from soundspot.benchmark.plan import make_plan
from soundspot.benchmark.project import Project, create_project
from soundspot.benchmark.selection import decide
from soundspot.data.datasets.catalog import Catalog
from soundspot.scenes import open_scenes, write_catalog


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve drawings of three categories, each with a sound of its own."""
    scenes = open_scenes("scenes-single", length=36, size=64, seconds=0.5, categories=3, object_size=(0.5, 0.8))
    return write_catalog(scenes, tmp_path_factory.mktemp("catalog") / "drawn")


@pytest.fixture(scope="session")
def _composed(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "project"
    project = create_project(folder, make_plan("drawn", Catalog(catalog, "test").categories, images_per_pair=2, seed=5))
    compose_images(project, catalog, size=96, license="CC0 1.0", author="nobody")
    return folder


@pytest.fixture
def project(_composed: Path, tmp_path: Path) -> Project:
    """Six composed images of three pairs, nothing decided."""
    return Project(shutil.copytree(_composed, tmp_path / "project"))


@pytest.fixture(scope="session")
def _matched(_composed: Path, catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(_composed, tmp_path_factory.mktemp("matched") / "project")
    project = Project(folder)
    for record in project.journal.read_images():
        decide(project, "ann", record.id, "keep")
    match_audio(project, catalog, license="CC BY 4.0", author="somebody")
    return folder


@pytest.fixture
def matched(_matched: Path, tmp_path: Path) -> Project:
    """Six composed images that are kept, with exact masks and sounds: ready for a release."""
    return Project(shutil.copytree(_matched, tmp_path / "matched"))
