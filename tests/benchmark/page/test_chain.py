"""A set of sixty images from nothing, in a real browser, killed in each step and gone on with, released and scored."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soundspot.benchmark.project import Project
from soundspot.benchmark.selection import list_disagreements, selected_images
from soundspot.benchmark.verify import verify_checksums
from soundspot.data.datasets.registry import open_dataset
from soundspot.evaluation.engine.baselines import centered_box
from soundspot.evaluation.engine.evaluate import evaluate
from soundspot.scenes import open_scenes, write_catalog
from visitor import ENVIRONMENT, KeyedView, name_annotator, served_by

pytestmark = [
    pytest.mark.slow,
    *(pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "ResourceWarning")),
]
SELECTION = KeyedView("#select-image", "image")
NUM_IMAGES = 60


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "soundspot", "benchmark", *map(str, words)]


def run(*words: object) -> str:
    done = subprocess.run(command(*words), capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def killed(*words: object, until: Callable[[], bool]) -> None:
    """Run a command and kill it (-9) as soon as something has happened."""
    with subprocess.Popen(
        command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT
    ) as process:
        deadline = time.monotonic() + 60
        while not until() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)


def visit(browser: Any, url: str, name: str) -> Any:
    page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    page.set_default_timeout(20_000)
    page.goto(url)
    name_annotator(page, name)
    page.wait_for_selector("#select-image figure[data-image], #select-image .card.in")
    page.locator("#annotator textarea, #annotator input").first.blur()
    page.wait_for_timeout(400)
    return page


def draw(page: Any) -> None:
    """Draw a box on the first thing, and save its mask."""
    page.get_by_role("tab", name="Masks").click()
    page.locator("#annotate-next").click()
    page.wait_for_selector("#canvas img")
    page.locator("#mode label", has_text="box").click()
    page.wait_for_timeout(500)
    area = page.locator("#canvas img").bounding_box()
    for share in (0.05, 0.95):
        before = page.locator("#canvas img").get_attribute("src")
        page.mouse.click(area["x"] + share * area["width"], area["y"] + share * area["height"])
        page.wait_for_function("before => document.querySelector('#canvas img').src != before", arg=before)
    page.wait_for_selector("text=Actions so far: 1.")
    page.locator("#annotate-save").click()
    page.wait_for_selector("text=Actions so far: 0.")


def test_sixty_images_by_two_annotators_killed_in_each_step(browser: Any, tmp_path: Path) -> None:
    scenes = open_scenes("scenes-single", length=240, size=96, seconds=1.0, categories=4, object_size=(0.5, 0.8))
    catalog, folder = write_catalog(scenes, tmp_path / "catalog"), tmp_path / "set"
    run("plan", folder, "--categories", *scenes.categories, "--images-per-pair", 10)
    stated = ("--license", "CC0 1.0", "--author", "nobody")

    images = ("images", folder, "--cutouts", catalog, "--size", 160, *stated)
    killed(*images, until=lambda: len(list((folder / "images").glob("*.jpg"))) > 20)
    assert 0 < len(Project(folder).journal.read_images()) < NUM_IMAGES
    assert "0 missing" in run(*images)
    project = Project(folder)
    assert len(project.journal.read_images()) == NUM_IMAGES

    for name, dropped in (("ann", {3, 30}), ("bob", {3, 40, 41})):
        for stop in (25, NUM_IMAGES):
            with served_by("benchmark", "app", folder) as url:
                page = visit(browser, url, name)
                while (decided := count(project, name)) < stop:
                    SELECTION.press(page, "1" if decided in dropped else "j")
                page.close()
            assert count(project, name) == stop

    assert len(list_disagreements(project)) == 3
    with served_by("benchmark", "app", folder) as url:
        page = visit(browser, url, "carol")
        page.locator("#disagreements button", has_text="Disagreements").first.click()
        page.locator("#dispute-next").click()
        for left in (2, 1, 0):
            page.locator("#resolve-keep" if left else "#resolve-drop").click()
            page.wait_for_selector(f"#dispute >> text={f'{left} to resolve' if left else 'Nothing to resolve'}")
    assert len(selected_images(project)) == NUM_IMAGES - 2

    audio = ("audio", folder, catalog, *stated)
    killed(*audio, until=lambda: len(project.journal.read_pairings()) > 30)
    assert 0 < len(project.journal.read_pairings()) < 2 * (NUM_IMAGES - 2)
    run(*audio)
    assert len(set(project.journal.read_pairings().values())) == 2 * (NUM_IMAGES - 2)

    for masks in (1, 2):
        with served_by("benchmark", "app", folder) as url:
            draw(visit(browser, url, "ann"))
        assert sum(annotation.annotator == "ann" for annotation in project.journal.read_annotations()) == masks

    release = ("release", folder, tmp_path / "released")
    killed(*release, until=lambda: any(tmp_path.glob(".released.draft-*/new/images/*")))
    assert not (tmp_path / "released").exists()
    checksum = re.search(r"checksum (\w+)", run(*release))
    assert checksum is not None
    assert verify_checksums(tmp_path / "released") == checksum[1]
    assert not list(tmp_path.glob(".released*"))
    data = open_dataset("is3", tmp_path / "released", ground_truth="masks")
    report = evaluate(lambda image, audio: centered_box(28, 28), data, negatives=(), bootstraps=0)
    assert report.n == 2 * (NUM_IMAGES - 2)
    assert 0 <= report["iiou_adaptive"] < 0.5


def count(project: Project, annotator: str) -> int:
    with project.journal.connect() as connection:
        query = "SELECT COUNT(DISTINCT image) FROM decisions WHERE step = 'select' AND annotator = ?"
        return int(connection.execute(query, (annotator,)).fetchone()[0])
