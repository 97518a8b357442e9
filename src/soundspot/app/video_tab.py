"""The tab that locates the sound in a video: the overlay as a video, a timeline, a contact sheet, and frame records."""

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from soundspot.app.components import (
    error_card,
    pass_path,
    render_card,
    render_errors,
    render_video_summary,
    show_on_phone,
    wire_silent_event,
)
from soundspot.app.limits import check_duration
from soundspot.app.service import DEFAULT_MASK_THRESHOLD, TOO_LONG_VIDEO, check_uploads
from soundspot.app.sessions import SessionStore
from soundspot.errors import InputError, SoundspotError

NO_AUDIO = "This video has no sound. Give one in the field “Another sound”: it is heard from the first frame on."


def build_video_tab(sessions: SessionStore) -> None:
    """Lay out the tab that locates the sound in a video, and wire its events; to be called inside Gradio blocks.

    Args:
        sessions: sessions of the visitors, with the localizer and the limits.
    """
    limits = sessions.limits
    hint = render_card(
        "hint",
        "Locate in a video",
        f"Of at most {limits.max_video_seconds / 60:.3g} minutes here. {TOO_LONG_VIDEO}",
        "With its own sound, or with another.",
    )
    with gr.Row(equal_height=False, elem_classes="columns"):
        with gr.Column(scale=4, min_width=290):
            video = pass_path(gr.Video(label="Video", sources=["upload"], height=260, elem_id="video", buttons=[]))
            audio = pass_path(
                gr.Audio(
                    label="Another sound, in place of its own", sources=["upload", "microphone"], type="filepath",
                    elem_id="video-audio", buttons=[],
                )
            )  # fmt: skip
            opacity = gr.Slider(0, 1, 0.6, step=0.05, label="Opacity", elem_id="video-opacity")
            smooth = gr.Slider(0, 2, 0.0, step=0.1, label="Smooth over seconds", elem_id="video-smooth")
            locate = gr.Button("Locate the source", variant="primary", elem_id="locate-video")
        with gr.Column(scale=6, min_width=290, elem_classes="results"):
            overlay = gr.Video(label="Overlay", interactive=False, height=400, elem_id="overlay", buttons=["download"])
            message = gr.HTML(hint, elem_id="video-message", padding=False)
            hidden: dict[str, Any] = {"show_label": False, "interactive": False, "visible": False}
            timeline = gr.Image(label="Timeline", elem_id="timeline", buttons=["fullscreen"], **hidden)
            sheet = gr.Image(label="Contact sheet", elem_id="contact-sheet", buttons=["fullscreen"], **hidden)
            records = gr.File(
                label="Boxes and masks of each frame", interactive=False, visible=False, elem_id="records"
            )

    def answer(
        request: gr.Request,
        video: str | None,
        audio: str | None,
        opacity: float | int,
        smooth: float | int,
        progress: Any = gr.Progress(),  # noqa: B008 (how Gradio passes it)
    ) -> tuple[Any, Any, Any, Any, Any]:
        none = gr.update(visible=False)
        if not video:
            return None, render_card("hint", "A video is missing", "Give one in the field above."), none, none, none
        deadline = sessions.start_deadline(sessions.get_session(request.session_hash), limits.video_timeout)

        def show_progress(done: float | int, total: float | int) -> None:
            deadline.check()
            progress(min(1.0, float(done / total)) if total else None, desc="Locating")

        folder = Path(tempfile.mkdtemp(prefix="overlay-", dir=os.environ.get("GRADIO_TEMP_DIR")))
        names = {"timeline": "timeline.png", "contact_sheet": "sheet.jpg", "frame_records": "frames.json"}
        files: dict[str, Any] = {kind: folder / name for kind, name in names.items()}
        try:
            check_duration(video, limits.max_video_seconds, "video", TOO_LONG_VIDEO)
            if audio:
                check_duration(audio, limits.max_audio_seconds, "sound", TOO_LONG_VIDEO)
            summary = sessions.localizer.locate_video(video, audio=audio, smooth=float(smooth)).save(
                folder / "overlay.mp4",
                progress=show_progress,
                mask_threshold=DEFAULT_MASK_THRESHOLD,
                opacity=float(opacity),
                **files,
            )
        except SoundspotError as error:
            shutil.rmtree(folder)
            if isinstance(error, InputError) and error.cause == "no sound" and not audio:
                return None, render_card("wrong", "There is no sound", NO_AUDIO), none, none, none
            return None, error_card(error, video, audio), none, none, none
        updates = (gr.update(value=str(file), visible=True) for file in files.values())
        return str(folder / "overlay.mp4"), render_video_summary(summary), *updates

    def check(request: gr.Request, video: str | None, audio: str | None) -> tuple[Any, Any, Any, Any, Any]:
        """Drop the answer to other files, and check these."""
        session, none = sessions.get_session(request.session_hash), gr.update(visible=False)
        try:
            errors = check_uploads(limits, sessions.start_deadline(session), [audio] if audio else (), video=video)
        except SoundspotError as error:
            return None, error_card(error), none, none, none
        ready = render_card("hint", "Ready", "Press “Locate the source”.") if video else hint
        return None, render_errors(errors) or ready, none, none, none

    outputs = [overlay, message, timeline, sheet, records]
    wire_silent_event(partial(gr.on, [video.change, audio.change]), check, [video, audio], outputs)
    answered = locate.click(
        answer,
        [video, audio, opacity, smooth],
        outputs,
        show_progress_on=overlay,
        trigger_mode="once",
        api_visibility="private",
        concurrency_id="video",
        concurrency_limit=1,
    )
    show_on_phone(answered, "overlay", "video-message")
