"""What the page answers, without a page."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visitor import NAUGHTY, Files, fresh
from whence.app import reports as pages
from whence.app import words
from whence.app.answers import Look, ask, draw, in_words, judged, shown_at
from whence.app.desk import Desk
from whence.app.guard import _files
from whence.app.limits import Clock, LimitError, Limits, parse_size, refuse_long
from whence.app.reports import find, inside
from whence.app.server import Page, application, free_port
from whence.cli.main import main
from whence.data.audio import read_sound
from whence.errors import CheckpointError, InputError
from whence.inference.localizer import Localizer


def test_what_was_asked_before_is_not_asked_again(localizer: Localizer, files: Files, monkeypatch) -> None:
    low, high = str(files.low), str(files.high)
    first = ask(localizer, str(files.picture), [low], Limits(), Clock(9))
    heard = []
    hear = localizer.hear
    monkeypatch.setattr(localizer, "hear", lambda code, sound: (heard.append(sound), hear(code, sound))[1])
    monkeypatch.setattr(localizer, "encode_image", None)
    second = ask(localizer, str(files.picture), [low, high], Limits(), Clock(9), first)
    assert len(heard) == 1
    assert heard[0].waveform.equal(read_sound(high).waveform)
    assert second.maps["low.wav"] is first.maps["low.wav"]
    assert second.files == {"low.wav": low, "high.wav": high}


def test_the_pages_map_is_the_command_lines(localizer: Localizer, files: Files) -> None:
    asked = ask(localizer, str(files.picture), [str(files.low)], Limits(), Clock(9))
    np.testing.assert_array_equal(
        asked.maps["low.wav"].scores, localizer.locate(files.picture, files.low).scores
    )  # though it is drawn larger
    assert asked.maps["low.wav"].size == (480, 640)


def test_views_and_looks_draw_what_they_say(localizer: Localizer, files: Files) -> None:
    asked = ask(localizer, str(files.picture), [str(files.low), str(files.high)], Limits(), Clock(9))
    assert [len(draw(asked.maps, "low.wav", view, Look())) for view in ("one", "combined", "beside")] == [1, 1, 3]
    [clear] = draw(asked.maps, "low.wav", "one", Look(opacity=0, outline=False))
    picture = asked.code.picture
    assert picture is not None
    np.testing.assert_array_equal(np.asarray(clear.picture), np.asarray(picture))


def test_too_many_sounds_are_told(localizer: Localizer, files: Files) -> None:
    asked = ask(localizer, str(files.picture), [str(files.low)] * 3, Limits(sounds=2), Clock(9))
    assert list(asked.maps) == ["low.wav", "low.wav (2)"]
    assert asked.problems == ("Only the first 2 of 3 sounds were heard; ask with those alone.",)


def test_the_verdict_follows_the_threshold(localizer: Localizer, files: Files) -> None:
    found = localizer.locate(files.picture, files.low)
    told = {least: str(words.verdict("x", judged(found, least), 1)) for least in (-9, 9, None)}
    assert "In the picture<" in told[-9]
    assert "Not in the picture" in told[9]
    assert "whence calibrate" in told[None]


def test_what_is_no_visitors_doing_is_told_to_whoever_runs_the_page(caplog: pytest.LogCaptureFixture) -> None:
    secret = "/srv/private/index: was made by other weights"
    assert "/srv" not in in_words(CheckpointError(secret))
    assert secret in caplog.text
    assert in_words(InputError("/tmp/x/a.wav: found nothing"), "/tmp/x/a.wav") == "a.wav: found nothing"


def test_an_index_of_another_model_is_refused_when_the_page_starts(index: Path) -> None:
    import gradio

    from whence.app.search import search_tab

    with gradio.Blocks(), pytest.raises(CheckpointError, match="with other weights"):
        search_tab(Desk(fresh(1)), index)


def test_names_are_escaped(localizer: Localizer, files: Files) -> None:
    found = localizer.locate(files.picture, files.low)
    assert NAUGHTY not in words.verdict(NAUGHTY, found, 1) + words.card("wrong", NAUGHTY, NAUGHTY, f"`{NAUGHTY}`")


def test_large_and_small_pictures_are_drawn_at_a_size_to_look_at() -> None:
    from PIL import Image

    assert [shown_at(Image.new("RGB", size), 640, 1280).size for size in ((5000, 100), (10, 20), (800, 700))] == [
        (1280, 26),
        (320, 640),
        (800, 700),
    ]


def test_visitors_are_few_and_forgotten_without_harm(localizer: Localizer) -> None:
    desk = Desk(localizer, Limits(visitors=3))
    first = desk.visitor("a")
    assert desk.visitor("a") is first
    for name in "bcde":
        desk.visitor(name)
    assert len(desk) == 3
    assert not first.gone
    last = desk.visitor("e")
    desk.leave("e")
    with pytest.raises(LimitError, match="closed"):
        desk.clock(last).check()
    desk.close()
    with pytest.raises(LimitError, match="closed"):
        desk.clock(first).check()


@pytest.mark.parametrize(("text", "size"), [("200MB", 200_000_000), ("1.5 GB", 1_500_000_000), ("1000", 1000)])
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "MB", "-3MB", "3 apples", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="such as 200MB"):
        parse_size(text)


def test_a_long_video_is_refused_by_its_header(files: Files) -> None:
    with pytest.raises(LimitError, match=r"clip.mp4: lasts 3 s; a video may last 2 s here. Cut it"):
        refuse_long(str(files.clip), 2, "video", "Cut it.")


def test_reports_are_those_inside(reports: Path) -> None:
    assert set(find(reports)) == {"one/report.html", f"{NAUGHTY}.html"}
    assert inside(reports, "one/report.html") is not None
    for name in ("../secret.html", "leak.html", "out/secret.html", "/etc/passwd", ".hidden.html", "one", "a\0b.html"):
        assert inside(reports, name) is None


def test_a_report_whose_name_is_no_unicode_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "whole.html").write_text("<title>whole</title>")
    try:
        (tmp_path / os.fsdecode(b"\xff.html")).write_text("<title>odd</title>")
    except OSError:
        pytest.skip("this file system knows Unicode names alone")
    assert find(tmp_path) == {"whole.html": "whole"}


@pytest.mark.parametrize("goes", ["before it is dated", "before it is read"])
def test_a_report_that_goes_meanwhile_is_left_out(tmp_path: Path, monkeypatch, goes: str) -> None:
    for name in ("stays", "goes"):
        (tmp_path / f"{name}.html").write_text(f"<title>{name}</title>")
    step = "inside" if goes == "before it is dated" else "_title"
    own = getattr(pages, step)

    def late(*given: Any) -> Any:
        found = own(*given) if step == "inside" else None
        (tmp_path / "goes.html").unlink(missing_ok=True)
        return found if step == "inside" else own(*given)

    monkeypatch.setattr(pages, step, late)
    assert find(tmp_path) == {"stays.html": "stays"}
    (tmp_path / "goes.html").write_text("")
    assert "No such report" in pages._framed(tmp_path, "goes.html")


@pytest.mark.parametrize(
    "body", [b'{"data": [{"path": "/etc/passwd"}]}', b'{"a": {"path": "http://x/y.png"}}', b"[" * 9999, b"{"]
)
def test_questions_that_name_other_files_are_foreign(body: bytes, tmp_path: Path) -> None:
    assert _files(body, tmp_path) is None


def test_the_command_line_refuses_what_cannot_be_served(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["app", "none.safetensors", "--port", str(port)]) == 2
        assert "--port" in capsys.readouterr().err
    assert main(["app", "none.safetensors", "--port", "0", "--max-upload", "much"]) == 2
    assert "such as 200MB" in capsys.readouterr().err
    for option, seconds in (("--timeout", ".nan"), ("--timeout", "0"), ("--max-video", ".inf"), ("--max-video", "-1")):
        assert main(["app", "none.safetensors", "--port", "0", f"{option}={seconds}"]) == 2
        assert f"{option}: found {seconds.lstrip('.')}," in capsys.readouterr().err
    assert free_port("127.0.0.1", 0) > 0


def test_without_gradio_the_remedy_is_named(localizer: Localizer, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(InputError, match=r'pip install "whence\[app\]"'), application(Page(localizer)):
        pass
