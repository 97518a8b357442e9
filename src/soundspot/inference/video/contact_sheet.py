"""Twelve frames of a video on one contact sheet, whatever its length is and without knowing it."""

from pathlib import Path

from PIL import Image

from soundspot.inference.render import make_contact_sheet
from soundspot.inference.video.overlay import draw_frame
from soundspot.inference.video.smoothing import RunningRange
from soundspot.inference.video.writer import FrameResult, FrameWriter, VideoInfo

NUM_FRAMES, ROWS = 12, 3
HEIGHT, UPRIGHT_HEIGHT = 150, 270  # of frames, and of those that are higher than wide


class ContactSheetWriter(FrameWriter):
    """Write a contact sheet of up to 12 evenly spaced frames, captioned with their time, and absence of the source.

    The length of the video is known only at its end: frames are kept at an interval that doubles, and every other frame
    is dropped, as soon as there are 48.

    Args:
        path: path of the image file.
        info: facts of the video.
        opacity: opacity of the heat at the highest scores, in [0, 1].
    """

    def __init__(self, path: Path, info: VideoInfo, opacity: float) -> None:
        super().__init__(path, info)
        self._opacity, self._heat_range = opacity, RunningRange()
        self._frames: list[tuple[float, Image.Image, str]] = []
        self._interval, self._due, self._height = 0.04, 0.0, HEIGHT

    def add(self, frame: FrameResult) -> None:
        """Draw and keep the next frame, if its time is due; all other frames only update the range of the heat.

        Args:
            frame: result of the frame.
        """
        if frame.time < self._due - 1e-6:
            self._heat_range(frame.time, frame.map)
            return
        image = draw_frame(frame, self._heat_range, self._opacity)
        self._height = HEIGHT if image.width >= image.height else UPRIGHT_HEIGHT
        width = max(1, round(image.width * self._height / image.height))
        caption = f"{format_time(frame.time)}.{int(10 * frame.time) % 10}"
        caption += " · nothing here" if frame.map.present is False else ""
        self._frames.append((frame.time, image.resize((width, self._height), reducing_gap=2.0), caption))
        if len(self._frames) == 4 * NUM_FRAMES:
            self._frames, self._interval = self._frames[::2], 2 * self._interval
        self._due = self._frames[-1][0] + self._interval

    def close(self, notes: tuple[str, ...], end_time: float) -> None:
        """Write the image file: up to 12 of the frames that were kept, evenly spaced, in 3 rows.

        Args:
            notes: sentences for a reader, not used here.
            end_time: end of the video in seconds, not used here.
        """
        last, count = len(self._frames) - 1, min(NUM_FRAMES, len(self._frames))
        chosen = [self._frames[round(i * last / max(1, count - 1))] for i in range(count)]
        columns = -(-count // ROWS)
        rows = [chosen[i : i + columns] for i in range(0, count, columns)]
        images = [[image for _, image, _ in row] for row in rows]
        captions = [[caption for *_, caption in row] for row in rows]
        make_contact_sheet(images, captions, self._height).save(self._path, quality=85)


def format_time(seconds: float | int) -> str:
    """Format a time as minutes or hours: `0:07` or `1:02:03`.

    Args:
        seconds: time in seconds, not negative; fractions are cut off.

    Returns:
        `M:SS`, or `H:MM:SS` from an hour on.
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
