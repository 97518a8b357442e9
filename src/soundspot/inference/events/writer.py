"""Write the events of a video that is located frame by frame."""

from pathlib import Path

from soundspot.inference.events.exports.formats import write_events
from soundspot.inference.events.tracking import EventTracker
from soundspot.inference.events.video_events import VideoEvents
from soundspot.inference.video.writer import FrameResult, FrameWriter, VideoInfo


class EventWriter(FrameWriter):
    """Write the events of a tracker at the end of the video.

    Args:
        path: path of the file.
        info: facts of the video.
        tracker: collects the events, frame by frame, beside the writers.
        file_format: name of a format; None: by the ending.
    """

    def __init__(self, path: Path, info: VideoInfo, tracker: EventTracker, file_format: str | None) -> None:
        super().__init__(path, info)
        self._tracker, self._format = tracker, file_format
        self.events: VideoEvents | None = None  # complete after `close`

    def add(self, frame: FrameResult) -> None:
        """Ignore the frame, which the tracker has.

        Args:
            frame: result of the frame.
        """

    def close(self, notes: tuple[str, ...], end_time: float) -> None:
        """Write the events.

        Args:
            notes: sentences for a reader of the file, not written here.
            end_time: end of the video in seconds.
        """
        self.events = self._tracker.finish(self._info, end_time)
        write_events(self._path, self.events, self._format)
