"""The tab that asks a picture with sounds: switch between them, and see the map move."""

from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from whence.app import words
from whence.app.answers import MASK, Asked, Look, View, ask, draw, judged, shown_as
from whence.app.desk import Desk
from whence.app.examples import Example
from whence.app.parts import as_it_came, as_they_came, quiet, trouble, unchecked
from whence.errors import WhenceError

VIEWS = [("This sound", "one"), ("All in one picture", "combined"), ("Side by side", "beside")]
HINT = words.card("hint", "Ask it something", "Give a picture and a sound, or take an example.")
EMPTY = '<div class="empty"></div>'
AGAIN = words.card("hint", "Ask again", "The maps were put away meanwhile: give a picture and a sound once more.")


def picture_tab(desk: Desk, examples: list[Example]) -> None:
    """Lays the tab out and wires it."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=290):
            picture = as_it_came(
                gr.Image(
                    label="Picture", type="filepath", sources=["upload", "clipboard"], height=240, elem_id="picture",
                    buttons=[],
                )
            )  # fmt: skip
            sounds = as_they_came(
                gr.File(
                    label="Sounds, one or more", file_count="multiple", file_types=["audio", "video"], height=120,
                    elem_id="sounds",
                )
            )  # fmt: skip
            with gr.Accordion("Record a sound", open=False):
                recorded = as_it_came(
                    gr.Audio(sources=["microphone"], type="filepath", show_label=False, elem_id="recorded", buttons=[])
                )
            gr.HTML("<h4>Examples</h4>", padding=False)
            shelf = gr.Gallery(
                [(Image.open(one.picture), one.title) for one in examples], show_label=False, columns=4, height="auto",
                allow_preview=False, elem_id="examples", object_fit="cover", buttons=[], interactive=False,
            )  # fmt: skip
            played = gr.Audio(
                label="Listen", interactive=False, visible=False, elem_id="played", buttons=[], type="filepath"
            )
        with gr.Column(scale=6, min_width=290):
            chosen = unchecked(gr.Radio([], label="Sound", visible=False, elem_id="chosen"))
            shown = gr.HTML(EMPTY, elem_id="shown", padding=False)
            said = gr.HTML(HINT, elem_id="said", padding=False)
            view = unchecked(gr.Radio(VIEWS, value="one", label="Show", visible=False, elem_id="view"))
            with gr.Row():
                opacity = gr.Slider(0, 1, 0.6, step=0.05, label="Opacity", min_width=220, elem_id="opacity")
                mask = gr.Slider(0, 1, MASK, step=0.01, label="Outline from", min_width=220, elem_id="mask")
            with gr.Row():
                marks = unchecked(
                    gr.CheckboxGroup(
                        [("Outline", "outline"), ("Boxes", "boxes")], value=["outline"], label="Marks", min_width=220,
                        elem_id="marks",
                    )
                )  # fmt: skip
                threshold = gr.Number(
                    shown_as(desk.localizer.threshold), label="In the picture from a peak of", step=0.01,
                    min_width=220, elem_id="threshold",
                )  # fmt: skip

    look = [view, opacity, mask, marks, threshold]
    answered = [shown, said, chosen, view, played]

    def told(
        asked: Asked | None,
        name: str | None,
        view: View,
        opacity: float | int,
        mask: float | int,
        marks: list[str],
        least: Any,
    ) -> tuple[Any, Any]:
        """The picture and the verdict; the visitor's own words are the numbers of the sliders."""
        if asked is None or not asked.maps:
            return EMPTY, AGAIN if asked is None else words.problems(asked.problems)
        name = name if name in asked.maps else next(iter(asked.maps))
        fitted = desk.localizer.threshold
        unknown = words.UNFITTED if fitted is None else words.CLEARED
        maps = {key: judged(found, least, fitted) for key, found in asked.maps.items()}
        drawn = draw(maps, name, view, Look(opacity, mask, "outline" in marks, "boxes" in marks))
        every = [name] if view == "one" else list(maps)
        verdicts = (words.verdict(one, maps[one], len(maps[one].boxes(float(mask))), unknown) for one in every)
        return words.figures(drawn), "".join((*verdicts, words.problems(asked.problems)))

    def answer(
        request: gr.Request,
        picture: str | None,
        sounds: list[str] | None,
        recorded: str | None,
        name: str | None,
        *rest: Any,
    ) -> dict[Any, Any]:
        visitor = desk.visitor(request.session_hash)
        files = [*(sounds or ()), *([recorded] if recorded else ())]
        if not picture or not files:
            visitor.asked = None
            lacking = "Now give a picture." if files else "Now give a sound." if picture else None
            hint = words.card("hint", "Half way", lacking) if lacking else HINT
            none = gr.update(visible=False)
            return {shown: EMPTY, said: hint, chosen: none, view: none, played: none}
        clock = desk.clock(visitor)
        try:
            asked = ask(desk.localizer, picture, files, desk.limits, clock, visitor.asked)
            visitor.asked = asked
            name = name if name in asked.maps else next(iter(asked.maps), None)
            drawn, verdict = told(asked, name, *rest)
        except WhenceError as error:
            visitor.asked = None
            none = gr.update(visible=False)
            return {shown: EMPTY, said: trouble(error, picture, *files), chosen: none, view: none, played: none}
        return {
            shown: drawn,
            said: verdict,
            chosen: gr.update(choices=list(asked.maps), value=name, visible=bool(asked.maps)),
            view: gr.update(visible=len(asked.maps) > 1),
            played: gr.update(value=asked.files.get(name or ""), visible=bool(asked.maps)),
        }

    def redraw(request: gr.Request, name: str | None, *rest: Any) -> tuple[Any, Any]:
        return told(desk.visitor(request.session_hash).asked, name, *rest)

    def switch(request: gr.Request, name: str | None, *rest: Any) -> tuple[Any, Any, Any]:
        asked = desk.visitor(request.session_hash).asked
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
    quiet(chosen.input, switch, [chosen, *look], [shown, said, played])
    for event in (view.input, opacity.input, mask.input, marks.input, threshold.input):
        quiet(event, redraw, [chosen, *look], [shown, said])
    quiet(shelf.select, take, [], [picture, sounds])
