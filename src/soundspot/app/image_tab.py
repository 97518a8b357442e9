"""The tab that locates sounds in an image: switch between them, and see the map move."""

from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from soundspot.app.components import (
    NO_THRESHOLD,
    THRESHOLD_CLEARED,
    error_card,
    pass_path,
    pass_paths,
    pass_value,
    render_card,
    render_errors,
    render_figures,
    render_verdict,
    show_on_phone,
    wire_silent_event,
)
from soundspot.app.examples import Example
from soundspot.app.service import (
    DEFAULT_MASK_THRESHOLD,
    LocatedImage,
    OverlayStyle,
    check_uploads,
    draw_figures,
    locate_audios,
    round_threshold,
    with_threshold,
)
from soundspot.app.sessions import SessionStore
from soundspot.errors import SoundspotError

VIEWS = [("This sound", "single"), ("All in one image", "combined"), ("Side by side", "side_by_side")]
HINT = render_card("hint", "Locate a sound", "Give an image and a sound, or take an example.")
EMPTY = '<div class="empty"></div>'
EXPIRED = render_card("hint", "Locate again", "The maps were deleted meanwhile: give an image and a sound once more.")


def build_image_tab(sessions: SessionStore, examples: list[Example]) -> None:
    """Lay out the tab that locates sounds in an image, and wire its events; to be called inside Gradio blocks.

    Args:
        sessions: sessions of the visitors, with the localizer and the limits.
        examples: examples that the tab offers.
    """
    with gr.Row(equal_height=False, elem_classes="columns"):
        with gr.Column(scale=4, min_width=290):
            image = pass_path(
                gr.Image(
                    label="Image", type="filepath", sources=["upload", "clipboard"], height=240, elem_id="image",
                    buttons=[],
                )
            )  # fmt: skip
            audios = pass_paths(
                gr.File(
                    label="Sounds, one or more", file_count="multiple", file_types=["audio", "video"], height=120,
                    elem_id="audios",
                )
            )  # fmt: skip
            with gr.Accordion("Record a sound", open=False):
                recording = pass_path(
                    gr.Audio(sources=["microphone"], type="filepath", show_label=False, elem_id="recording", buttons=[])
                )
            gr.HTML("<h4>Examples</h4>", padding=False)
            gallery = gr.Gallery(
                [(Image.open(example.image), example.title) for example in examples], show_label=False, columns=4,
                height="auto", allow_preview=False, elem_id="examples", object_fit="cover", buttons=[],
                interactive=False,
            )  # fmt: skip
            player = gr.Audio(
                label="Listen", interactive=False, visible=False, elem_id="player", buttons=[], type="filepath"
            )
        with gr.Column(scale=6, min_width=290, elem_classes="results"):
            selection = pass_value(gr.Radio([], label="Sound", visible=False, elem_id="selection"))
            drawing = gr.HTML(EMPTY, elem_id="drawing", padding=False)
            verdict = gr.HTML(HINT, elem_id="verdict", padding=False)
            view = pass_value(gr.Radio(VIEWS, value="single", label="Show", visible=False, elem_id="view"))
            with gr.Row():
                opacity = gr.Slider(0, 1, 0.6, step=0.05, label="Opacity", min_width=220, elem_id="opacity")
                mask = gr.Slider(
                    0, 1, DEFAULT_MASK_THRESHOLD, step=0.01, label="Outline from", min_width=220, elem_id="mask"
                )
            with gr.Row():
                marks = pass_value(
                    gr.CheckboxGroup(
                        [("Outline", "outline"), ("Boxes", "boxes")], value=["outline"], label="Marks", min_width=220,
                        elem_id="marks",
                    )
                )  # fmt: skip
                threshold = gr.Number(
                    round_threshold(sessions.localizer.threshold), label="In the image from a peak of", step=0.01,
                    min_width=220, elem_id="threshold",
                )  # fmt: skip

    style = [view, opacity, mask, marks, threshold]

    def render(located: LocatedImage | None, name: str | None, *style: Any) -> tuple[Any, Any]:
        """Render the figures and the verdicts."""
        view, opacity, mask, marks, threshold = style
        if located is None or not located.maps:
            return EMPTY, EXPIRED if located is None else render_errors(located.errors)
        name = name if name in located.maps else next(iter(located.maps))
        fitted = sessions.localizer.threshold
        reason = NO_THRESHOLD if fitted is None else THRESHOLD_CLEARED
        maps = {key: with_threshold(result, threshold, fitted) for key, result in located.maps.items()}
        figures = draw_figures(maps, name, view, OverlayStyle(opacity, mask, "outline" in marks, "boxes" in marks))
        verdicts = [render_verdict(key, maps[key], reason) for key in ([name] if view == "single" else maps)]
        return render_figures(figures), "".join((*verdicts, render_errors(located.errors)))

    def clear(text: Any) -> dict[Any, Any]:
        hidden = gr.update(visible=False)
        return {drawing: EMPTY, verdict: text, selection: hidden, view: hidden, player: hidden}

    def answer(request: gr.Request, image: Any, audios: Any, recording: Any, name: Any, *style: Any) -> dict[Any, Any]:
        session = sessions.get_session(request.session_hash)
        files = [*(audios or ()), *([recording] if recording else ())]
        deadline = sessions.start_deadline(session)
        try:
            if not image:
                session.located = None
                errors = check_uploads(sessions.limits, deadline, files)
                hint = render_card("hint", "Half done", "Now give an image.") if files else HINT
                return clear(render_errors(errors) if errors else hint)
            located = locate_audios(sessions.localizer, image, files, sessions.limits, deadline, session.located)
            if not files:
                session.located = located
                return clear(render_card("hint", "Half done", "Now give a sound."))
            name = name if name in located.maps else next(iter(located.maps), None)
            figures, text = render(located, name, *style)
        except SoundspotError as error:
            session.located = None
            return clear(error_card(error, image, *files))
        session.located = located
        return {
            drawing: figures,
            verdict: text,
            selection: gr.update(choices=list(located.maps), value=name, visible=bool(located.maps)),
            view: gr.update(visible=len(located.maps) > 1),
            player: gr.update(value=located.files.get(name or ""), visible=bool(located.maps)),
        }

    def redraw(request: gr.Request, name: str | None, *style: Any) -> tuple[Any, Any]:
        return render(sessions.get_session(request.session_hash).located, name, *style)

    def switch(request: gr.Request, name: str | None, *style: Any) -> tuple[Any, Any, Any]:
        located = sessions.get_session(request.session_hash).located
        file = located.files.get(name or "") if located else None
        exists = file is not None and Path(file).is_file()  # not deleted, while its map is still here
        return *render(located, name, *style), gr.update(value=file if exists else None, visible=exists)

    def take_example(event: gr.SelectData) -> tuple[str, list[str]]:
        return examples[event.index].image, list(examples[event.index].audios)

    answered = gr.on(
        [image.change, audios.change, recording.change],
        answer,
        [image, audios, recording, selection, *style],
        [drawing, verdict, selection, view, player],
        show_progress_on=drawing,
        trigger_mode="always_last",
        api_visibility="private",
        concurrency_id="model",
        concurrency_limit=1,
    )
    show_on_phone(answered, "drawing", "verdict")
    wire_silent_event(selection.input, switch, [selection, *style], [drawing, verdict, player])
    for event in (view.input, opacity.input, mask.input, marks.input, threshold.input):
        wire_silent_event(event, redraw, [selection, *style], [drawing, verdict])
    wire_silent_event(gallery.select, take_example, [], [image, audios])
