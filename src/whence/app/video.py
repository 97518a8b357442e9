"""The tab that asks a video, with its own sound or another: the overlay as a video, with progress on the way."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from whence.app import words
from whence.app.answers import MASK
from whence.app.desk import Desk
from whence.app.limits import refuse_long
from whence.app.parts import as_it_came, trouble
from whence.errors import WhenceError

COMMAND = "Cut it, or ask by the command line, which takes any length: `whence locate CKPT clip.mp4 -o overlay.mp4`."
SILENT = (
    "This video has no sound of its own. Give one in the field “Another sound”: it is heard from the first picture on."
)


def video_tab(desk: Desk) -> None:
    """Lays the tab out and wires it."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=290):
            video = as_it_came(gr.Video(label="Video", sources=["upload"], height=260, elem_id="video", buttons=[]))
            sound = as_it_came(
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
            return None, words.card("hint", "A video is missing", "Give one in the field above."), none, none, none
        clock = desk.clock(desk.visitor(request.session_hash), desk.limits.video_timeout)

        def seen(done: float | int, of: float | int) -> None:
            clock.check()
            progress(min(1.0, float(done / of)) if of else None, desc="Looking and listening")

        folder = Path(tempfile.mkdtemp(prefix="overlay-", dir=os.environ.get("GRADIO_TEMP_DIR")))
        try:
            refuse_long(video, desk.limits.video, "video", COMMAND)
            if sound:
                refuse_long(sound, desk.limits.sound, "sound", COMMAND)
            located = desk.localizer.locate_video(video, sound=sound, smooth=float(smooth))
            made = located.save(
                folder / "overlay.mp4",
                sheet=folder / "sheet.jpg",
                timeline=folder / "timeline.png",
                frames=folder / "frames.json",
                seen=seen,
                rule=MASK,
                opacity=float(opacity),
            )
        except WhenceError as error:
            shutil.rmtree(folder)
            silent = getattr(error, "cause", "") == "no sound" and not sound
            told = words.card("wrong", "There is nothing to hear", SILENT) if silent else trouble(error, video, sound)
            return None, told, none, none, none
        files = (str(folder / name) for name in ("timeline.png", "sheet.jpg", "frames.json"))
        timeline, sheet, frames = (gr.update(value=file, visible=True) for file in files)
        return str(folder / "overlay.mp4"), words.of_video(made), timeline, sheet, frames

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


def _hint(desk: Desk) -> str:
    minutes = desk.limits.video / 60
    return words.card(
        "hint",
        "Ask a video",
        f"Of at most {minutes:.3g} minutes here. {COMMAND}",
        "Its own sound is heard, or another.",
    )
