"""The page in a real browser: what a person does, what they see, and that nothing leaves the machine.

$SOUNDSPOT_SCREENSHOTS names a folder for pictures of it; $SOUNDSPOT_CHECKPOINT a model worth looking at.
"""

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from visitor import NAUGHTY, Served


class Visit:
    """An open page, the addresses that it asked for, and what its console said."""

    def __init__(self, browser: Any, served: Served, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        self.page, self.served = self.context.new_page(), served
        self.page.set_default_timeout(15_000)
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if "Security Policy" in said.text else None)
        self.page.goto(served.url)
        self.page.wait_for_selector("#examples img")

    def give(self, name: str, *files: Path) -> None:
        self.page.locator(f"#{name} input[type=file]").first.set_input_files([str(file) for file in files])

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    @property
    def map(self) -> str:
        return str(self.page.locator("#drawing img").first.get_attribute("src"))

    def verdict(self) -> str:
        return str(self.page.locator("#verdict [data-verdict]").first.get_attribute("data-verdict"))

    def until_map_changes(self, before: str) -> str:
        self.page.wait_for_function(
            "before => { const i = document.querySelector('#drawing img'); return i && i.src !== before }", arg=before
        )
        return self.map

    def slide(self, name: str, value: float) -> None:
        box = self.page.locator(f"#{name} input[type=number]")
        box.fill(str(value))
        box.press("Enter")
        box.blur()

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def visit(browser: Any, served: Served) -> Iterator[Visit]:
    opened = Visit(browser, served)
    yield opened
    outside = [url for url in opened.asked if not url.startswith((served.url, "data:", "blob:"))]
    errors = list(opened.errors)
    opened.close()
    assert outside == []
    assert errors == []


def shot(visit: Visit, name: str) -> None:
    """A picture of the page, where they are wanted."""
    if folder := os.environ.get("SOUNDSPOT_SCREENSHOTS"):
        visit.page.wait_for_timeout(700)
        visit.page.mouse.move(2, 2)
        visit.page.screenshot(path=Path(folder) / f"{name}.jpg", full_page=True, type="jpeg", quality=82)


def test_sounds_are_switched_and_the_map_moves(visit: Visit) -> None:
    visit.give("image", visit.served.files.picture)
    visit.page.wait_for_selector("text=Now give a sound")
    visit.give("audios", visit.served.files.low, visit.served.files.high)
    visit.page.wait_for_selector("#verdict [data-verdict]")
    first, said = visit.map, visit.verdict()
    visit.page.get_by_role("radio", name="high.wav").check()
    second = visit.until_map_changes(first)
    assert visit.page.locator("#verdict .of").inner_text() == "high.wav"
    if "SOUNDSPOT_CHECKPOINT" not in os.environ:  # the threshold of the tests' model lies between the two
        assert {said, visit.verdict()} == {"in", "out"}

    visit.slide("threshold", 5)  # what is not in the image is not drawn
    visit.page.wait_for_selector("#verdict [data-verdict=out]")
    visit.page.wait_for_timeout(300)
    bare = visit.map
    visit.slide("threshold", -5)
    second = visit.until_map_changes(bare)
    visit.slide("opacity", 0)
    visit.until_map_changes(second)
    plain = visit.map
    visit.slide("opacity", 1)
    visit.until_map_changes(plain)
    whole = visit.map
    visit.slide("mask", 0.9)
    visit.until_map_changes(whole)
    strict = visit.map
    visit.page.get_by_role("checkbox", name="Boxes").check()
    boxed = visit.until_map_changes(strict)

    visit.slide("threshold", -5)
    visit.page.wait_for_selector("#verdict [data-verdict=in]")
    visit.slide("threshold", 5)
    visit.page.wait_for_selector("#verdict [data-verdict=out]")
    visit.slide("threshold", -5)
    visit.page.get_by_role("radio", name="All in one image").check()
    visit.until_map_changes(boxed)
    visit.page.wait_for_function("document.querySelectorAll('#verdict [data-verdict]').length === 2")
    visit.page.get_by_role("radio", name="Side by side").check()
    visit.page.wait_for_function("document.querySelectorAll('#drawing img').length === 3")


