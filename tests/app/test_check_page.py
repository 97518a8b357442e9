"""Sixty clicks in a real browser: keys, undo, a second person, a clip that vanishes, and the threshold at the end.

$SOUNDSPOT_SCREENSHOTS names a folder for pictures of it, $SOUNDSPOT_RESULTS results worth looking at.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from review_results import make_results
from soundspot.config.recording_calibration import read_recording_calibration
from soundspot.review.review import JOURNAL_FILE, Review
from visitor import KeyedView, name_annotator, served_by

pytestmark = pytest.mark.slow
CLIP = KeyedView("#clip", "clip")


def visit(browser: Any, url: str, name: str, width: int = 1280, height: int = 900) -> Any:
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    page.set_default_timeout(60_000)
    page.goto(url)
    name_annotator(page, name)
    page.wait_for_selector("#clip figure")
    page.locator("h1").click()  # out of the text box, where keys are letters
    return page


def shot(page: Any, name: str, full_page: bool = True) -> None:
    """A picture of the page, where they are wanted."""
    if folder := os.environ.get("SOUNDSPOT_SCREENSHOTS"):
        page.wait_for_timeout(1000)
        page.mouse.move(2, 2)
        page.screenshot(path=Path(folder) / f"{name}.jpg", full_page=full_page, type="jpeg", quality=82)


def test_sixty_clicks_by_keys_give_a_threshold(browser: Any, tmp_path: Path) -> None:
    named = os.environ.get("SOUNDSPOT_RESULTS")
    folder = Path(named) if named else make_results(tmp_path, np.linspace(0, 1, 60), "<b>{}<b>")
    review = Review(folder)
    peaks = {clip.id: clip.moment.peak for clip in review.clips}
    middle = float(np.median([*peaks.values()]))
    rng = np.random.default_rng(0)
    keys = {
        clip: "k" if peak + rng.normal(0, 0.08) < middle else "jl"[rng.random() < 0.2] for clip, peak in peaks.items()
    }

    ann = "ann" if "SOUNDSPOT_SCREENSHOTS" in os.environ else "ann <i>"
    with served_by("check-results", folder, cwd=folder.parent) as url:
        page = visit(browser, url, ann)
        page.wait_for_function("() => document.querySelector('#clip img').naturalWidth > 0")
        page.wait_for_function("() => document.querySelector('#clip audio, #clip video').readyState > 0")
        shot(page, "check")
        first = CLIP.number(page)
        page.keyboard.press("j")
        page.keyboard.press("k")  # quicker than the next clip comes: of the same clip
        page.wait_for_function("n => document.querySelector('#clip figure').dataset.clip != n", arg=str(first))
        assert review.read_choices() == {ann: {first: "absent"}}
        CLIP.press(page, "u")
        assert CLIP.number(page) == first
        page.locator("#fit").click()
        page.wait_for_selector("#calibration >> text=No threshold yet")

        phone = visit(browser, url, "bob", 390, 844)
        for _ in range(5):
            CLIP.press(phone, keys[CLIP.number(phone)])
        shot(phone, "check-phone", full_page=False)
        phone.locator("#key-i").click()
        phone.wait_for_selector("#check-progress >> text=bob: 6 of")

        while page.locator("#clip figure").count():
            CLIP.press(page, keys[CLIP.number(page)])
        page.wait_for_selector("#clip >> text=All checked")
        assert f"{ann}: " in page.locator("#check-progress").inner_text()
        assert page.locator("#check-progress i").count() == 0
        page.locator("#fit").click()
        page.wait_for_selector("#calibration svg circle")
        shot(page, "check-threshold")

        if not named:
            shutil.rmtree(tmp_path / "recordings")
            carol = browser.new_page()
            carol.goto(url)
            name_annotator(carol, "carol")
            carol.wait_for_selector("#clip figure, #clip .wrong")
            for _ in range(6):  # those that were cut before are there still
                carol.locator("#key-i").click()
                carol.wait_for_timeout(300)
            assert "carol: 6 of" in carol.locator("#check-progress").inner_text()
    calibration = read_recording_calibration(folder / "review.calibration.json")
    assert calibration.interval[0] < middle < calibration.interval[1]
    assert (folder / JOURNAL_FILE).is_file()
    assert set(review.read_choices()) >= {ann, "bob"}
