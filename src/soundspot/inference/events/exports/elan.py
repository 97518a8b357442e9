"""Export as an annotation file of ELAN (.eaf, format 2.8): a tier for each label."""

import re
from xml.sax.saxutils import escape, quoteattr

from soundspot.inference.events.event import Event, EventTable
from soundspot.inference.events.exports.text import clean_label, format_caption, to_milliseconds

MIME_TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm"}
DATE = "1970-01-01T00:00:00+00:00"  # one file for one input, whenever it is written
NO_XML = re.compile("[\\ufffe\\uffff]")
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="{date}" FORMAT="2.8" VERSION="2.8" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv2.8.xsd">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
<MEDIA_DESCRIPTOR MEDIA_URL={url} MIME_TYPE={mime_type} RELATIVE_MEDIA_URL={relative}/>
<PROPERTY NAME="lastUsedAnnotationId">{count}</PROPERTY>
</HEADER>
"""
TAIL = """<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""


def format_elan(table: EventTable) -> str:
    """Format events as an .eaf of ELAN: a tier for each label, and a further one (`dog (2)`) for events that overlap.

    Args:
        table: events of one video.

    Returns:
        XML that names the video by its absolute path and, beside the .eaf, by its file name.
    """
    path = table.videos[0].path
    mime_type = MIME_TYPES.get(path.suffix.lower(), "video/*")
    url, relative = _quote(path.absolute().as_uri()), _quote(f"./{path.name}")
    lines = [HEAD.format(date=DATE, url=url, mime_type=_quote(mime_type), relative=relative, count=len(table.events))]
    slots = [time for event in table.events for time in to_milliseconds(event)]
    lines.append("<TIME_ORDER>\n")
    order = sorted(range(len(slots)), key=lambda index: slots[index])
    names = {index: f"ts{number}" for number, index in enumerate(order, 1)}
    lines += [f'<TIME_SLOT TIME_SLOT_ID="{names[index]}" TIME_VALUE="{slots[index]}"/>\n' for index in order]
    lines.append("</TIME_ORDER>\n")
    for tier, numbers in assign_tiers(table.events).items():
        lines.append(f'<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID={_quote(tier)}>\n')
        for number in numbers:
            text = escape(NO_XML.sub(" ", format_caption(table.events[number])))
            lines.append(
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number + 1}" '
                f'TIME_SLOT_REF1="{names[2 * number]}" TIME_SLOT_REF2="{names[2 * number + 1]}">'
                f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>\n"
            )
        lines.append("</TIER>\n")
    return "".join([*lines, TAIL])


def assign_tiers(events: tuple[Event, ...]) -> dict[str, list[int]]:
    """Assign events to tiers in which none overlap, since ELAN cannot show that.

    Args:
        events: events by rising start.

    Returns:
        Name of each tier, a label or a label with a number, -> indices of its events, in order.
    """
    tiers: dict[str, list[int]] = {}
    levels: dict[str, list[tuple[str, int]]] = {}  # by label, name and last end of each of its tiers
    for index, event in enumerate(events):
        label, (start, end) = clean_label(event.label), to_milliseconds(event)
        rows = levels.setdefault(label, [])
        level = next((i for i, (_, last) in enumerate(rows) if last <= start), len(rows))
        if level == len(rows):
            name, number = label, 1
            while name in tiers:
                number += 1
                name = f"{label} ({number})"
            rows.append((name, 0))
            tiers[name] = []
        name, _ = rows[level]
        rows[level] = name, end
        tiers[name].append(index)
    return tiers


def _quote(text: str) -> str:
    return quoteattr(NO_XML.sub(" ", text))
