"""Tab of the page in which images are kept or dropped, by buttons or keys, and disagreements are resolved."""

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from soundspot.app.components import error_card, render_card, wire_decision, wire_silent_event
from soundspot.benchmark.page.media import render_image
from soundspot.benchmark.project import Project
from soundspot.benchmark.selection import (
    REASONS,
    decide,
    list_disagreements,
    measure_agreement,
    next_image,
    read_choice,
    read_progress,
    read_statuses,
)
from soundspot.errors import DataError, SoundspotError
from soundspot.utils.append_journal import check_annotator

OTHER_REASON = "another reason"
NO_NAME = render_card("hint", "Who are you?", "Write your name above: it is stored with each decision.")
KEYS = "Keys: `j` keep, `k` drop, `1` to `4` drop for that reason, `u` back."


def build_select_tab(project: Project, annotator: Any) -> None:
    """Lay out the tab, and wire its events; to be called inside Gradio blocks.

    Args:
        project: the project.
        annotator: Gradio text box with the annotator's name.
    """
    current = gr.Number(0, precision=0, visible=False)  # held by the browser: a key decides on what it shows
    with gr.Row(equal_height=False, elem_classes="columns"):
        with gr.Column(scale=6, min_width=290):
            image_view = gr.HTML(NO_NAME, elem_id="select-image", padding=False)
        with gr.Column(scale=4, min_width=260):
            keep = gr.Button("Keep (j)", variant="primary", elem_id="key-j")
            drops = [gr.Button(f"Drop: {text} ({n})", elem_id=f"key-{n}") for n, text in enumerate(REASONS, 1)]
            other = gr.Button(f"Drop: {OTHER_REASON} (k)", elem_id="key-k")
            back = gr.Button("Back (u)", elem_id="key-u")
            progress = gr.HTML(render_progress(project), elem_id="select-progress", padding=False)
    with gr.Accordion("Disagreements", open=False, elem_id="disagreements"):
        disputed = gr.State(0)
        dispute = gr.HTML("", elem_id="dispute", padding=False)
        with gr.Row():
            look = gr.Button("Show the next", elem_id="dispute-next")
            resolve_keep = gr.Button("Keep it", elem_id="resolve-keep")
            resolve_drop = gr.Button("Drop it", elem_id="resolve-drop")

    def begin(name: str, image: int) -> tuple[Markup, int]:
        return show_next(project, name, image - 1)  # the image that is there stays, unless this annotator decided on it

    def record(choice: str, reason: str, name: str, image: int) -> tuple[Markup, int, Markup]:
        try:
            if image:
                decide(project, name, image, choice, reason)
            return *show_next(project, name, image), render_progress(project)
        except SoundspotError as error:
            return error_card(error), image, render_progress(project)

    def go_back(name: str, image: int) -> tuple[Markup, int]:
        return show_image(project, name, max(1, image - 1))

    def show_dispute() -> tuple[Markup, int]:
        return render_dispute(project)

    def resolve_dispute(choice: str, name: str, image: int) -> tuple[Markup, int]:
        try:
            if image:
                decide(project, name, image, choice, step="resolve")
        except SoundspotError as error:
            return error_card(error), image
        return render_dispute(project)

    outputs = [image_view, current]
    for event in (annotator.submit, annotator.blur):
        wire_silent_event(event, begin, [annotator, current], outputs)
    for button, choice, reason in (
        (keep, "keep", ""),
        (other, "drop", OTHER_REASON),
        *((button, "drop", text) for button, text in zip(drops, REASONS, strict=True)),
    ):
        wire_decision(button.click, partial(record, choice, reason), [annotator, current], [*outputs, progress])
    wire_decision(back.click, go_back, [annotator, current], outputs)
    wire_decision(look.click, show_dispute, [], [dispute, disputed])
    for button, choice in ((resolve_keep, "keep"), (resolve_drop, "drop")):
        wire_decision(button.click, partial(resolve_dispute, choice), [annotator, disputed], [dispute, disputed])


def show_next(project: Project, name: str, after: int) -> tuple[Markup, int]:
    """Show the next image that an annotator has not decided on.

    Args:
        project: the project.
        name: name of the annotator.
        after: number of the image before.

    Returns:
        HTML, and the number of the image; 0 where there is none.
    """
    try:
        name = check_annotator(name)
    except DataError:
        return NO_NAME, 0
    record = next_image(project, name, after)
    if record is None:
        return render_card("in", "All decided", f"{name} decided on every image there is. Thank you."), 0
    return show_image(project, name, record.id)


def show_image(project: Project, name: str, image: int) -> tuple[Markup, int]:
    """Show an image with an annotator's decision.

    Args:
        project: the project.
        name: name of the annotator.
        image: number of the image.

    Returns:
        HTML, and the number of the image; 0 where there is none.
    """
    records = project.journal.read_images("id = ?", (image,))
    if not records:
        return render_card("hint", "No images yet", "Add some: `soundspot benchmark images`."), 0
    decision = read_choice(project, name, image)
    before = f" · you said {decision.choice} {decision.reason}" if decision else ""
    if not project.image_path(records[0]).is_file():
        return render_card("wrong", "The file is gone", f"{Path(records[0].file).name}: drop it, or restore it."), image
    return render_image(records[0], f"{' and '.join(records[0].categories)}?{before}"), image


def render_progress(project: Project) -> Markup:
    """Render the progress of each annotator.

    Args:
        project: the project.

    Returns:
        HTML of a card.
    """
    total = project.journal.count_rows()["images"]
    lines = [
        f"{item.annotator}: {item.num_decided} of {total}"
        + (f", {item.per_hour:.0f} an hour" if item.per_hour == item.per_hour else "")
        for item in read_progress(project)
    ]
    return render_card("hint", f"{total} images", *lines, KEYS)


def render_dispute(project: Project) -> tuple[Markup, int]:
    """Render the first image that annotators disagree about, with their agreement.

    Args:
        project: the project.

    Returns:
        HTML, and the number of the image; 0 where they agree.
    """
    agreements = [f"{agreement}." for agreement in measure_agreement(project)]
    disputes = list_disagreements(project, limit=1)
    if not disputes:
        return render_card("in", "Nothing to resolve", *agreements), 0
    ((record, decisions),) = disputes
    count = list(read_statuses(project).values()).count("disagree")
    lines = [f"{decision.annotator}: {decision.choice} {decision.reason}" for decision in decisions]
    card = render_card("unknown", f"{count} to resolve", *lines, *agreements)
    return card + render_image(record), record.id
