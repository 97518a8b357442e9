"""The page without a browser: what it shows and serves, and how quickly, with names that are HTML."""

import asyncio
import gc
import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from soundspot.benchmark.annotation import Action
from soundspot.benchmark.page.draft import MaskDraft, MaskView, draw_draft
from soundspot.benchmark.page.media import find_media, render_image
from soundspot.benchmark.plan import make_plan
from soundspot.benchmark.project import Project, add_image, create_project
from soundspot.benchmark.records import Source
from soundspot.benchmark.selection import decide
from soundspot.utils.append_journal import insert_row
from visitor import loops_closed

pytest.importorskip("gradio", reason="Gradio is absent: the page is not tested")
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "ResourceWarning", "UserWarning")
]
NAUGHTY = "<img src=x onerror=document.title='hurt'>"


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    with loops_closed():
        import soundspot.benchmark.page.layout  # noqa: F401


@pytest.fixture
def naughty(tmp_path: Path) -> Project:
    project = create_project(tmp_path / "p", make_plan(NAUGHTY, [NAUGHTY, "cat"], images_per_pair=2))
    for number in range(2):
        image = Image.new("RGB", (64, 48), (90, 60 + number, 30))
        add_image(project, project.plan.image(number), image, Source("folder", "CC0 1.0"))
    return project


def test_names_that_are_html_are_text(naughty: Project) -> None:
    from soundspot.benchmark.page import audio_tab, overview_tabs, select_tab

    for name in ("ann", NAUGHTY):
        for image in (1, 2):
            decide(naughty, name, image, "keep" if name == "ann" else "drop", NAUGHTY)
    pages = [
        select_tab.show_next(naughty, "bob", 0)[0],
        select_tab.show_image(naughty, NAUGHTY, 1)[0],
        select_tab.render_progress(naughty),
        select_tab.render_dispute(naughty)[0],
        audio_tab.render_sounds(naughty, 1),
        overview_tabs.render_plan(naughty),
        overview_tabs.render_images(naughty, 1),
        overview_tabs.render_status(naughty),
        render_image(naughty.journal.read_image(1)),
    ]
    for page in pages:
        assert "<img src=x" not in page
    assert sum("&lt;img" in page for page in pages) >= 7


def test_who_has_no_name_decides_nothing(naughty: Project) -> None:
    from soundspot.benchmark.page.select_tab import NO_NAME, show_next

    assert show_next(naughty, "  ", 0) == (NO_NAME, 0)
    for image in (1, 2):
        decide(naughty, "ann", image, "keep")
    html, image = show_next(naughty, "ann", 0)
    assert "All decided" in html
    assert image == 0


def test_an_image_that_vanished_is_named(naughty: Project) -> None:
    from soundspot.benchmark.page.select_tab import show_image

    naughty.image_path(naughty.journal.read_image(1)).unlink()
    assert "The file is gone" in show_image(naughty, "ann", 1)[0]


def test_files_are_served_by_number_alone(matched: Project) -> None:
    from soundspot.benchmark.page.server import open_project_page

    async def ask(app: Any) -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            paths = ("images/1", "audio/1", "images/99", "plans/1", "images/../journal.sqlite", f"images/{10**30}")
            answers = [await client.get(f"/project/{path}") for path in paths]
            answers.append(await client.get("/project/images/1", headers={"host": "evil.example"}))
            return answers

    with ExitStack() as stack:
        with loops_closed():
            app = stack.enter_context(open_project_page(matched))
        image, audio, *absent, foreign = asyncio.run(ask(app))
    assert image.content == matched.image_path(matched.journal.read_image(1)).read_bytes()
    assert (audio.headers["content-type"], audio.content[:4]) == ("audio/flac", b"fLaC")
    assert [answer.status_code for answer in absent] == [404] * 4
    assert foreign.status_code == 421
    assert find_media(matched, "audio", 99) is None
    del app
    gc.collect()  # what Gradio leaves open is told here, where it is ignored, and in no later test


def test_pages_of_ten_thousand_images_hold_a_few_of_them(tmp_path: Path) -> None:
    from soundspot.benchmark.page import overview_tabs, select_tab

    project = create_project(tmp_path / "p", make_plan("large", [f"c{i}" for i in range(3000)], "balanced", 100, 100))
    with project.journal.connect(write=True) as connection:
        for number in range(10_000):
            names = json.dumps(project.plan.groups[number // 100])
            own = {"annotator": "ann", "image": number + 1, "step": "select", "choice": "keep", "reason": ""}
            insert_row(
                connection, "images", number=number, file=f"images/{number}.jpg", categories=names, width=64, height=64,
                sha256="0", source='{"kind": "folder"}',
            )  # fmt: skip
            insert_row(connection, "decisions", **own)
    decide(project, "bob", 5000, "keep")
    html, image = select_tab.show_next(project, "bob", 5000)
    assert image == 5001
    pages = (html, select_tab.render_progress(project), overview_tabs.render_images(project, 400))
    assert all(len(page) < 50_000 for page in pages)
    assert len(overview_tabs.render_plan(project)) < 500_000


def test_a_box_takes_two_clicks_and_is_undone_by_one() -> None:
    draft = MaskDraft(1, "dog").click((5, 6), "box", 9)
    assert (draft.actions, draft.corner) == ((), (5, 6))
    assert draft.undo() == MaskDraft(1, "dog", center=(5, 6))
    draft = draft.click((20, 30), "box", 9).click((10, 10), "brush", 9)
    assert draft.actions == (Action("box", ((5, 6), (20, 30))), Action("brush", ((10, 10),), 9))
    assert draft.undo().actions == draft.actions[:1]


@pytest.mark.parametrize(("zoom", "center"), [(1, None), (4, (10, 90)), (8, (150, 5)), (2, (-50, 500))])
def test_a_click_in_a_magnified_view_is_where_it_points_to(zoom: int, center: tuple[int, int] | None) -> None:
    view = MaskView.of((160, 100), zoom, center)
    assert 0 <= view.x <= 160 - view.width
    assert 0 <= view.y <= 100 - view.height
    point = (view.x + view.width / 3, view.y + view.height / 2)
    assert view.to_image(view.to_view(point)) == pytest.approx(point)


def test_a_draft_is_drawn_over_its_image() -> None:
    mask = np.zeros((100, 160), bool)
    mask[20:60, 30:80] = True
    draft = MaskDraft(1, "dog", (Action("object", ((50, 40),)), Action("box", ((20, 10), (90, 70)))), (5, 5))
    blank = Image.new("RGB", (160, 100), "gray")
    full, near = draw_draft(blank, mask, draft, 1), draw_draft(blank, mask, draft, 4)
    assert full.size == (720, 450)
    assert max(near.size) == 720
    assert np.asarray(full).std() > 0


def test_the_release_is_written_beside_the_journal(matched: Project) -> None:
    from soundspot.benchmark.page.overview_tabs import render_status

    assert "things with a sound</td><td>12" in render_status(matched)
    shutil.rmtree(matched.folder / "images")
    assert "things with a mask</td><td>12" in render_status(matched)
