"""What the page answers, without a page."""

import gc
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media_writers import write_audio
from soundspot.app import reports as pages
from soundspot.app.components import render_card, render_verdict
from soundspot.app.limits import Deadline, LimitError, Limits, check_duration, parse_size
from soundspot.app.middleware import RequestRefusedError, _uploaded_files
from soundspot.app.reports import find_reports, resolve_report
from soundspot.app.server import PageConfig, find_free_port, open_app
from soundspot.app.service import (
    OverlayStyle,
    check_uploads,
    draw_figures,
    format_error,
    locate_audios,
    resize_for_display,
    with_threshold,
)
from soundspot.app.sessions import SessionStore
from soundspot.cli.main import main
from soundspot.data.media.audio import read_audio
from soundspot.errors import CheckpointError, InputError
from soundspot.inference.localizer import Localizer
from visitor import NAUGHTY, Files, fresh


def test_what_was_asked_before_is_not_asked_again(localizer: Localizer, files: Files, monkeypatch) -> None:
    low, high = str(files.low), str(files.high)
    first = locate_audios(localizer, str(files.picture), [low], Limits(), Deadline(9))
    heard = []
    hear = localizer.predict
    monkeypatch.setattr(localizer, "predict", lambda code, sound: (heard.append(sound), hear(code, sound))[1])
    monkeypatch.setattr(localizer, "encode_image", None)
    second = locate_audios(localizer, str(files.picture), [low, high], Limits(), Deadline(9), first)
    assert len(heard) == 1
    assert heard[0].waveform.equal(read_audio(high).waveform)
    assert second.maps["low.wav"] is first.maps["low.wav"]
    assert second.files == {"low.wav": low, "high.wav": high}


def test_the_pages_map_is_the_command_lines(localizer: Localizer, files: Files) -> None:
    asked = locate_audios(localizer, str(files.picture), [str(files.low)], Limits(), Deadline(9))
    np.testing.assert_array_equal(
        asked.maps["low.wav"].scores, localizer.locate(files.picture, files.low).scores
    )  # though it is drawn larger
    assert asked.maps["low.wav"].size == (480, 640)


def test_views_and_looks_draw_what_they_say(localizer: Localizer, files: Files) -> None:
    asked = locate_audios(localizer, str(files.picture), [str(files.low), str(files.high)], Limits(), Deadline(9))
    assert [
        len(draw_figures(asked.maps, "low.wav", view, OverlayStyle()))
        for view in ("single", "combined", "side_by_side")
    ] == [1, 1, 3]
    [clear] = draw_figures(asked.maps, "low.wav", "single", OverlayStyle(opacity=0, outline=False))
    picture = asked.encoded.image
    assert picture is not None
    np.testing.assert_array_equal(np.asarray(clear.image), np.asarray(picture))


def test_too_many_sounds_are_told(localizer: Localizer, files: Files) -> None:
    asked = locate_audios(localizer, str(files.picture), [str(files.low)] * 3, Limits(max_audios=2), Deadline(9))
    assert list(asked.maps) == ["low.wav", "low.wav (2)"]
    assert asked.errors == ("Only the first 2 of 3 sounds were used; give the others alone.",)


def test_a_sound_of_any_length_may_be_given_first(tmp_path: Path) -> None:
    tone = np.sin(np.arange(3 * 16000) / 9).astype(np.float32)[:, None] / 2
    for name, codec in (("long.wav", "pcm_s16le"), ("long.m4a", "aac")):
        write_audio(tmp_path / name, tone, 16000, codec)
    long = [str(tmp_path / "long.wav"), str(tmp_path / "long.m4a")]
    assert check_uploads(Limits(), Deadline(5), long) == ()
    (message,) = check_uploads(Limits(max_audio_seconds=2), Deadline(5), long[:1])
    assert "3" in message


def test_the_verdict_follows_the_threshold(localizer: Localizer, files: Files) -> None:
    found = localizer.locate(files.picture, files.low)
    told = {least: str(render_verdict("x", with_threshold(found, least))) for least in (-9, 9, None)}
    assert "In the image<" in told[-9]
    assert "Not in the image" in told[9]
    assert "soundspot calibrate" in told[None]


def test_what_is_no_visitors_doing_is_told_to_whoever_runs_the_page(caplog: pytest.LogCaptureFixture) -> None:
    secret = "/srv/private/index: was made by other weights"
    assert "/srv" not in format_error(CheckpointError(secret))
    assert secret in caplog.text
    assert format_error(InputError("/tmp/x/a.wav: found nothing"), "/tmp/x/a.wav") == "a.wav: found nothing"


def test_an_index_of_another_model_is_refused_when_the_page_starts(index: Path) -> None:
    import gradio

    from soundspot.app.search_tab import build_search_tab

    with gradio.Blocks(), pytest.raises(CheckpointError, match="with other weights"):
        build_search_tab(SessionStore(fresh(1)), index)
    gc.collect()  # Gradio leaves an event loop open, which warns when it is collected


def test_names_are_escaped(localizer: Localizer, files: Files) -> None:
    found = localizer.locate(files.picture, files.low)
    assert NAUGHTY not in render_verdict(NAUGHTY, found) + render_card("wrong", NAUGHTY, NAUGHTY, f"`{NAUGHTY}`")


