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

from whence.errors import OutputError
from whence.inference.frames import FrameFile, MapFile
from whence.inference.overlay import OverlayFile
from whence.inference.sheet import SheetFile
from whence.inference.soundmap import SCORES, SUMMARY, Rule, parse_rule
from whence.inference.timeline import TimelineFile
from whence.inference.writer import Writer
from whence.output import check_output, whole_file

if TYPE_CHECKING:
    from whence.inference.video import LocatedVideo, Moment

Seen = Callable[[float, float], None]
Named = str | Path | None

VIDEOS = (".mp4", ".m4v", ".mov", ".mkv")
SHEETS = (".jpg", ".jpeg", ".png", ".webp")
AHEAD = 4  # moments that are located while others are drawn


@dataclass(frozen=True)
class Outputs:
    """What is to be written, and how; as `LocatedVideo.save` has it."""

    overlay: Named = None
    sheet: Named = None
    timeline: Named = None
    frames: Named = None
    maps: Named = None
    rule: Rule = 0.5
    opacity: float = 0.6

    def named(self) -> dict[str, Path]:
        """Kind -> path of those that are asked for."""
        kinds = ("overlay", "sheet", "timeline", "frames", "maps")
        return {kind: Path(path) for kind in kinds if (path := getattr(self, kind)) is not None}

    def check(self, overwrite: bool) -> None:
        """Raise OutputError where one cannot be written, or two are one file."""
        named = self.named()
        if not named:
            raise OutputError("nothing is asked for; name an overlay (.mp4), a sheet, a timeline, frames or maps.")
        parse_rule(self.rule)
        kinds = {"overlay": VIDEOS, "sheet": SHEETS, "timeline": SHEETS, "frames": SUMMARY, "maps": SCORES}
        for kind, path in named.items():
            check_output(path, overwrite, kinds[kind])
        if len({path.absolute() for path in named.values()}) < len(named):
            raise OutputError("two results have the same name; give each a name of its own.")


@dataclass(frozen=True)
class Summary:
    """What came of it: how many pictures in how many seconds, in how many of them nothing that is heard is seen (None:
    no threshold was fitted), and what a reader should know."""

    pictures: int
    seconds: float
    absent: int | None
    notes: tuple[str, ...]


def record(video: "LocatedVideo", outputs: Outputs, overwrite: bool, seen: Seen) -> Summary:
    """Locate a video once and write what is asked for; see `LocatedVideo.save`."""
    count = absent = 0
    last, known = 0.0, False
    outputs.check(overwrite)
    named = outputs.named()
    read = {"video": video.path} | ({"sound": Path(video.sound)} if isinstance(video.sound, str | Path) else {})
    for path, (what, source) in product(named.values(), read.items()):
        if path.exists() and source.exists() and path.samefile(source):
            raise OutputError(f"{path} is the {what} itself. Give the result another name.")

    def alive() -> None:
        seen(last, max(video.seconds, last))

    with ExitStack() as stack:
        drafts = {kind: stack.enter_context(whole_file(path)) for kind, path in named.items()}
        writers = [stack.enter_context(writer) for writer in _writers(video, drafts, outputs, alive)]
        for moment in stack.enter_context(Ahead(video, AHEAD)):
            for writer in writers:
                writer.add(moment)
            count, last, found = count + 1, moment.time, moment.map.present
            absent, known = absent + (found is False), known or found is not None
            alive()
        for writer in writers:
            writer.close(video.notes)
        seen(video.end, video.end)
    return Summary(count, video.end, absent if known else None, video.notes)


def _writers(
    video: "LocatedVideo", drafts: dict[str, Path], outputs: Outputs, alive: Callable[[], None]
) -> Iterator[Writer]:
    if "overlay" in drafts:
        yield OverlayFile(drafts["overlay"], video, outputs.opacity)
    if "sheet" in drafts:
        yield SheetFile(drafts["sheet"], outputs.opacity)
    if "timeline" in drafts:
        yield TimelineFile(drafts["timeline"], video, alive)
    if "frames" in drafts:
        yield FrameFile(drafts["frames"], video, outputs.rule)
    if "maps" in drafts:
        yield MapFile(drafts["maps"], video)


class Ahead:
    """What an iterable gives, worked out by a thread of its own up to `count` items ahead; use it in a `with` block.

    At the end of the block the thread has ended, wherever it was. What it raises is raised here.
    """

    def __init__(self, items: "LocatedVideo", count: int) -> None:
        self._queue: queue.Queue[tuple[str, object]] = queue.Queue(count)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(items,), daemon=True)

    def __enter__(self) -> "Ahead":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        while self._thread.is_alive():
            with suppress(queue.Empty):
                self._queue.get(timeout=0.05)

    def __iter__(self) -> "Iterator[Moment]":
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
