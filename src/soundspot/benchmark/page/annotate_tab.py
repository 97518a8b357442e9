"""Tab of the page in which masks are drawn: clicks, a box, brush and eraser, undo and zoom."""

from functools import lru_cache
from typing import Any

import gradio as gr
from markupsafe import Markup
from PIL import Image

from soundspot.app.components import error_card, render_card, wire_silent_event
from soundspot.benchmark.annotation import next_thing, render_mask, save_annotation
from soundspot.benchmark.page.draft import MaskDraft, MaskView, draw_draft
from soundspot.benchmark.project import Project
from soundspot.errors import SoundspotError
from soundspot.inference.contours.load_segmenter import load_segmenter
from soundspot.utils.append_journal import check_annotator

MODES = ["object", "background", "box", "brush", "eraser"]
HINT = render_card(
    "hint",
    "Click on the thing",
    "Clicks on the thing and on the background, or two corners of a box, become a mask; brush and eraser correct it.",
)
Output = tuple[Any, MaskDraft | None, Markup]


def build_annotate_tab(project: Project, annotator: Any, segmenter: str) -> None:
    """Lay out the tab, and wire its events; to be called inside Gradio blocks.

    Args:
        project: the project.
        annotator: Gradio text box with the annotator's name.
        segmenter: name of the segmenter.
    """
    draft = gr.State(None)
    with gr.Row(equal_height=False, elem_classes="columns"):
        with gr.Column(scale=7, min_width=290):
            canvas = gr.Image(
                label="Image", type="pil", interactive=False, format="png", buttons=[], elem_id="canvas",
                show_label=False, container=False,
            )  # fmt: skip
        with gr.Column(scale=3, min_width=260):
            following = gr.Button("Next thing", variant="primary", elem_id="annotate-next")
            mode = gr.Radio(MODES, value="object", label="Click", elem_id="mode")
            radius = gr.Slider(1, 60, 8, step=1, label="Radius of brush and eraser in pixels", elem_id="radius")
            zoom = gr.Slider(1, 8, 1, step=1, label="Zoom", elem_id="zoom")
            undo = gr.Button("Undo", elem_id="annotate-undo")
            save = gr.Button("Save the mask", elem_id="annotate-save")
            message = gr.HTML(HINT, elem_id="annotate-message", padding=False)

    @lru_cache(maxsize=8)
    def read_image(number: int) -> Image.Image:
        return project.read_image(project.journal.read_image(number))

    def show(state: MaskDraft | None, magnification: float | int, text: Markup | str = "") -> Output:
        if state is None:
            return None, None, Markup(text) or HINT
        try:
            image = read_image(state.image)
            mask = render_mask(image, state.actions, load_segmenter(segmenter))
            drawing = draw_draft(image, mask, state, magnification)
        except SoundspotError as error:
            return None, state, error_card(error)
        share = f"The mask fills {100 * mask.mean():.1f} % of the image."
        card = render_card("hint", f"Where is the {state.category}?", share, f"Actions so far: {len(state.actions)}.")
        return drawing, state, Markup(text) + card

    def begin(name: str, state: MaskDraft | None, magnification: float | int) -> Output:
        try:
            following_draft = find_next(project, check_annotator(name), state)
        except SoundspotError as error:
            return None, None, error_card(error)
        if following_draft is None:
            return None, None, render_card("in", "All drawn", "Each thing in the images that are kept has your mask.")
        return show(following_draft, magnification)

    def click(
        state: MaskDraft | None, kind: str, size: float | int, magnification: float | int, event: gr.SelectData
    ) -> Output:
        if state is None or kind not in MODES:
            return show(state, magnification)
        view = MaskView.of(read_image(state.image).size, magnification, state.center)
        return show(state.click(view.to_image(event.index), kind, size), magnification)

    def take_back(state: MaskDraft | None, magnification: float | int) -> Output:
        return show(state.undo() if state else None, magnification)

    def store(name: str, state: MaskDraft | None, magnification: float | int) -> Output:
        if state is None:
            return show(None, magnification)
        try:
            record = project.journal.read_image(state.image)
            mask = render_mask(read_image(state.image), state.actions, load_segmenter(segmenter))
            save_annotation(project, name, record, state.category, mask, state.actions, segmenter)
        except SoundspotError as error:
            return show(state, magnification, error_card(error))
        return begin(name, state, magnification)

    outputs = [canvas, draft, message]
    for event, function, inputs in (
        (following.click, begin, [annotator, draft, zoom]),
        (canvas.select, click, [draft, mode, radius, zoom]),
        (undo.click, take_back, [draft, zoom]),
        (save.click, store, [annotator, draft, zoom]),
    ):
        event(
            function,
            inputs,
            outputs,
            show_progress="hidden",
            trigger_mode="once",
            api_visibility="private",
            concurrency_limit=2,
            concurrency_id="masks",
        )
    wire_silent_event(zoom.change, show, [draft, zoom], outputs)


def find_next(project: Project, annotator: str, after: MaskDraft | None) -> MaskDraft | None:
    """Find the next thing of the images that are kept whose mask an annotator has not drawn.

    Args:
        project: the project.
        annotator: name of the annotator.
        after: draft of the thing before; things after it come first. None: from the first.

    Returns:
        An empty draft; None where all are drawn.
    """
    following = next_thing(project, annotator, (after.image, after.category) if after else None)
    return MaskDraft(*following) if following else None
