"""Text of exports: times rounded once, labels on one line, confidences with their digits."""

import re
import unicodedata
from collections import Counter
from functools import lru_cache

from soundspot.inference.events.event import Event, EventTable, VideoFacts

MISSING = {"", "na", "n/a", "nan", "none", "null", "<na>"}  # what readers of tables take for a missing value


@lru_cache(4096)
def clean_label(label: str) -> str:
    """Return a label on one line: control characters, tabs and line ends become single spaces.

    Args:
        label: text of a label.

    Returns:
        The text, without spaces at its ends; `_NA` and the like in place of what readers of tables take for a missing
        value, `_` for empty text.

    Examples:
        >>> clean_label("dog\\tor\\n cat"), clean_label("NA"), clean_label(" ")
        ('dog or cat', '_NA', '_')
    """
    line = "".join(" " if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") else letter for letter in label)
    line = re.sub(r"\s+", " ", line).strip()
    return f"_{line}" if line.lower() in MISSING else line


def name_videos(table: EventTable) -> dict[VideoFacts, str]:
    """Name videos by their file names without ending, or by their paths where two have one file name.

    Args:
        table: events of one or several videos.

    Returns:
        Name of each video, no two alike.
    """
    counts = Counter(video.path.stem for video in table.videos)
    return {
        video: video.path.stem if counts[video.path.stem] == 1 else video.path.as_posix().lstrip("/")
        for video in table.videos
    }


def to_milliseconds(event: Event) -> tuple[int, int]:
    """Return start and end of an event in whole milliseconds, at least one apart: readers drop events of no length.

    Args:
        event: event of a video.

    Returns:
        Start and end in milliseconds, 0 or more.
    """
    start = max(0, round(1000 * event.start))
    return start, max(start + 1, round(1000 * event.end))


def format_clock(milliseconds: int, separator: str) -> str:
    """Format a time as subtitles have it.

    Args:
        milliseconds: time, 0 or more.
        separator: sign before the milliseconds, `,` or `.`.

    Returns:
        `HH:MM:SS` and the milliseconds; hours may have more than two digits.

    Examples:
        >>> format_clock(3_723_004, ",")
        '01:02:03,004'
    """
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{separator}{milliseconds:03}"


def format_caption(event: Event) -> str:
    """Format label and confidence of an event, such as `source 1 0.91`.

    Args:
        event: event of a video.

    Returns:
        One line.
    """
    return f"{clean_label(event.label)} {event.confidence:.2f}"
