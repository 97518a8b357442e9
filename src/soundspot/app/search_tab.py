"""The tab that searches an index of somebody's own pictures, sounds and videos, by a picture, a sound, or both."""

from pathlib import Path
from typing import Any

import gradio as gr

from soundspot.app.components import error_card, pass_path, render_card, wire_silent_event
from soundspot.app.limits import check_duration
from soundspot.app.service import resize_for_display
from soundspot.app.sessions import SessionStore
from soundspot.data.media.audio import open_audio, read_audio
from soundspot.errors import InputError, SoundspotError
from soundspot.search import Index
from soundspot.search.contact_sheet import load_thumbnail
from soundspot.search.file_reader import slice_audio
from soundspot.search.result import Hit, escape_unprintable

HINT = render_card(
    "hint",
    "No index yet",
    "Make one of your own images, sounds and videos: `soundspot search index FOLDER --index INDEX --model FILE`, "
    "and start the page with `--index INDEX`.",
)
LISTEN = 10.0  # seconds of a sound that was found
THUMB = 360  # pixels of the longer side of a picture that was found


def build_search_tab(desk: SessionStore, folder: Path | None) -> None:
    """Lays the tab out and wires it."""
    if folder is None:
        gr.HTML(HINT, padding=False)
        return
    index = Index.open(folder, desk.localizer)
    index.check_localizer(desk.localizer)
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=290):
            picture = pass_path(
                gr.Image(
                    label="Picture", type="filepath", sources=["upload", "clipboard"], height=220, buttons=[],
                    elem_id="search-picture",
                )
            )  # fmt: skip
            sound = pass_path(
                gr.Audio(
                    label="Sound", sources=["upload", "microphone"], type="filepath", elem_id="search-sound", buttons=[]
                )
            )
            mix = gr.Slider(0, 1, 0.5, step=0.05, label="Share of the picture, where both are given", elem_id="mix")
            count = gr.Slider(4, 48, 12, step=4, label="How many", elem_id="count")
            go = gr.Button("Search", variant="primary", elem_id="search")
        with gr.Column(scale=6, min_width=290):
            said = gr.HTML(
                render_card("hint", f"{len(index)} files to search in", "Give a picture, a sound, or both."),
                elem_id="search-said", padding=False,
            )  # fmt: skip
            hits = gr.Gallery(
                show_label=False, columns=4, height="auto", allow_preview=False, object_fit="cover", buttons=[],
                interactive=False, elem_id="hits", visible=False,
            )  # fmt: skip
            chosen = gr.HTML("", elem_id="hit", padding=False)
            played = gr.Audio(label="Listen", interactive=False, visible=False, elem_id="hit-sound", buttons=[])
    kept = gr.State([])

    def answer(
        request: gr.Request, picture: str | None, sound: str | None, mix: float | int, count: float | int
    ) -> tuple[Any, Any, Any, str, Any]:
        none = gr.update(visible=False)
        if not picture and not sound:
            return (
                render_card("hint", "Nothing to search by", "Give a picture, a sound, or both."),
                none,
                [],
                "",
                none,
            )
        clock = desk.start_deadline(desk.get_session(request.session_hash))
        try:
            if sound:
                check_duration(sound, desk.limits.max_audio_seconds, "sound", "Cut out the part that you search by.")
            heard = read_audio(sound, max_seconds=desk.limits.max_audio_seconds) if sound else None
            found = index.query(desk.localizer, picture, heard, image_weight=float(mix), k=int(count))
            shown = []
            for hit in found:
                shown.append(
                    (
                        resize_for_display(load_thumbnail(hit), 1, THUMB),
                        f"{hit.score:.3f} {escape_unprintable(hit.path.name)}",
                    )
                )
                clock.check()
        except SoundspotError as error:
            return error_card(error, picture, sound), none, [], "", none
        return "", gr.update(value=shown, visible=True), found, _told(found[0], index.root) if found else "", none

    def listen(found: list[Hit], at: gr.SelectData) -> tuple[str, Any]:
        if not found or at.index >= len(found):
            away = render_card("hint", "Search again", "What was found was put away meanwhile.")
            return away, gr.update(visible=False)
        hit = found[at.index]
        heard = _heard(hit)
        return _told(hit, index.root), gr.update(value=heard, visible=heard is not None)

    go.click(
        answer,
        [picture, sound, mix, count],
        [said, hits, kept, chosen, played],
        show_progress_on=hits,
        trigger_mode="once",
        api_visibility="private",
        concurrency_id="model",
    )
    wire_silent_event(hits.select, listen, [kept], [chosen, played])


def _heard(hit: Hit) -> tuple[int, Any] | None:
    """The seconds of what was found from its moment on; None of a picture, or of a file that is gone."""
    if hit.file_type == "image":
        return None
    try:
        part = slice_audio(open_audio(hit.path), hit.time or 0.0, LISTEN)
    except InputError:
        return None
    return part.rate, (part.waveform * 32767).short().numpy()


def _told(hit: Hit, root: Path) -> str:
    """Where a hit lies in the folder that was indexed, and when."""
    name = hit.path.relative_to(root) if hit.path.is_relative_to(root) else Path(hit.path.name)
    moment = "" if hit.time is None else f" at {hit.time:.1f} s"
    return render_card(
        "hint",
        escape_unprintable(hit.path.name),
        f"{hit.file_type}{moment}, {hit.score:.3f} by its {hit.modality}",
        escape_unprintable(name),
    )
