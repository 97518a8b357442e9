"""Tab of the page that searches an index of a user's own images, audio and videos."""

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from soundspot.app.components import error_card, pass_path, render_card, render_errors, show_on_phone, wire_silent_event
from soundspot.app.limits import check_duration
from soundspot.app.service import check_uploads, resize_for_display
from soundspot.app.sessions import SessionStore
from soundspot.data.media.audio import open_windows, read_audio
from soundspot.errors import InputError, SoundspotError
from soundspot.search import Index
from soundspot.search.contact_sheet import load_thumbnail
from soundspot.search.file_reader import slice_audio
from soundspot.search.result import Hit, escape_unprintable

NO_INDEX = render_card(
    "hint",
    "No index yet",
    "Make one of your own images, audio and videos: `soundspot search index FOLDER --index INDEX --model FILE`, and "
    "start the page with `--index INDEX`.",
)
QUERY_HINT = "Give an image, an audio, or both."
PLAYED_SECONDS = 10.0  # of the audio of a hit
THUMBNAIL_SIDE = 360  # pixels of the longer side


def build_search_tab(sessions: SessionStore, folder: Path | None) -> None:
    """Lay out the tab that searches an index, and wire its events; to be called inside Gradio blocks.

    Args:
        sessions: sessions of the visitors, with the localizer and the limits.
        folder: folder of the index; None: the tab says how to make an index.

    Raises:
        DataError: there is no index in the folder, or it is damaged.
        CheckpointError: the index was made by another model.
    """
    if folder is None:
        gr.HTML(NO_INDEX, padding=False)
        return
    index = Index.open(folder, sessions.localizer)
    index.check_localizer(sessions.localizer)
    hint = render_card("hint", f"{len(index)} files to search in", QUERY_HINT)
    with gr.Row(equal_height=False, elem_classes="columns"):
        with gr.Column(scale=4, min_width=290):
            image = pass_path(
                gr.Image(
                    label="Image", type="filepath", sources=["upload", "clipboard"], height=220, buttons=[],
                    elem_id="search-image",
                )
            )  # fmt: skip
            audio = pass_path(
                gr.Audio(
                    label="Audio", sources=["upload", "microphone"], type="filepath", elem_id="search-audio", buttons=[]
                )
            )
            weight = gr.Slider(0, 1, 0.5, step=0.05, label="Weight of the image, if both are given", elem_id="weight")
            count = gr.Slider(4, 48, 12, step=4, label="Number of hits", elem_id="count")
            button = gr.Button("Search", variant="primary", elem_id="search")
        with gr.Column(scale=6, min_width=290, elem_classes="results"):
            message = gr.HTML(hint, elem_id="search-message", padding=False)
            gallery = gr.Gallery(
                show_label=False, columns=4, height="auto", allow_preview=False, object_fit="cover", buttons=[],
                interactive=False, elem_id="hits", visible=False,
            )  # fmt: skip
            details = gr.HTML("", elem_id="hit", padding=False)
            player = gr.Audio(label="Listen", interactive=False, visible=False, elem_id="hit-audio", buttons=[])
    state = gr.State([])

    def search(
        request: gr.Request, image: str | None, audio: str | None, weight: float | int, count: float | int
    ) -> tuple[Any, Any, list[Hit], str, Any]:
        hidden = gr.update(visible=False)
        if not image and not audio:
            return render_card("hint", "Nothing to search by", QUERY_HINT), hidden, [], "", hidden
        deadline = sessions.start_deadline(sessions.get_session(request.session_hash))
        try:
            hits = _query(index, sessions, image, audio, float(weight), int(count))
            thumbnails = []
            for hit in hits:
                caption = f"{hit.score:.3f} {escape_unprintable(hit.path.name)}"
                thumbnails.append((resize_for_display(load_thumbnail(hit), 1, THUMBNAIL_SIDE), caption))
                deadline.check()
        except SoundspotError as error:
            return error_card(error, image, audio), hidden, [], "", hidden
        return "", gr.update(value=thumbnails, visible=True), hits, _format_hit(hits[0], index) if hits else "", hidden

    def show_hit(hits: list[Hit], event: gr.SelectData) -> tuple[str, Any]:
        if event.index >= len(hits):
            card = render_card("hint", "Search again", "These hits are no longer stored.")
            return card, gr.update(visible=False)
        samples = _read_samples(hits[event.index])
        return _format_hit(hits[event.index], index), gr.update(value=samples, visible=samples is not None)

    def check(request: gr.Request, image: str | None, audio: str | None) -> tuple[Any, Any, list[Hit], str, Any]:
        """Drop the hits of another query, and check the files of this."""
        hidden, session = gr.update(visible=False), sessions.get_session(request.session_hash)
        try:
            errors = check_uploads(sessions.limits, sessions.start_deadline(session), [audio] if audio else (), image)
        except SoundspotError as error:
            return error_card(error), hidden, [], "", hidden
        ready = render_card("hint", "Ready", "Press “Search”.") if image or audio else hint
        return render_errors(errors) or ready, hidden, [], "", hidden

    outputs = [message, gallery, state, details, player]
    wire_silent_event(partial(gr.on, [image.change, audio.change]), check, [image, audio], outputs)
    answered = button.click(
        search,
        [image, audio, weight, count],
        outputs,
        show_progress_on=gallery,
        trigger_mode="once",
        api_visibility="private",
        concurrency_id="model",
    )
    show_on_phone(answered, "hits", "search-message")
    wire_silent_event(gallery.select, show_hit, [state], [details, player])


def _query(
    index: Index, sessions: SessionStore, image: str | None, audio: str | None, weight: float, k: int
) -> list[Hit]:
    """Search by uploaded files; raise LimitError if the audio is too long."""
    max_seconds = sessions.limits.max_audio_seconds
    if audio:
        check_duration(audio, max_seconds, "sound", "Cut out the part that you search by.")
    waveform = read_audio(audio, max_seconds=max_seconds) if audio else None
    return index.query(sessions.localizer, image, waveform, image_weight=weight, k=k)


def _read_samples(hit: Hit) -> tuple[int, Any] | None:
    """Return rate and samples from the time of a hit on; None for an image, or a file that is gone."""
    if hit.file_type == "image":
        return None
    try:
        audio = slice_audio(open_windows(Path(hit.path)), hit.time or 0.0, PLAYED_SECONDS)
    except InputError:
        return None
    return audio.rate, (audio.waveform * 32767).short().numpy()


def _format_hit(hit: Hit, index: Index) -> str:
    """Format path, time and score of a hit as a card."""
    name = hit.path.relative_to(index.root) if hit.path.is_relative_to(index.root) else Path(hit.path.name)
    time = "" if hit.time is None else f" at {hit.time:.1f} s"
    score = f"{hit.file_type}{time}, {hit.score:.3f} by its {hit.modality}"
    return render_card("hint", escape_unprintable(hit.path.name), score, escape_unprintable(name))
