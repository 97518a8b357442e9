"""Write the events of a video that is located frame by frame."""

from pathlib import Path

from soundspot.inference.events.exports.formats import write_events
from soundspot.inference.events.tracking import EventOptions, EventTracker
from soundspot.inference.events.video_events import VideoEvents
from soundspot.inference.video.writer import FrameResult, FrameWriter, VideoInfo


class EventWriter(FrameWriter):
    """Collect events frame by frame and write them at the end of the video.

    Args:
        path: path of the file.
        info: facts of the video.
        options: options of events.
        file_format: name of a format; None: by the ending.
    """

    def __init__(self, path: Path, info: VideoInfo, options: EventOptions, file_format: str | None) -> None:
        super().__init__(path, info)
        self._tracker, self._format = EventTracker(options), file_format
        self.events: VideoEvents | None = None  # complete after `close`

    def add(self, frame: FrameResult) -> None:
        """Add the next frame.

        Args:
            frame: result of the frame.

        Raises:
            InputError: the model has no threshold and none is given, or an option needs what the model does not have.
        """
        self._tracker.add(frame)

    def close(self, notes: tuple[str, ...], end_time: float) -> None:
        """Write the events.

        Args:
            notes: sentences for a reader of the file, not written here.
            end_time: end of the video in seconds.
        """
        self.events = self._tracker.finish(self._info, end_time)
        write_events(self._path, self.events, self._format)
