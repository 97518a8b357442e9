"""The layout of the page: header, tabs, theme and script."""

import json
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes import Base, Color, sizes

from soundspot.app.check_tab import build_check_tab
from soundspot.app.components import build_keys_script, render_header
from soundspot.app.examples import Example
from soundspot.app.image_tab import build_image_tab
from soundspot.app.reports import build_reports_tab
from soundspot.app.search_tab import build_search_tab
from soundspot.app.sessions import SessionStore
from soundspot.app.video_tab import build_video_tab
from soundspot.data.media.file_types import AUDIO_SUFFIXES, IMAGE_SUFFIXES, VIDEO_SUFFIXES
from soundspot.inference.localizer import Localizer
from soundspot.review.media import ClipCutter

SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
MONO = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "monospace")
FOLDER = Path(__file__).parent
KINDS = {"image": IMAGE_SUFFIXES, "audio": AUDIO_SUFFIXES, "video": VIDEO_SUFFIXES}
NARROW = (
    "@media (max-width: 640px) { .gradio-container .main.fillable { padding: 0 !important; } }"  # not in CSS's scope
)
CSS = (FOLDER / "page.css").read_text(encoding="utf-8")


def build_page(
    sessions: SessionStore,
    examples: list[Example],
    index: Path | None,
    reports: Path | None,
    cutter: ClipCutter | None = None,
) -> gr.Blocks:
    """Build the Gradio blocks of the page.

    Args:
        sessions: sessions of the visitors, with the localizer and the limits.
        examples: examples that the page offers.
        index: folder of `soundspot search index`; None: the search tab says how to make an index.
        reports: folder with reports in it; None: the reports tab says how to write reports.
        cutter: clips of a review of results; None: the check tab says how to begin one.

    Returns:
        The blocks, not yet served.

    Raises:
        DataError: there is no index in the folder, or it is damaged.
        CheckpointError: the index was made by another model.
    """
    localizer = sessions.localizer
    with gr.Blocks(analytics_enabled=False, title="soundspot") as blocks:
        gr.HTML(render_header(*describe_model(localizer)))
        with gr.Tab("Image", id="image"):
            build_image_tab(sessions, examples)
        with gr.Tab("Video", id="video"):
            build_video_tab(sessions)
        with gr.Tab("Search", id="search"):
            build_search_tab(sessions, index)
        with gr.Tab("Reports", id="reports"):
            build_reports_tab(reports)
        with gr.Tab("Check", id="check"):
            build_check_tab(cutter)

        def end_session(request: gr.Request) -> None:
            sessions.end_session(request.session_hash)

        blocks.unload(end_session)
    return blocks


def build_check_page(cutter: ClipCutter) -> gr.Blocks:
    """Build the Gradio blocks of a page with the check tab alone.

    Args:
        cutter: clips of a review of results.

    Returns:
        The blocks, not yet served.
    """
    with gr.Blocks(analytics_enabled=False, title="soundspot: check") as blocks:
        model = cutter.review.model.name
        gr.HTML(render_header(f"{cutter.review.folder.name}, located by {model}", (), ()))
        build_check_tab(cutter)
    return blocks


def describe_model(localizer: Localizer) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Describe the model of the page to a visitor.

    Args:
        localizer: localizer of the page.

    Returns:
        Title, names of the things that the model knows, and sentences: where it names none, of the labels that it
        learned from.
    """
    known = localizer.known_categories
    return localizer.display_name, known, (*(() if known else localizer.supervision), *localizer.notes)


def build_head() -> str:
    """Build the script of the page, which gives dropped files the type that their suffix tells, and narrow margins.

    Browsers do not know the types of `.MTS`, `.HEIC` or, some, of `.MOV` in capitals, and Gradio's inputs refuse
    what is dropped on them without a type that begins with `image/`, `audio/` or `video/`.

    Returns:
        HTML for the head of the page.
    """
    types = {suffix[1:]: f"{kind}/x-{suffix[1:]}" for kind, suffixes in KINDS.items() for suffix in suffixes}
    script = (FOLDER / "page.js").read_text(encoding="utf-8").replace("TYPES", json.dumps(types))
    return f"<script>{script}</script>{build_keys_script()}<style>{NARROW}</style>"


def build_theme() -> Any:
    """Build Gradio's plainest theme in the colors of the heatmap; no font is fetched.

    Returns:
        The Gradio theme.
    """
    rose = Color(
        "#fdf1f5", "#fbdde8", "#f5b5cd", "#ec84ac", "#d94d85", "#ad1263", "#980f63", "#7f0b6e", "#51066c", "#3a0462",
        "#26035c", name="soundspot",
    )  # fmt: skip
    gray = Color(
        "#fbfbfc", "#f3f3f6", "#e4e5ea", "#d0d1d9", "#a3a6b2", "#7b7e8a", "#5d606b", "#40424c", "#30323b", "#1b1c22",
        "#131418", name="soundspot-gray",
    )  # fmt: skip
    base = Base(
        primary_hue=rose, secondary_hue=rose, neutral_hue=gray, radius_size=sizes.radius_md, font=SANS, font_mono=MONO
    )
    return base.set(**json.loads((FOLDER / "theme.json").read_text(encoding="utf-8")))
