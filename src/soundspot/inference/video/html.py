"""The result of a video in a notebook: its player, a timeline of presence and events, and a table of the events."""

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from soundspot.inference.events.event import Event
from soundspot.inference.render import SOURCE_COLORS
from soundspot.inference.video.presence import SecondPresence, merge_seconds
from soundspot.utils.notebook import lines_to_html, table_to_html

MAX_EMBEDDED_BYTES = 32_000_000  # of a player that holds its video; a larger one is read from the file
MAX_EVENTS = 100  # rows of the table
PLAYER_WIDTH = 640  # pixels, of the timeline as well; less where the notebook is narrower
WIDTH, ROW = 1000, 18  # of the timeline, in units of the drawing
MEDIA_TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".mkv": "video/x-matroska"}
EVENT_COLUMNS = ["source", "start, s", "end, s", "confidence", "peak"]


def video_to_html(
    files: Mapping[str, Path],
    seconds: float,
    presence: Iterable[SecondPresence],
    events: Iterable[Event] | None,
    notes: Iterable[str],
) -> Markup:
    """Return the result of a video as HTML for a notebook, without scripts; all text is escaped.

    Args:
        files: kind -> path of the files that were written; `overlay` is played.
        seconds: duration of the video.
        presence: presence of each second.
        events: its events; None: not known.
        notes: sentences for a reader.

    Returns:
        Player, timeline, files and notes, and a table of the events.
    """
    runs, sources = merge_seconds(presence), [*(events or ())]
    player = player_to_html(files["overlay"]) if "overlay" in files else Markup("")
    lines = [*map(str, runs[:MAX_EVENTS])] if events is None else []
    written = "written: " + ", ".join(map(str, files.values()))
    table = Markup("") if events is None else events_to_html(sources)
    return player + timeline_to_html(seconds, runs, sources) + lines_to_html([*lines, written, *notes]) + table


def player_to_html(path: Path) -> Markup:
    """Return a video as an element that plays it.

    Args:
        path: path of the video.

    Returns:
        The element, which holds the video up to 32 MB, and reads the file above; a sentence where the file is gone.
    """
    if not path.is_file():
        return lines_to_html([f"{path} is gone: save the video again to see it here."])
    source = quote(path.as_posix())
    if path.stat().st_size <= MAX_EMBEDDED_BYTES:
        media_type = MEDIA_TYPES.get(path.suffix.lower(), "video/mp4")
        source = f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode()}"
    return Markup('<video controls width="{}" style="max-width: 100%" src="{}"></video>').format(PLAYER_WIDTH, source)


def timeline_to_html(seconds: float, runs: Iterable[SecondPresence], events: Iterable[Event]) -> Markup:
    """Return a timeline as a drawing: a row of presence, the fainter the less probable, and a row for each source.

    Args:
        seconds: duration of the video.
        runs: runs of seconds of one presence.
        events: events, whose identities have colors.

    Returns:
        An SVG element, whose rows are equally high at any width, and a line that says what they are.
    """
    scale = WIDTH / max(seconds, 1e-3)
    bars = []
    for run in runs:
        if run.present:
            opacity = 1.0 if run.probability is None else run.probability
            ends = float(run.second), float(run.second + run.num_seconds)
            bars.append(_bar(*ends, 0, "#555", opacity, str(run), scale))
    events = [*events]
    labels = {event.identity: event.label for event in reversed(events)}
    rows = {identity: row for row, identity in enumerate(sorted(labels), 1)}
    for event in events:
        row = rows[event.identity]
        color = "#{:02x}{:02x}{:02x}".format(*SOURCE_COLORS[(row - 1) % len(SOURCE_COLORS)])
        bars.append(_bar(event.start, event.end, row, color, 1.0, str(event), scale))
    box = Markup(
        '<svg viewBox="0 0 {} {}" width="100%" height="{}" preserveAspectRatio="none" role="img" '
        'style="display: block; max-width: {}px">{}</svg>'
    )
    height = ROW * (1 + len(rows))
    names = "".join(f", {labels[identity]}" for identity in rows)
    caption = lines_to_html([f"0 to {seconds:.1f} s, from above: presence{names}"])
    return box.format(WIDTH, height, height, PLAYER_WIDTH, Markup("").join(bars)) + caption


def _bar(start: float, end: float, row: int, color: str, opacity: float, title: str, scale: float) -> Markup:
    rect = Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="{}" fill-opacity="{}"><title>{}</title></rect>')
    x, width = round(start * scale, 1), round(max(1.0, (end - start) * scale), 1)
    return rect.format(x, ROW * row + 1, width, ROW - 2, color, round(opacity, 2), title)


def events_to_html(events: Iterable[Event]) -> Markup:
    """Return events as a table of at most a hundred rows.

    Args:
        events: events in order of time.

    Returns:
        Table of label, start, end, confidence, and peak of the most confident frame.
    """
    listed = [*events]
    rows = [EVENT_COLUMNS]
    for event in listed[:MAX_EVENTS]:
        x, y = event.track.peaks[event.track.best].tolist()
        rows.append([event.label, f"{event.start:.2f}", f"{event.end:.2f}", f"{event.confidence:.2f}", f"({x}, {y})"])
    rest = len(listed) - MAX_EVENTS
    return table_to_html(rows) + (lines_to_html([f"... and {rest} more"]) if rest > 0 else Markup(""))
