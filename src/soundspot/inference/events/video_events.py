"""The events of a video as users hold them: a sequence that writes itself, and gives the boxes of a moment."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from soundspot.inference.events.event import Event, EventTable, make_table
from soundspot.inference.events.exports.formats import choose_format, write_events
from soundspot.inference.supervision import decode_masks, make_detections
from soundspot.utils.atomic_io import check_output


class VideoEvents(EventTable):
    """Events of one or several videos: a sequence of `Event`, in order of time."""

    def save(self, path: str | Path, file_format: str | None = None, overwrite: bool = True) -> None:
        """Write the events; the file appears complete or not at all.

        Args:
            path: path of the file.
            file_format: `csv`, `json`, `coco`, `audacity`, `raven`, `elan`, `srt`, `webvtt` or `rttm`; None: by the
                ending: `.csv`, `.json`, `.coco.json`, `.txt` (Audacity), `.raven.txt` or `.selections.txt`, `.eaf`,
                `.srt`, `.vtt`, `.rttm`.
            overwrite: whether an existing file may be replaced.

        Raises:
            OutputError: no such format, one that cannot hold several videos, the file exists and `overwrite` is False,
                or it cannot be written.
        """
        path = Path(path)
        choose_format(path, file_format, len(self.videos) > 1)
        check_output(path, overwrite)
        write_events(path, self, file_format)

    def at(self, time: float | int) -> list[tuple[Event, int]]:
        """Return the events in progress at a time.

        Args:
            time: time in seconds from the first frame.

        Returns:
            Events with the index, in their tracks, of the last frame until that time.
        """
        current = [event for event in self.events if event.start <= time < event.end]
        return [(event, max(0, int(np.searchsorted(event.track.times, time, "right")) - 1)) for event in current]

    def to_supervision(self, time: float | int) -> Any:
        """Return the sources that sound at a time as Detections of supervision (extra `supervision`).

        Args:
            time: time in seconds from the first frame.

        Returns:
            `supervision.Detections`: boxes in pixels, confidences, identities as `tracker_id`, `data["label"]`,
            and the masks of contours where there are any.

        Raises:
            InputError: supervision is not installed.
        """
        current = self.at(time)
        return make_detections(
            [event.track.boxes[index].tolist() for event, index in current],
            [float(event.track.confidences[index]) for event, index in current],
            [event.identity for event, _ in current],
            [event.label for event, _ in current],
            decode_masks([(e.track.masks[index] if e.track.masks else "", e.video.size) for e, index in current]),
        )


def merge_events(tables: Iterable[EventTable]) -> VideoEvents:
    """Merge the events of several videos into one table.

    Args:
        tables: events of each video.

    Returns:
        All events, by video.
    """
    members = [*tables]
    table = make_table(
        [video for member in members for video in member.videos], [event for member in members for event in member]
    )
    return VideoEvents(table.videos, table.events)
