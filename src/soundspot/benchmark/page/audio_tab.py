"""Tab of the page in which the sounds of each image are listened to, and dropped where they are not good."""

from pathlib import Path

import gradio as gr
from markupsafe import Markup

from soundspot.app.components import error_card, render_card, wire_silent_event
from soundspot.benchmark.audio import drop_audio, read_dropped_audio
from soundspot.benchmark.page.media import render_image, render_player
from soundspot.benchmark.project import Project
from soundspot.benchmark.records import ImageRecord
from soundspot.benchmark.selection import selected_images
from soundspot.errors import SoundspotError

HINT = "Sounds come by `soundspot benchmark audio`, which also replaces those that are dropped here."


def build_audio_tab(project: Project, annotator: gr.Textbox, tab: gr.Tab) -> None:
    """Lay out the tab, and wire its events; to be called inside Gradio blocks.

    Args:
        project: the project.
        annotator: Gradio text box with the annotator's name.
        tab: the tab itself, which shows what is new whenever it is opened.
    """
    number = gr.Number(1, label="Image, of those that are kept", precision=0, minimum=1, elem_id="audio-number")
    view = gr.HTML(render_sounds(project, 1), elem_id="audio-view", padding=False)
    reason = gr.Textbox(label="Reason", max_length=200, elem_id="audio-reason")
    with gr.Row():
        buttons = [
            gr.Button(f"Drop the {word} sound", elem_id=f"drop-audio-{n}") for n, word in enumerate(("first", "second"))
        ]

    def show(value: float | int | None) -> Markup:
        return render_sounds(project, int(value or 1))

    def drop_first(name: str, value: float | int | None, text: str) -> Markup:
        return drop(0, name, value, text)

    def drop_second(name: str, value: float | int | None, text: str) -> Markup:
        return drop(1, name, value, text)

    def drop(position: int, name: str, value: float | int | None, text: str) -> Markup:
        record = _find(project, int(value or 1))
        try:
            if record is not None and position < len(record.categories):
                drop_audio(project, name, record.id, record.categories[position], text)
        except SoundspotError as error:
            return error_card(error)
        return render_sounds(project, int(value or 1))

    for event in (number.change, tab.select):
        wire_silent_event(event, show, [number], view)
    for button, function in zip(buttons, (drop_first, drop_second), strict=True):
        wire_silent_event(button.click, function, [annotator, number, reason], view)


def render_sounds(project: Project, number: int) -> Markup:
    """Render an image with the sounds of its things.

    Args:
        project: the project.
        number: position among the images that are kept, from 1.

    Returns:
        HTML of the image and a player for each sound.
    """
    record = _find(project, number)
    if record is None:
        return render_card("hint", "No such image", "Select images first.", HINT)
    pairings, dropped = project.journal.read_pairings(record.id), read_dropped_audio(project)
    players = Markup("")
    for category in record.categories:
        audio = pairings.get((record.id, category))
        if audio is None:
            players += render_card("unknown", category, "No sound yet.")
        else:
            state = " (dropped)" if audio in dropped else ""
            key = project.journal.read_audio("id = ?", (audio,))[0].key
            players += render_player(audio, f"{category}{state}: {Path(key).name}")
    return render_image(record) + players + render_card("hint", "Sounds", HINT)


def _find(project: Project, number: int) -> ImageRecord | None:
    records = selected_images(project, 1, number - 1) if number >= 1 else []
    return records[0] if records else None
