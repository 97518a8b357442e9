"""The tab that asks a video, with its own sound or another: the overlay as a video, with progress on the way."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from soundspot.app import html as words
from soundspot.app.components import error_card, pass_path
from soundspot.app.limits import check_duration
from soundspot.app.service import DEFAULT_MASK_THRESHOLD
from soundspot.app.sessions import SessionStore
from soundspot.errors import SoundspotError

COMMAND = "Cut it, or ask by the command line, which takes any length: `soundspot locate CKPT clip.mp4 -o overlay.mp4`."
SILENT = (
    "This video has no sound of its own. Give one in the field “Another sound”: it is heard from the first picture on."
)


def build_video_tab(desk: SessionStore) -> None:
    """Lays the tab out and wires it."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=290):
            video = pass_path(gr.Video(label="Video", sources=["upload"], height=260, elem_id="video", buttons=[]))
            sound = pass_path(
                gr.Audio(
                    label="Another sound, in place of its own", sources=["upload", "microphone"], type="filepath",
                    elem_id="video-sound", buttons=[],
                )
            )  # fmt: skip
            opacity = gr.Slider(0, 1, 0.6, step=0.05, label="Opacity", elem_id="video-opacity")
            smooth = gr.Slider(0, 2, 0.0, step=0.1, label="Smooth over seconds", elem_id="video-smooth")
            go = gr.Button("Find the source", variant="primary", elem_id="go")
        with gr.Column(scale=6, min_width=290):
            shown = gr.Video(label="Overlay", interactive=False, height=400, elem_id="overlay", buttons=["download"])
            said = gr.HTML(_hint(desk), elem_id="video-said", padding=False)
            when = gr.Image(
                label="When",
                show_label=False,
                interactive=False,
                visible=False,
                elem_id="timeline",
                buttons=["fullscreen"],
            )
            glance = gr.Image(
                label="At a glance",
                show_label=False,
                interactive=False,
                visible=False,
                elem_id="sheet",
                buttons=["fullscreen"],
            )
            data = gr.File(label="Boxes and masks of each picture", interactive=False, visible=False, elem_id="frames")

    def answer(
        request: gr.Request,
        video: str | None,
        sound: str | None,
        opacity: float | int,
        smooth: float | int,
        progress: Any = gr.Progress(),  # noqa: B008 (how Gradio is asked for one)
    ) -> tuple[Any, Any, Any, Any, Any]:
        none = gr.update(visible=False)
        if not video:
            return (
                None,
                words.render_card("hint", "A video is missing", "Give one in the field above."),
                none,
                none,
                none,
            )
        clock = desk.start_deadline(desk.get_session(request.session_hash), desk.limits.video_timeout)

        def seen(done: float | int, of: float | int) -> None:
            clock.check()
            progress(min(1.0, float(done / of)) if of else None, desc="Looking and listening")

        folder = Path(tempfile.mkdtemp(prefix="overlay-", dir=os.environ.get("GRADIO_TEMP_DIR")))
        try:
            check_duration(video, desk.limits.max_video_seconds, "video", COMMAND)
            if sound:
                check_duration(sound, desk.limits.max_audio_seconds, "sound", COMMAND)
            located = desk.localizer.locate_video(video, audio=sound, smooth=float(smooth))
            made = located.save(
                folder / "overlay.mp4",
                contact_sheet=folder / "sheet.jpg",
                timeline=folder / "timeline.png",
                frame_records=folder / "frames.json",
                progress=seen,
                mask_threshold=DEFAULT_MASK_THRESHOLD,
                opacity=float(opacity),
            )
        except SoundspotError as error:
            shutil.rmtree(folder)
            silent = getattr(error, "cause", "") == "no sound" and not sound
            told = (
                words.render_card("wrong", "There is nothing to hear", SILENT)
                if silent
                else error_card(error, video, sound)
            )
            return None, told, none, none, none
        files = (str(folder / name) for name in ("timeline.png", "sheet.jpg", "frames.json"))
        timeline, sheet, frames = (gr.update(value=file, visible=True) for file in files)
        return str(folder / "overlay.mp4"), words.render_video_summary(made), timeline, sheet, frames

    go.click(
        answer,
        [video, sound, opacity, smooth],
        [shown, said, when, glance, data],
        show_progress_on=shown,
        trigger_mode="once",
        api_visibility="private",
        concurrency_id="video",
        concurrency_limit=1,
    )


def _hint(desk: SessionStore) -> str:
    minutes = desk.limits.max_video_seconds / 60
    return words.render_card(
        "hint",
        "Ask a video",
        f"Of at most {minutes:.3g} minutes here. {COMMAND}",
        "Its own sound is heard, or another.",
    )
