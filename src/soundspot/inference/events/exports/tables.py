"""Exports as tables: CSV, labels of Audacity, selection tables of Raven, and RTTM of speaker diarization."""

import csv
import io
import re

from soundspot.inference.events.event import Event, EventTable
from soundspot.inference.events.exports.text import clean_label, name_videos, to_milliseconds

CSV_COLUMNS = (
    "video",
    "start",
    "end",
    "label",
    "identity",
    "confidence",
    "x0",
    "y0",
    "x1",
    "y1",
    "peak_x",
    "peak_y",
)
RAVEN_COLUMNS = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin File",
    "File Offset (s)",
    "Annotation",
    "Confidence",
)


def format_csv(table: EventTable) -> str:
    """Format events as CSV: a row for each event, with box and peak of its most confident frame in pixels.

    Args:
        table: events of one or several videos.

    Returns:
        Header and rows; text with a comma, a quote or a line end is in quotes, as RFC 4180 has it.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for event in table.events:
        start, end = to_milliseconds(event)
        best = event.track.best
        box, peak = event.track.boxes[best].tolist(), event.track.peaks[best].tolist()
        times = f"{start / 1000:.3f}", f"{end / 1000:.3f}"
        name = event.video.path.as_posix()
        writer.writerow([name, *times, event.label, event.identity, f"{event.confidence:.4f}", *box, *peak])
    return text.getvalue()


def format_audacity(table: EventTable) -> str:
    """Format events as a label track of Audacity: start, end and label, between tabs.

    The format has no quotes; a quote at the begin of a label, which some readers take for one, becomes an apostrophe.

    Args:
        table: events of one video.

    Returns:
        A line for each event; empty without events.
    """
    lines = []
    for event in table.events:
        start, end = to_milliseconds(event)
        label = re.sub('^"+', lambda quotes: "'" * len(quotes[0]), clean_label(event.label))
        lines.append(f"{start / 1000:.6f}\t{end / 1000:.6f}\t{label}\n")
    return "".join(lines)


def format_raven(table: EventTable) -> str:
    """Format events as a selection table of Raven; times of several videos run on from one to the next.

    Quotes become apostrophes, since readers of tables take them for the bounds of a cell.

    Args:
        table: events of one or several videos.

    Returns:
        Header and a row for each event. `Begin File` and `File Offset (s)` name the video and the time in it; the
        frequencies are those that the audio can hold.
    """
    offsets, total = {}, 0
    for video in table.videos:
        offsets[video] = total
        total += round(1000 * video.seconds)
    rows = ["\t".join(RAVEN_COLUMNS)]
    for number, event in enumerate(table.events, 1):
        start, end = to_milliseconds(event)
        offset = offsets[event.video]
        times = f"{(offset + start) / 1000:.3f}", f"{(offset + end) / 1000:.3f}"
        frequencies = "0.0", f"{event.video.sample_rate / 2:.1f}"
        name, label = (_without_quotes(text) for text in (event.video.path.name, event.label))
        cells = str(number), "Spectrogram 1", "1", *times, *frequencies, name, f"{start / 1000:.3f}", label
        rows.append("\t".join((*cells, f"{event.confidence:.4f}")))
    return "\n".join(rows) + "\n"


def _without_quotes(text: str) -> str:
    return clean_label(text.replace('"', "'"))


def format_rttm(table: EventTable) -> str:
    """Format events as RTTM, where a video is a recording and a label a speaker.

    Args:
        table: events of one or several videos.

    Returns:
        A line for each event: recording, start, duration, label, confidence. Fields cannot hold spaces: these become
        `_`, and quotes apostrophes.
    """
    names = name_videos(table)
    return "".join(_format_rttm_line(event, names[event.video]) for event in table.events)


def _format_rttm_line(event: Event, name: str) -> str:
    start, end = to_milliseconds(event)
    recording, label = (
        re.sub(r"^;;", "_;", clean_label(text.replace('"', "'")).replace(" ", "_")) for text in (name, event.label)
    )
    times = f"{start / 1000:.3f} {(end - start) / 1000:.3f}"
    return f"SPEAKER {recording} 1 {times} <NA> <NA> {label} {event.confidence:.4f} <NA>\n"
