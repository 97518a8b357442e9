"""The page as a whole: head and tabs."""

from typing import Any

import gradio as gr

from whence.app import words
from whence.app.desk import Desk
from whence.app.examples import Example
from whence.app.picture import picture_tab
from whence.app.reports import reports_tab
from whence.app.search import search_tab
from whence.app.video import video_tab


def build(desk: Desk, page: Any, examples: list[Example]) -> gr.Blocks:
    """The page's Gradio blocks; `page` is what it shows (`whence.app.server.Page`)."""
    localizer = desk.localizer
    with gr.Blocks(analytics_enabled=False, title="whence") as blocks:
        gr.HTML(words.head(localizer.title, (*localizer.supervision, *localizer.notes)))
        with gr.Tab("Picture", id="picture"):
            picture_tab(desk, examples)
        with gr.Tab("Video", id="video"):
            video_tab(desk)
        with gr.Tab("Search", id="search"):
            search_tab(desk, page.index)
        with gr.Tab("Reports", id="reports"):
            reports_tab(page.reports)

        def left(request: gr.Request) -> None:
            desk.leave(request.session_hash)

        blocks.unload(left)
    return blocks
