"""Subtitles, parsed as their documentation has it."""

import html
import re

from made_events import event, table
from soundspot.inference.events.exports.subtitles import format_srt, format_webvtt

CUE = re.compile(r"(\d+)\n(\S+) --> (\S+)\n(.+)\n")


def test_srt_cues_are_numbered_and_overlap() -> None:
    text = format_srt(table(event(0.5, 1.25, "dog"), event(1.0, 3.0, "a\n\nb <i>c</i> {x}"), event(3700.5, 3701.0)))
    assert CUE.findall(text) == [
        ("1", "00:00:00,500", "00:00:01,250", "dog 0.90"),
        ("2", "00:00:01,000", "00:00:03,000", "a b ‹i›c‹/i› (x) 0.90"),
        ("3", "01:01:40,500", "01:01:41,000", "source 1 0.90"),
    ]
    assert text.count("\n\n") == 2  # between cues alone
    assert format_srt(table()) == ""


def test_webvtt_escapes_markup_and_arrows() -> None:
    text = format_webvtt(table(event(0.5, 1.25, "<dog> & 'cat' -->\n\nx")))
    assert text.startswith("WEBVTT\n\n1\n00:00:00.500 --> 00:00:01.250\n")
    caption = text.splitlines()[-1]
    assert not set(caption) & set("<>")
    assert html.unescape(caption) == "<dog> & 'cat' --> x 0.90"
    assert format_webvtt(table()) == "WEBVTT\n"
