"""Two frames in a row of a video, and a folder of optical flow from a folder of videos. PyAV decodes."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from whence.data.files import refuse_unreadable
from whence.data.flow import PARTS, FlowFolder, opencv, optical_flow
from whence.errors import InputError, RecipeError

VIDEOS = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv")
AV_TIME = 1_000_000  # FFmpeg's own unit of time
EXPECTED = "a video of two frames or more"


@dataclass
class Written:
    """What became of the videos of a folder.

    Attributes:
        written, skipped: how many were done now, and were there before.
        failed: the file of each that was not done, and why.
    """

    written: int = 0
    skipped: int = 0
    failed: dict[Path, str] = field(default_factory=dict)

    def causes(self) -> Counter[str]:
        """How many failed for each reason, without the paths in it."""
        return Counter(reason.partition(": ")[2] or reason for reason in self.failed.values())


def two_frames(path: str | Path, at: float | int = 0.5) -> tuple[Image.Image, Image.Image]:
    """The frame at a share of a video's length, and the one after it: RGB, as stored (not turned upright).

    Args:
        at: 0.5 is the middle, which is the frame that pictures of the field's layouts are; of what is the last frame,
            the one before it.

    Raises:
        InputError: missing, empty, no video, broken, or of a single frame. RecipeError: `at` is no share.
    """
    import av

    if not 0 <= at <= 1:
        raise RecipeError(f"at: found {at}, expected a share of the video's length, from 0 to 1")
    path = Path(path)
    refuse_unreadable(path, EXPECTED)
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path}: found no pictures in it, expected {EXPECTED}. Name another file.")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            seconds = (container.duration or 0) / av.time_base
            target = (container.start_time or 0) / av.time_base + seconds * at if seconds else math.inf
            pair = (
                _around(container.decode(stream), target) if target == math.inf else _sought(container, stream, target)
            )
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: found a broken file ({reason}), expected {EXPECTED}. Fetch it again.") from error
    if len(pair) < 2:
        raise InputError(f"{path}: found {len(pair)} frames, expected {EXPECTED}. Fetch it again.")
    before, after = (frame.to_image() for frame in pair)
    return before, after


def _sought(container: Any, stream: Any, target: float) -> list[Any]:
    """Both frames around a moment, from the key frame before it on; from the first one where that does not do."""
    for start in (target, 0.0):
        container.seek(int(start * AV_TIME), backward=True)
        pair = _around(container.decode(stream), target)
        if len(pair) == 2:
            break
    return pair


def _around(frames: Iterable[Any], target: float) -> list[Any]:
    """The last frame up to a moment and the one after it; the last two where there is none after it."""
    pair: list[Any] = []
    for frame in frames:
        pair = [*pair[-1:], frame]
        if len(pair) == 2 and frame.time is not None and frame.time > target:
            break
    return pair


def videos_in(folder: str | Path) -> list[Path]:
    """Every video below a folder; InputError where there is none, or two share a name."""
    root = Path(folder)
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in VIDEOS and path.is_file())
    twice = [name for name, n in Counter(path.stem for path in found).items() if n > 1]
    if not found:
        raise InputError(f"{root}: found no videos, expected files ID{VIDEOS[0]} or the like. Check the path.")
    if twice:
        raise InputError(f"{root}: found {len(twice)} names twice (first: {twice[0]}), expected one video for each id.")
    return found


def write_flow(
    videos: Iterable[Path], output: str | Path, how: str = "farneback", at: float | int = 0.5
) -> Iterator[Written]:
    """Writes the flow of each video into a folder, `flow_x/ID.png` and `flow_y/ID.png`; tells after each how it stands.

    What is there is skipped, so a stopped run goes on; a video that cannot be used is told and the others go on.

    Args:
        videos: files named by the clips' ids. how, at: as `optical_flow` and `two_frames` have them.

    Raises:
        RecipeError: OpenCV is not there.
    """
    opencv()
    root, state = Path(output), Written()
    for part in PARTS:
        (root / part).mkdir(parents=True, exist_ok=True)
    folder = FlowFolder(root)
    for video in videos:
        if folder.files(video.stem):
            state.skipped += 1
        else:
            try:
                folder.write(video.stem, optical_flow(*two_frames(video, at), how))
                state.written += 1
            except InputError as error:
                state.failed[video] = str(error)
        yield state
