"""The page as a whole: head and tabs."""

from typing import Any

import gradio as gr

from soundspot.app import html as words
from soundspot.app.examples import Example
from soundspot.app.image_tab import build_image_tab
from soundspot.app.reports import build_reports_tab
from soundspot.app.search_tab import search_tab
from soundspot.app.sessions import SessionStore
from soundspot.app.video_tab import build_video_tab


def build_page(desk: SessionStore, page: Any, examples: list[Example]) -> gr.Blocks:
    """The page's Gradio blocks; `page` is what it shows (`soundspot.app.server.Page`)."""
    localizer = desk.localizer
    with gr.Blocks(analytics_enabled=False, title="soundspot") as blocks:
        gr.HTML(words.render_header(localizer.title, (*localizer.supervision, *localizer.notes)))
        with gr.Tab("Picture", id="picture"):
            build_image_tab(desk, examples)
        with gr.Tab("Video", id="video"):
            build_video_tab(desk)
        with gr.Tab("Search", id="search"):
            search_tab(desk, page.index)
        with gr.Tab("Reports", id="reports"):
            build_reports_tab(page.reports)

        def left(request: gr.Request) -> None:
            desk.end_session(request.session_hash)

        blocks.unload(left)
    return blocks
