"""Formats of events by name and by file ending."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from soundspot.errors import OutputError, did_you_mean
from soundspot.inference.events.event import EventTable
from soundspot.inference.events.exports.data import format_coco, format_json
from soundspot.inference.events.exports.elan import format_elan
from soundspot.inference.events.exports.subtitles import format_srt, format_webvtt
from soundspot.inference.events.exports.tables import format_audacity, format_csv, format_raven, format_rttm
from soundspot.utils.atomic_io import atomic_write


@dataclass(frozen=True)
class EventFormat:
    """A format of events.

    Attributes:
        to_text: function that formats events as the text of a file.
        suffixes: file endings in lower case.
        holds_several: whether a file can hold the events of several videos.
    """

    to_text: Callable[[EventTable], str]
    suffixes: tuple[str, ...]
    holds_several: bool


FORMATS = {
    "csv": EventFormat(format_csv, (".csv",), True),
    "json": EventFormat(format_json, (".json",), True),
    "coco": EventFormat(format_coco, (".coco.json",), True),
    "audacity": EventFormat(format_audacity, (".txt",), False),
    "raven": EventFormat(format_raven, (".raven.txt", ".selections.txt"), True),
    "elan": EventFormat(format_elan, (".eaf",), False),
    "srt": EventFormat(format_srt, (".srt",), False),
    "webvtt": EventFormat(format_webvtt, (".vtt",), False),
    "rttm": EventFormat(format_rttm, (".rttm",), True),
}


def choose_format(path: Path, name: str | None = None, several: bool = False) -> EventFormat:
    """Choose the format of a file of events.

    Args:
        path: path of the file; the longest ending that a format has decides: `a.coco.json` is COCO, `a.json` is not.
        name: name of a format, whatever the ending; None: by the ending.
        several: whether the file is to hold the events of several videos.

    Returns:
        The format.

    Raises:
        OutputError: no format has this name or ending, or it describes one video alone.

    Examples:
        >>> choose_format(Path("a.selections.txt")).to_text.__name__, choose_format(Path("a.txt")).to_text.__name__
        ('format_raven', 'format_audacity')
    """
    if name is None:
        by_suffix = {suffix: key for key, candidate in FORMATS.items() for suffix in candidate.suffixes}
        fitting = [suffix for suffix in by_suffix if path.name.lower().endswith(suffix)]
        if not fitting:
            raise OutputError(
                f"{path}: no format of events ends so; expected {', '.join(by_suffix)}, or a format by name: "
                f"{', '.join(FORMATS)}."
            )
        name = by_suffix[max(fitting, key=len)]
    if name not in FORMATS:
        raise OutputError(f"{path}: no format of events is called {name!r}{did_you_mean(name, FORMATS)}")
    if several and not FORMATS[name].holds_several:
        names = [key for key, candidate in FORMATS.items() if candidate.holds_several]
        raise OutputError(f"{path}: the format {name!r} describes one video. For a folder use {', '.join(names)}.")
    return FORMATS[name]


def write_events(path: Path, table: EventTable, name: str | None = None) -> None:
    """Write events to a file, which appears complete or not at all.

    Args:
        path: path of the file; an existing file is replaced.
        table: events of one or several videos.
        name: name of a format; None: by the ending.

    Raises:
        OutputError: no such format, one that cannot hold several videos, or the file cannot be written.
    """
    chosen = choose_format(path, name, len(table.videos) > 1)
    with atomic_write(path) as draft:
        draft.write_text(chosen.to_text(table), encoding="utf-8", newline="\n")
