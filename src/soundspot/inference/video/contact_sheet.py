"""Twelve moments of a video on one sheet, whatever its length is and without knowing it."""

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from soundspot.inference.render import make_contact_sheet
from soundspot.inference.video.overlay import draw_frame
from soundspot.inference.video.smoothing import RunningRange
from soundspot.inference.video.writer import FrameWriter

if TYPE_CHECKING:
    from soundspot.inference.video.predictor import FrameResult

MOMENTS, ROWS, HEIGHT = 12, 3, 150


class ContactSheetWriter(FrameWriter):
    """Writes a contact sheet of evenly spaced moments, with the second and whether a source is there under each.

    Moments are kept at a distance that doubles, and every other one forgotten, as soon as there are twice as many as
    are wanted: the length of the video is known only at its end.
    """

    def __init__(self, path: Path, opacity: float) -> None:
        self._path, self._opacity = path, opacity
        self._heat, self._kept = RunningRange(), list[tuple[float, Image.Image, str]]()
        self._apart, self._due = 0.04, 0.0

    def add(self, moment: "FrameResult") -> None:
        """Keep this moment, if it is one of those."""
        if moment.time < self._due - 1e-6:
            self._heat(moment.time, moment.map)
            return
        picture = draw_frame(moment, self._heat, self._opacity)
        width = max(1, round(picture.width * HEIGHT / picture.height))
        self._kept.append((moment.time, picture.resize((width, HEIGHT), reducing_gap=2.0), _words(moment)))
        if len(self._kept) == 4 * MOMENTS:
            self._kept, self._apart = self._kept[::2], 2 * self._apart
        self._due = self._kept[-1][0] + self._apart

    def close(self, notes: tuple[str, ...]) -> None:
        """Choose and write."""
        last, count = len(self._kept) - 1, min(MOMENTS, len(self._kept))
        chosen = [self._kept[round(i * last / max(1, count - 1))] for i in range(count)]
        across = -(-count // ROWS)
        rows = [chosen[i : i + across] for i in range(0, count, across)]
        pictures, captions = [[one[1] for one in row] for row in rows], [[one[2] for one in row] for row in rows]
        make_contact_sheet(pictures, captions, HEIGHT).save(self._path, quality=85)


def format_time(seconds: float | int) -> str:
    """`0:07`, `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _words(moment: "FrameResult") -> str:
    tenths = f".{int(10 * moment.time) % 10}"
    return format_time(moment.time) + tenths + (" · nothing here" if moment.map.present is False else "")