def test_a_picture_is_encoded_once_and_a_sound_heard_once(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    for name in ("encode_image", "predict"):
        own = getattr(visit.served.localizer, name)
        monkeypatch.setattr(
            visit.served.localizer, name, lambda *a, own=own, name=name, **k: (asked.append(name), own(*a, **k))[1]
        )
    visit.page.locator("#examples img").first.click()
    visit.page.wait_for_selector("#verdict [data-verdict]")
    before = visit.map
    visit.page.locator("#selection input").nth(1).check()
    before = visit.until_map_changes(before)
    visit.slide("opacity", 0.2)
    visit.until_map_changes(before)
    visit.page.wait_for_timeout(300)
    assert sorted(asked) == ["encode_image", "predict", "predict"]


def test_pictures_of_the_page(browser: Any, served: Served) -> None:
    """Wide and narrow, by day and by night: the example is answered, and nothing is wider than the screen."""
    for name, scheme, width in (("page", "light", 1280), ("page-dark", "dark", 1280), ("page-phone", "light", 390)):
        visit = Visit(browser, served, color_scheme=scheme)
        visit.page.set_viewport_size({"width": width, "height": 800})
        visit.page.locator("#examples img").first.click()
        visit.page.wait_for_selector("#verdict [data-verdict]")
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        visit.page.wait_for_function(  # map and verdict are on the screen, without scrolling by hand
            """() => ['#drawing img', '#verdict h3'].every((name) => {
                const { top, bottom } = document.querySelector(name).getBoundingClientRect();
                return top >= 0 && bottom <= innerHeight;
            })"""
        )
        assert visit.page.get_by_role("tab").all_inner_texts() == ["Image", "Video", "Search", "Reports", "Check"]
        assert visit.page.get_by_role("tab", name="Reports").is_visible()
        label = visit.page.locator("#image [data-testid=block-label]")  # over the image, and yet to be read
        assert label.evaluate("label => getComputedStyle(label).backgroundColor") != "rgba(0, 0, 0, 0)"
        shot(visit, name)
        visit.close()


def test_a_file_of_500_megabytes_is_refused_in_words(visit: Visit, tmp_path: Path) -> None:
    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.truncate(500_000_000)
    visit.give("audios", large)
    visit.page.wait_for_selector("text=/maximum allowed size|exceeds/i")
    large.unlink()


def test_a_broken_file_is_refused_before_the_other_and_its_error_leaves_with_it(visit: Visit, tmp_path: Path) -> None:
    for name in ("text.png", "text.wav", "text.mp4"):
        (tmp_path / name).write_text("neither")
    visit.give("image", tmp_path / "text.png")
    visit.page.wait_for_selector("#verdict .wrong >> text=text.png")
    visit.page.get_by_label("Clear").or_(visit.page.get_by_label("Remove")).first.click()
    visit.page.wait_for_selector("#verdict >> text=Locate a sound")
    visit.give("audios", tmp_path / "text.wav")
    visit.page.wait_for_selector("#verdict .wrong >> text=text.wav")
    for tab, name, broken, message in (("Search", "search-image", "text.png", "search-message"),
                                       ("Video", "video", "text.mp4", "video-message")):  # fmt: skip
        visit.tab(tab)
        visit.give(name, tmp_path / broken)
        visit.page.wait_for_selector(f"#{message} .wrong >> text={broken}")


def test_what_is_no_picture_is_told(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    visit.give("audios", visit.served.files.low)
    visit.page.wait_for_selector("text=Now give an image")
    visit.give("image", tmp_path / "text.png")
    visit.page.wait_for_selector("#verdict [role=alert]")
    told = visit.page.locator("#verdict [role=alert]").inner_text()
    assert "text.png" in told
    assert "/" not in told.replace("PNG/JPEG", "").split("text.png")[0]


def test_markup_in_a_name_is_text(visit: Visit) -> None:
    """Of a report, and of files that were indexed; names that are sent lose such letters on the way in."""
    visit.tab("Reports")
    visit.page.locator("#report input").click()
    visit.page.get_by_role("option", name="Naughty").click()
    visit.page.locator("#page .open span", has_text=NAUGHTY).wait_for()
    visit.page.frame_locator("#page iframe").get_by_text("still").wait_for()
    visit.errors.clear()  # the browser says that it ran no script
    visit.tab("Search")
    visit.give("search-image", visit.served.files.picture)
    visit.page.wait_for_timeout(300)
    visit.page.locator("#search").click()
    visit.page.locator("#hits .caption-label", has_text=NAUGHTY).first.click()
    visit.page.locator("#hit h3", has_text=NAUGHTY).wait_for()
    assert visit.page.title() == "soundspot"
    assert visit.page.locator("img[src=x]").count() == 0


def test_reports_are_read_and_run_nothing(visit: Visit) -> None:
    visit.tab("Reports")
    visit.page.locator("#report input").click()
    visit.page.get_by_role("option", name="Model & scenes").click()
    frame = visit.page.frame_locator("#page iframe")
    frame.get_by_text("38.9 % of all").wait_for()
    visit.page.locator("#report input").click()
    assert visit.page.get_by_role("option").count() == 2
    visit.page.get_by_role("option", name="Naughty").click()
    frame.get_by_text("still").wait_for()
    visit.errors.clear()  # the browser says that it ran no script


def test_an_index_is_searched(visit: Visit) -> None:
    visit.tab("Search")
    visit.page.locator("#search").click()
    visit.page.wait_for_selector("text=Nothing to search by")
    visit.give("search-audio", visit.served.files.high)
    visit.page.wait_for_timeout(300)
    visit.page.locator("#search").click()
    visit.page.wait_for_selector("#hits img")
    shot(visit, "search")
    visit.page.locator("#hits img").first.click()
    visit.page.wait_for_selector("#hit .card")


def test_a_video_is_answered(visit: Visit) -> None:
    visit.tab("Video")
    visit.give("video", visit.served.files.clip)
    visit.page.wait_for_timeout(300)
    visit.page.locator("#locate-video").click()
    visit.page.wait_for_selector("#overlay video")
    visit.page.wait_for_selector("#timeline img")
    assert visit.page.evaluate("document.querySelector('#overlay video').error") is None
    shot(visit, "video")


def drop(visit: Visit, name: str, file: Path, called: str) -> None:
    """Drops a file on the input called `name`, as from a folder that is open beside the browser."""
    script = """([content, called]) => {
        const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], called));
        return transfer;
    }"""
    content = base64.b64encode(file.read_bytes()).decode()
    transfer = visit.page.evaluate_handle(script, [content, called])
    visit.page.locator(f"#{name} input[type=file]").first.evaluate(
        "(input, transfer) => input.parentElement.dispatchEvent("
        "new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }))",
        transfer,
    )


@pytest.mark.parametrize("called", ["CLIP.MOV", "00001.MTS", "clip.mxf"])
def test_a_video_is_dropped_under_any_ending(visit: Visit, called: str) -> None:
    visit.tab("Video")
    drop(visit, "video", visit.served.files.clip, called)
    visit.page.wait_for_timeout(500)
    visit.page.locator("#locate-video").click()
    visit.page.wait_for_selector("#overlay video")


def test_a_video_without_sound_is_offered_one(visit: Visit) -> None:
    visit.tab("Video")
    visit.give("video", visit.served.files.mute)
    visit.page.wait_for_timeout(300)
    visit.page.locator("#locate-video").click()
    visit.page.wait_for_selector("text=Give one in the field")
    visit.give("video-audio", visit.served.files.high)
    visit.page.wait_for_timeout(500)
    visit.page.locator("#locate-video").click()
    visit.page.wait_for_selector("#overlay video")


def test_a_browser_that_is_closed_ends_the_video(browser: Any, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    from soundspot.inference.video.predictor import LocatedVideo

    begun: list[Path] = []
    ended: list[str] = []
    save = LocatedVideo.save

    def slow(self: LocatedVideo, *paths: Any, progress: Any, **more: Any) -> Any:
        def slowly(done: float, of: float) -> None:
            time.sleep(0.3)
            progress(done, of)

        try:
            begun.append(self.info.path)
            for _ in range(100):
                slowly(0.0, 1.0)
            return save(self, *paths, progress=slowly, **more)
        except Exception as error:
            ended.append(str(error))
            raise

    monkeypatch.setattr(LocatedVideo, "save", slow)
    visit = Visit(browser, served)
    visit.tab("Video")
    visit.give("video", served.files.clip)
    visit.page.wait_for_timeout(300)
    visit.page.locator("#locate-video").click()
    while not begun:
        visit.page.wait_for_timeout(50)
    visit.close()
    for _ in range(50):
        if ended:
            break
        time.sleep(0.1)
    assert ended == ["The page was closed."]


def test_nobody_was_called(served: Served) -> None:
    assert served.reached == []
