"""A located video as files: the overlay with its sound, a sheet, a timeline, frames as JSON, maps as arrays.

One run writes all of them. Each grows in a draft beside its place, in the memory of a few pictures, and takes its name
when everything is whole.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from soundspot.errors import OutputError
from soundspot.inference.result import SCORE_SUFFIXES, SUMMARY_SUFFIXES, MaskThreshold, parse_mask_threshold
from soundspot.inference.video.contact_sheet import ContactSheetWriter
from soundspot.inference.video.frame_records import FrameRecordWriter, VideoMapWriter
from soundspot.inference.video.overlay import OverlayWriter
from soundspot.inference.video.timeline import TimelineWriter
from soundspot.inference.video.writer import FrameWriter
from soundspot.utils.atomic_io import atomic_write, check_output

if TYPE_CHECKING:
    from soundspot.inference.video.predictor import FrameResult, LocatedVideo

ProgressCallback = Callable[[float, float], None]
Named = str | Path | None

VIDEOS = (".mp4", ".m4v", ".mov", ".mkv")
SHEETS = (".jpg", ".jpeg", ".png", ".webp")
PREFETCH_FRAMES = 4  # moments that are located while others are drawn


@dataclass(frozen=True)
class VideoOutputs:
    """What is to be written, and how; as `LocatedVideo.save` has it."""

    overlay: Named = None
    contact_sheet: Named = None
    timeline: Named = None
    frame_records: Named = None
    maps: Named = None
    mask_threshold: MaskThreshold = 0.5
    opacity: float = 0.6

    def paths(self) -> dict[str, Path]:
        """Kind -> path of those that are asked for."""
        kinds = ("overlay", "sheet", "timeline", "frames", "maps")
        return {kind: Path(path) for kind in kinds if (path := getattr(self, kind)) is not None}

    def check(self, overwrite: bool) -> None:
        """Raise OutputError where one cannot be written, or two are one file."""
        named = self.paths()
        if not named:
            raise OutputError("nothing is asked for; name an overlay (.mp4), a sheet, a timeline, frames or maps.")
        parse_mask_threshold(self.mask_threshold)
        kinds = {
            "overlay": VIDEOS,
            "sheet": SHEETS,
            "timeline": SHEETS,
            "frames": SUMMARY_SUFFIXES,
            "maps": SCORE_SUFFIXES,
        }
        for kind, path in named.items():
            check_output(path, overwrite, kinds[kind])
        if len({path.absolute() for path in named.values()}) < len(named):
            raise OutputError("two results have the same name; give each a name of its own.")


@dataclass(frozen=True)
class VideoSummary:
    """What came of it: how many pictures in how many seconds, in how many of them nothing that is heard is seen (None:
    no threshold was fitted), and what a reader should know."""

    num_frames: int
    seconds: float
    num_absent: int | None
    notes: tuple[str, ...]


def save_video(video: "LocatedVideo", outputs: VideoOutputs, overwrite: bool, seen: ProgressCallback) -> VideoSummary:
    """Locate a video once and write what is asked for; see `LocatedVideo.save`."""
    count = absent = 0
    last, known = 0.0, False
    outputs.check(overwrite)
    named = outputs.paths()
    read = {"video": video.path} | ({"sound": Path(video.audio)} if isinstance(video.audio, str | Path) else {})
    for path, (what, source) in product(named.values(), read.items()):
        if path.exists() and source.exists() and path.samefile(source):
            raise OutputError(f"{path} is the {what} itself. Give the result another name.")

    def alive() -> None:
        seen(last, max(video.seconds, last))

    with ExitStack() as stack:
        drafts = {kind: stack.enter_context(atomic_write(path)) for kind, path in named.items()}
        writers = [stack.enter_context(writer) for writer in _writers(video, drafts, outputs, alive)]
        for moment in stack.enter_context(Prefetcher(video, PREFETCH_FRAMES)):
            for writer in writers:
                writer.add(moment)
            count, last, found = count + 1, moment.time, moment.map.present
            absent, known = absent + (found is False), known or found is not None
            alive()
        for writer in writers:
            writer.close(video.notes)
        seen(video.end_time, video.end_time)
    return VideoSummary(count, video.end_time, absent if known else None, video.notes)


def _writers(
    video: "LocatedVideo", drafts: dict[str, Path], outputs: VideoOutputs, alive: Callable[[], None]
) -> Iterator[FrameWriter]:
    if "overlay" in drafts:
        yield OverlayWriter(drafts["overlay"], video, outputs.opacity)
    if "sheet" in drafts:
        yield ContactSheetWriter(drafts["sheet"], outputs.opacity)
    if "timeline" in drafts:
        yield TimelineWriter(drafts["timeline"], video, alive)
    if "frames" in drafts:
        yield FrameRecordWriter(drafts["frames"], video, outputs.mask_threshold)
    if "maps" in drafts:
        yield VideoMapWriter(drafts["maps"], video)


class Prefetcher:
    """What an iterable gives, worked out by a thread of its own up to `count` items ahead; use it in a `with` block.

    At the end of the block the thread has ended, wherever it was. What it raises is raised here.
    """

    def __init__(self, items: "LocatedVideo", count: int) -> None:
        self._queue: queue.Queue[tuple[str, object]] = queue.Queue(count)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(items,), daemon=True)

    def __enter__(self) -> "Prefetcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        while self._thread.is_alive():
            with suppress(queue.Empty):
                self._queue.get(timeout=0.05)

    def __iter__(self) -> "Iterator[FrameResult]":
        while True:
            kind, item = self._queue.get()
            if kind == "end":
                return
            if kind == "error":
                raise item  # type: ignore[misc]
            yield item  # type: ignore[misc]

    def _work(self, items: "LocatedVideo") -> None:
        try:
            for item in items:
                self._queue.put(("item", item))
                if self._stopped.is_set():
                    return
            self._queue.put(("end", None))
        except BaseException as error:
            self._queue.put(("error", error))
