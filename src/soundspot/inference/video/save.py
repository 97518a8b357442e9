"""A located video as files: the overlay with its audio, a contact sheet, a timeline, frame records and maps.

One run writes all of them. Each grows in a draft beside its path, in the memory of a few frames, and takes its name
when all files are complete.
"""

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from soundspot.errors import OutputError
from soundspot.inference.events.exports.formats import choose_format
from soundspot.inference.events.options import EventOptions
from soundspot.inference.events.tracking import EventTracker
from soundspot.inference.events.video_events import VideoEvents
from soundspot.inference.events.writer import EventWriter
from soundspot.inference.result import SCORE_SUFFIXES, SUMMARY_SUFFIXES, MaskThreshold, parse_mask_threshold
from soundspot.inference.video.contact_sheet import ContactSheetWriter
from soundspot.inference.video.frame_records import FrameRecordWriter, VideoMapWriter
from soundspot.inference.video.html import video_to_html
from soundspot.inference.video.overlay import OverlayWriter
from soundspot.inference.video.presence import SecondPresence
from soundspot.inference.video.timeline import TimelineWriter
from soundspot.inference.video.writer import FrameResult, FrameWriter, VideoInfo
from soundspot.utils.atomic_io import atomic_write, check_output

OptionalPath = str | Path | None

OVERLAY_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
DRAWING_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SUFFIXES = {
    "overlay": OVERLAY_SUFFIXES,
    "contact_sheet": DRAWING_SUFFIXES,
    "timeline": DRAWING_SUFFIXES,
    "frame_records": SUMMARY_SUFFIXES,
    "maps": SCORE_SUFFIXES,
    "events": (),  # of many formats: `choose_format`
}


@dataclass(frozen=True)
class VideoOutputs:
    """The files that a located video is written to; None: not written.

    Attributes:
        overlay: path of the video under the heatmap, with its audio: H.264 and AAC (`.mp4`, `.m4v`, `.mov`, `.mkv`).
        contact_sheet: path of an image of up to twelve frames side by side (`.jpg`, `.jpeg`, `.png`, `.webp`).
        timeline: path of a plot of the peak of each frame and the loudness over time (`.jpg`, `.jpeg`, `.png`,
            `.webp`).
        frame_records: path of the peak, presence, boxes and mask of each frame, a line each (`.json`).
        maps: path of the raw maps and their times (`.npz`).
        mask_threshold: threshold of the masks and boxes in `frame_records`: a number in [0, 1] of the range of each
            map, `half`, `share:0.1` or `score:0.3` (see `LocalizationMap.mask`).
        opacity: opacity of the heat at the highest scores, in [0, 1].
        events: path of the events: when sources sound, and where (`.csv`, `.json`, `.coco.json`, `.txt` for Audacity,
            `.raven.txt`, `.eaf`, `.srt`, `.vtt`, `.rttm`).
        event_format: name of the format of `events`; None: by its ending.
        event_options: options of events.
    """

    overlay: OptionalPath = None
    contact_sheet: OptionalPath = None
    timeline: OptionalPath = None
    frame_records: OptionalPath = None
    maps: OptionalPath = None
    mask_threshold: MaskThreshold = 0.5
    opacity: float = 0.6
    events: OptionalPath = None
    event_format: str | None = None
    event_options: EventOptions = field(default_factory=EventOptions)

    def paths(self) -> dict[str, Path]:
        """Return the paths of the requested files.

        Returns:
            Name of the attribute -> path, without those that are None.
        """
        return {kind: Path(path) for kind in SUFFIXES if (path := vars(self)[kind]) is not None}

    def check(self, overwrite: bool) -> None:
        """Check that all requested files can be written; to be called before the work.

        Args:
            overwrite: whether existing files may be replaced.

        Raises:
            OutputError: no file is requested, a file has another suffix, exists or has no parent folder, or two have
                the same path.
            InputError: `mask_threshold` is not valid.
        """
        paths = self.paths()
        if not paths:
            raise OutputError("found no file to write, expected an overlay (.mp4), a contact sheet, a timeline...")
        parse_mask_threshold(self.mask_threshold)
        if "events" in paths:
            choose_format(paths["events"], self.event_format)
        elif self.event_format is not None:
            raise OutputError(f"found the format {self.event_format!r} of events, and no file for them. Name one.")
        for kind, path in paths.items():
            check_output(path, overwrite, SUFFIXES[kind])
        if len({path.absolute() for path in paths.values()}) < len(paths):
            raise OutputError("two results have the same name; give each a name of its own.")

    @contextmanager
    def open_writers(self, info: VideoInfo, tracker: EventTracker | None = None) -> Iterator[list[FrameWriter]]:
        """Open a writer for each requested file; at the end of the block all files appear, or none after an error.

        Args:
            info: facts of the video.
            tracker: tracker of the events, where these are requested.

        Yields:
            The writers, each of which the caller closes with `close`.

        Raises:
            OutputError: a file cannot be written.
        """
        with ExitStack() as stack:
            drafts = {kind: stack.enter_context(atomic_write(path)) for kind, path in self.paths().items()}
            yield [stack.enter_context(self._make_writer(kind, draft, info, tracker)) for kind, draft in drafts.items()]

    def _make_writer(self, kind: str, path: Path, info: VideoInfo, tracker: EventTracker | None) -> FrameWriter:
        if kind == "overlay":
            return OverlayWriter(path, info, self.opacity)
        if kind == "contact_sheet":
            return ContactSheetWriter(path, info, self.opacity)
        if kind == "frame_records":
            options = None if self.events is None else self.event_options
            return FrameRecordWriter(path, info, self.mask_threshold, options)
        if kind == "events":
            assert tracker is not None
            return EventWriter(path, info, tracker, self.event_format)
        return TimelineWriter(path, info) if kind == "timeline" else VideoMapWriter(path, info)


@dataclass(frozen=True)
class VideoSummary:
    """Summary of a located video. It shows its player, a timeline and its events in a notebook.

    Attributes:
        num_frames: number of frames.
        seconds: time in seconds at which the last frame is no longer shown.
        num_absent: number of frames that the source is not in; None: no threshold was fitted.
        notes: sentences for a reader of the files.
        presence: presence of each second, with its probability.
        events: events, where these were written; None: they were not.
        files: kind -> path of the files that were written.
    """

    num_frames: int
    seconds: float
    num_absent: int | None
    notes: tuple[str, ...]
    presence: tuple[SecondPresence, ...] = ()
    events: VideoEvents | None = None
    files: Mapping[str, Path] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        return video_to_html(self.files, self.seconds, self.presence, self.events, self.notes)


def prefetch(frames: Generator[FrameResult], count: int) -> Generator[FrameResult]:
    """Yield the frames of a generator that a thread runs ahead of the caller.

    When it is closed, the thread has ended and the generator is closed too. An error in the thread is raised here.

    Args:
        frames: generator of frames; it must not yield None.
        count: number of frames that the thread may be ahead, at least 1.

    Yields:
        The frames, in order.
    """
    executor = ThreadPoolExecutor(1)
    try:
        pending = deque(executor.submit(next, frames, None) for _ in range(count))
        while (frame := pending.popleft().result()) is not None:
            pending.append(executor.submit(next, frames, None))
            yield frame
    finally:
        executor.shutdown(cancel_futures=True)
        frames.close()
