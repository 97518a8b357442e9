"""The tab that asks a picture with sounds: switch between them, and see the map move."""

from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from soundspot.app import html as words
from soundspot.app.components import error_card, pass_path, pass_paths, pass_value, wire_silent_event
from soundspot.app.examples import Example
from soundspot.app.service import (
    DEFAULT_MASK_THRESHOLD,
    LocatedImage,
    OverlayStyle,
    View,
    draw_figures,
    locate_audios,
    round_threshold,
    with_threshold,
)
from soundspot.app.sessions import SessionStore
from soundspot.errors import SoundspotError

VIEWS = [("This sound", "one"), ("All in one picture", "combined"), ("Side by side", "beside")]
HINT = words.render_card("hint", "Ask it something", "Give a picture and a sound, or take an example.")
EMPTY = '<div class="empty"></div>'
AGAIN = words.render_card(
    "hint", "Ask again", "The maps were put away meanwhile: give a picture and a sound once more."
)


def build_image_tab(desk: SessionStore, examples: list[Example]) -> None:
    """Lays the tab out and wires it."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=290):
            picture = pass_path(
                gr.Image(
                    label="Picture", type="filepath", sources=["upload", "clipboard"], height=240, elem_id="picture",
                    buttons=[],
                )
            )  # fmt: skip
            sounds = pass_paths(
                gr.File(
                    label="Sounds, one or more", file_count="multiple", file_types=["audio", "video"], height=120,
                    elem_id="sounds",
                )
            )  # fmt: skip
            with gr.Accordion("Record a sound", open=False):
                recorded = pass_path(
                    gr.Audio(sources=["microphone"], type="filepath", show_label=False, elem_id="recorded", buttons=[])
                )
            gr.HTML("<h4>Examples</h4>", padding=False)
            shelf = gr.Gallery(
                [(Image.open(one.image), one.title) for one in examples], show_label=False, columns=4, height="auto",
                allow_preview=False, elem_id="examples", object_fit="cover", buttons=[], interactive=False,
            )  # fmt: skip
            played = gr.Audio(
                label="Listen", interactive=False, visible=False, elem_id="played", buttons=[], type="filepath"
            )
        with gr.Column(scale=6, min_width=290):
            chosen = pass_value(gr.Radio([], label="Sound", visible=False, elem_id="chosen"))
            shown = gr.HTML(EMPTY, elem_id="shown", padding=False)
            said = gr.HTML(HINT, elem_id="said", padding=False)
            view = pass_value(gr.Radio(VIEWS, value="one", label="Show", visible=False, elem_id="view"))
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
                    round_threshold(desk.localizer.threshold), label="In the picture from a peak of", step=0.01,
                    min_width=220, elem_id="threshold",
                )  # fmt: skip

    look = [view, opacity, mask, marks, threshold]
    answered = [shown, said, chosen, view, played]

    def told(
        asked: LocatedImage | None,
        name: str | None,
        view: View,
        opacity: float | int,
        mask: float | int,
        marks: list[str],
        least: Any,
    ) -> tuple[Any, Any]:
        """The picture and the verdict; the visitor's own words are the numbers of the sliders."""
        if asked is None or not asked.maps:
            return EMPTY, AGAIN if asked is None else words.render_errors(asked.errors)
        name = name if name in asked.maps else next(iter(asked.maps))
        fitted = desk.localizer.threshold
        unknown = words.NO_THRESHOLD if fitted is None else words.THRESHOLD_CLEARED
        maps = {key: with_threshold(found, least, fitted) for key, found in asked.maps.items()}
        drawn = draw_figures(maps, name, view, OverlayStyle(opacity, mask, "outline" in marks, "boxes" in marks))
        every = [name] if view == "one" else list(maps)
        verdicts = (words.render_verdict(one, maps[one], len(maps[one].boxes(float(mask))), unknown) for one in every)
        return words.render_figures(drawn), "".join((*verdicts, words.render_errors(asked.errors)))

    def answer(
        request: gr.Request,
        picture: str | None,
        sounds: list[str] | None,
        recorded: str | None,
        name: str | None,
        *rest: Any,
    ) -> dict[Any, Any]:
        visitor = desk.get_session(request.session_hash)
        files = [*(sounds or ()), *([recorded] if recorded else ())]
        if not picture or not files:
            visitor.located = None
            lacking = "Now give a picture." if files else "Now give a sound." if picture else None
            hint = words.render_card("hint", "Half way", lacking) if lacking else HINT
            none = gr.update(visible=False)
            return {shown: EMPTY, said: hint, chosen: none, view: none, played: none}
        clock = desk.start_deadline(visitor)
        try:
            asked = locate_audios(desk.localizer, picture, files, desk.limits, clock, visitor.located)
            visitor.located = asked
            name = name if name in asked.maps else next(iter(asked.maps), None)
            drawn, verdict = told(asked, name, *rest)
        except SoundspotError as error:
            visitor.located = None
            none = gr.update(visible=False)
            return {shown: EMPTY, said: error_card(error, picture, *files), chosen: none, view: none, played: none}
        return {
            shown: drawn,
            said: verdict,
            chosen: gr.update(choices=list(asked.maps), value=name, visible=bool(asked.maps)),
            view: gr.update(visible=len(asked.maps) > 1),
            played: gr.update(value=asked.files.get(name or ""), visible=bool(asked.maps)),
        }

    def redraw(request: gr.Request, name: str | None, *rest: Any) -> tuple[Any, Any]:
        return told(desk.get_session(request.session_hash).located, name, *rest)

    def switch(request: gr.Request, name: str | None, *rest: Any) -> tuple[Any, Any, Any]:
        asked = desk.get_session(request.session_hash).located
        file = asked.files.get(name or "") if asked else None
        there = file is not None and Path(file).is_file()  # not put away, while its map is still here
        return *told(asked, name, *rest), gr.update(value=file if there else None, visible=there)

    def take(at: gr.SelectData) -> tuple[str, list[str]]:
        return examples[at.index].picture, list(examples[at.index].sounds)

    gr.on(
        [picture.change, sounds.change, recorded.change],
        answer,
        [picture, sounds, recorded, chosen, *look],
        answered,
        show_progress_on=shown,
        trigger_mode="always_last",
        api_visibility="private",
        concurrency_id="model",
        concurrency_limit=1,
    )
    wire_silent_event(chosen.input, switch, [chosen, *look], [shown, said, played])
    for event in (view.input, opacity.input, mask.input, marks.input, threshold.input):
        wire_silent_event(event, redraw, [chosen, *look], [shown, said])
    wire_silent_event(shelf.select, take, [], [picture, sounds])