def test_large_and_small_pictures_are_drawn_at_a_size_to_look_at() -> None:
    from PIL import Image

    assert [
        resize_for_display(Image.new("RGB", size), 640, 1280).size for size in ((5000, 100), (10, 20), (800, 700))
    ] == [
        (1280, 26),
        (320, 640),
        (800, 700),
    ]


def test_visitors_are_few_and_forgotten_without_harm(localizer: Localizer) -> None:
    desk = SessionStore(localizer, Limits(max_sessions=3))
    first = desk.get_session("a")
    assert desk.get_session("a") is first
    for name in "bcde":
        desk.get_session(name)
    assert len(desk) == 3
    assert not first.is_closed
    last = desk.get_session("e")
    desk.end_session("e")
    with pytest.raises(LimitError, match="closed"):
        desk.start_deadline(last).check()
    desk.close()
    with pytest.raises(LimitError, match="closed"):
        desk.start_deadline(first).check()


@pytest.mark.parametrize(("text", "size"), [("200MB", 200_000_000), ("1.5 GB", 1_500_000_000), ("1000", 1000)])
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "MB", "-3MB", "3 apples", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="such as 200MB"):
        parse_size(text)


def test_a_long_video_is_refused(files: Files) -> None:
    with pytest.raises(LimitError, match=r"clip.mp4: lasts 3 s; a video may last 2 s here. Cut it"):
        check_duration(str(files.clip), 2, "video", "Cut it.")


def test_a_duration_is_not_that_of_the_header(files: Files, tmp_path: Path) -> None:
    """A recording whose header says a tenth, or ten times, of what there is."""
    samples = 0.5 * np.sin(np.arange(48000) / 5)
    write_audio(tmp_path / "variable.mp3", samples[:, None], 16000, "libmp3lame", container_options={"write_xing": "0"})
    content = bytearray(files.clip.read_bytes())
    for box, behind in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):  # where their durations lie
        for match in re.finditer(box, bytes(content)):
            at = match.start() + behind
            content[at : at + 4] = (10 * int.from_bytes(content[at : at + 4], "big")).to_bytes(4, "big")
    (tmp_path / "clip.mp4").write_bytes(content)
    for file, kind in (("variable.mp3", "sound"), ("clip.mp4", "sound"), ("clip.mp4", "video")):
        check_duration(str(tmp_path / file), 3.2, kind, "Cut it.")
        with pytest.raises(LimitError, match="lasts 3 s"):
            check_duration(str(tmp_path / file), 2.8, kind, "Cut it.")


def test_reports_are_those_inside(reports: Path) -> None:
    assert set(find_reports(reports)) == {"one/report.html", f"{NAUGHTY}.html"}
    assert resolve_report(reports, "one/report.html") is not None
    for name in ("../secret.html", "leak.html", "out/secret.html", "/etc/passwd", ".hidden.html", "one", "a\0b.html"):
        assert resolve_report(reports, name) is None


def test_a_report_whose_name_is_no_unicode_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "whole.html").write_text("<title>whole</title>")
    try:
        (tmp_path / os.fsdecode(b"\xff.html")).write_text("<title>odd</title>")
    except OSError:
        pytest.skip("this file system knows Unicode names alone")
    assert find_reports(tmp_path) == {"whole.html": "whole"}


@pytest.mark.parametrize("goes", ["before it is dated", "before it is read"])
def test_a_report_that_goes_meanwhile_is_left_out(tmp_path: Path, monkeypatch, goes: str) -> None:
    for name in ("stays", "goes"):
        (tmp_path / f"{name}.html").write_text(f"<title>{name}</title>")
    step = "resolve_report" if goes == "before it is dated" else "_read_title"
    own = getattr(pages, step)

    def late(*given: Any) -> Any:
        found = own(*given) if step == "resolve_report" else None
        (tmp_path / "goes.html").unlink(missing_ok=True)
        return found if step == "resolve_report" else own(*given)

    monkeypatch.setattr(pages, step, late)
    assert find_reports(tmp_path) == {"stays.html": "stays"}
    (tmp_path / "goes.html").write_text("")
    assert "No such report" in pages._render_report(tmp_path, "goes.html")


@pytest.mark.parametrize(
    "body", [b'{"data": [{"path": "/etc/passwd"}]}', b'{"a": {"path": "http://x/y.png"}}', b"[" * 9999, b"{"]
)
def test_questions_that_name_other_files_are_foreign(body: bytes, tmp_path: Path) -> None:
    with pytest.raises(RequestRefusedError, match="none are read or fetched from elsewhere"):
        _uploaded_files(body, tmp_path)


def test_the_command_line_refuses_what_cannot_be_served(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["app", "--model", "none.safetensors", "--port", str(port)]) == 2
        assert "--port" in capsys.readouterr().err
    assert main(["app", "--model", "none.safetensors", "--port", "0", "--max-upload", "much"]) == 2
    assert "such as 200MB" in capsys.readouterr().err
    for option, seconds in (("--timeout", ".nan"), ("--timeout", "0"), ("--max-video", ".inf"), ("--max-video", "-1")):
        assert main(["app", "--model", "none.safetensors", "--port", "0", f"{option}={seconds}"]) == 2
        assert f"{option}: found {seconds.lstrip('.')}," in capsys.readouterr().err
    assert find_free_port("127.0.0.1", 0) > 0


def test_without_gradio_the_remedy_is_named(localizer: Localizer, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(InputError, match=r'pip install "soundspot\[app\]"'), open_app(PageConfig(localizer)):
        pass
