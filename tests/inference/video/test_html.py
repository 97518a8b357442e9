"""A video's result in a notebook: what it shows, that names cannot break it, and that it stays small."""

import base64
import html.parser
from dataclasses import replace
from pathlib import Path

import pytest

from made_events import event, table
from soundspot.inference.events.video_events import VideoEvents
from soundspot.inference.video import html as module
from soundspot.inference.video.presence import SecondPresence
from soundspot.inference.video.save import VideoSummary

NAME = 'a "b" <i>&<script>.mp4'


def summary(folder: Path, label: str = "") -> VideoSummary:
    (folder / NAME).write_bytes(b"video")
    made = table(event(0.5, 2.0, label), event(3.0, 4.0, identity=2))
    seconds = tuple(SecondPresence(second, 1, second != 2, 0.8) for second in range(4))
    return VideoSummary(
        40, 4.0, 0, ("a <note>",), seconds, VideoEvents(made.videos, made.events), {"overlay": folder / NAME}
    )


class Tags(html.parser.HTMLParser):
    """Notes each element with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_a_result_has_player_timeline_and_events(tmp_path: Path) -> None:
    page = summary(tmp_path, "<b>dog</b> & 'co'")._repr_html_()
    tags = Tags(page).found
    (player,) = [attributes for tag, attributes in tags if tag == "video"]
    assert player["src"] == "data:video/mp4;base64," + base64.b64encode(b"video").decode()
    bars = [attributes for tag, attributes in tags if tag == "rect"]
    assert [bar["x"] for bar in bars] == ["0.0", "750.0", "125.0", "750.0"]  # two runs of presence, two events
    assert bars[0]["fill-opacity"] == "0.8"
    (timeline,) = [attributes for tag, attributes in tags if tag == "svg"]
    assert (timeline["height"], timeline["preserveaspectratio"]) == ("54", "none")  # three rows, on a phone too
    assert "0 to 4.0 s, from above: presence, &lt;b&gt;dog&lt;/b&gt; &amp; &#39;co&#39;, source 2" in page
    assert [tag for tag, _ in tags].count("tr") == 3
    assert {tag for tag, _ in tags} <= {
        "video",
        "svg",
        "rect",
        "title",
        "p",
        "br",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
    assert "&lt;b&gt;dog&lt;/b&gt; &amp; &#39;co&#39;" in page
    assert "a &lt;note&gt;" in page


def test_without_events_presence_is_listed_and_a_lost_file_is_named(tmp_path: Path) -> None:
    result = replace(summary(tmp_path), events=None)
    (tmp_path / NAME).unlink()
    page = result._repr_html_()
    assert "<table>" not in page
    assert "0:00 - 0:02 present (probability of presence 0.80)" in page
    assert "is gone: save the video again" in page
    assert "<script>" not in page


def test_a_large_video_is_read_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EMBEDDED_BYTES", 3)
    (player,) = [attributes for tag, attributes in Tags(summary(tmp_path)._repr_html_()).found if tag == "video"]
    assert str(player["src"]).endswith("/a%20%22b%22%20%3Ci%3E%26%3Cscript%3E.mp4")


def test_many_events_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EVENTS", 2)
    page = module.events_to_html([event(float(n), n + 0.5) for n in range(5)])
    assert page.count("<tr>") == 3
    assert "... and 3 more" in page
