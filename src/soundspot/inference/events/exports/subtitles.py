"""Exports as subtitles, which players show over the video: SRT and WebVTT."""

from soundspot.inference.events.event import EventTable
from soundspot.inference.events.exports.text import format_caption, format_clock, to_milliseconds

SRT_SIGNS = str.maketrans({"<": "‹", ">": "›", "{": "(", "}": ")"})  # markup for players, and SRT has no escapes
VTT_ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))


def format_srt(table: EventTable) -> str:
    """Format events as SRT: a numbered cue for each event; cues may overlap.

    Args:
        table: events of one video.

    Returns:
        The cues; empty without events. The format has no escapes: `<dog>` becomes `‹dog›`, `{dog}` becomes `(dog)`.
    """
    cues = []
    for number, event in enumerate(table.events, 1):
        start, end = (format_clock(time, ",") for time in to_milliseconds(event))
        cues.append(f"{number}\n{start} --> {end}\n{format_caption(event).translate(SRT_SIGNS)}\n")
    return "\n".join(cues)


def format_webvtt(table: EventTable) -> str:
    """Format events as WebVTT: a numbered cue for each event, by rising start; cues may overlap.

    Args:
        table: events of one video.

    Returns:
        The header and the cues; `&`, `<` and `>` are escaped.
    """
    cues = ["WEBVTT\n"]
    for number, event in enumerate(table.events, 1):
        start, end = (format_clock(time, ".") for time in to_milliseconds(event))
        text = format_caption(event)
        for sign, escape in VTT_ESCAPES:
            text = text.replace(sign, escape)
        cues.append(f"{number}\n{start} --> {end}\n{text}\n")
    return "\n".join(cues)
