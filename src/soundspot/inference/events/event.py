"""Events of a video: when a source sounds, from start to end, and where it is in each frame of that time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import overload

import numpy as np
from jaxtyping import Float32, Float64, Int32


@dataclass(frozen=True)
class VideoFacts:
    """Facts of the video that events belong to.

    Attributes:
        path: path of the video file.
        size: (height, width) of its frames in pixels.
        frame_rate: frames per second, as the header has it.
        sample_rate: sample rate of its audio in Hz.
        seconds: time in seconds at which the last frame is no longer shown.
        model: name of the model that located its sound.
        is_calibrated: whether confidences are probabilities of presence; False: they are raw peaks of the maps.
    """

    path: Path
    size: tuple[int, int]
    frame_rate: float
    sample_rate: int
    seconds: float
    model: str = ""
    is_calibrated: bool = False


@dataclass(frozen=True, eq=False)
class Track:
    """Positions of one source in the frames of an event, n frames in order; frames without a region are left out.

    Attributes:
        frames: (n,) number of each frame in the video, from 0.
        times: (n,) time of each frame in seconds from the first frame.
        boxes: (n, 4) box of the source's region, x0, y0, x1, y1 in pixels, the far edges exclusive.
        peaks: (n, 2) pixel (x, y) of the highest score of the region.
        confidences: (n,) probability of presence by that score, or the raw score (`VideoFacts.is_calibrated`).
        masks: n contours of the object at the size of the frame, as the text of COCO's run-length encoding, an empty
            text where there is none; empty where contours were not asked for.
    """

    frames: Int32[np.ndarray, " n"]
    times: Float64[np.ndarray, " n"]
    boxes: Int32[np.ndarray, "n 4"]
    peaks: Int32[np.ndarray, "n 2"]
    confidences: Float32[np.ndarray, " n"]
    masks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def best(self) -> int:
        """Index of the frame of the highest confidence, the first of equal ones."""
        return int(self.confidences.argmax())


@dataclass(frozen=True, eq=False)
class Event:
    """Event of one source, which sounds from a start to an end.

    Attributes:
        identity: number of the source in its video, from 1; events of one source that pauses have one identity.
        label: text that exports write; `source 1` for identity 1, until it is replaced (`dataclasses.replace`).
        start, end: seconds from the first frame of the video.
        confidence: mean of the track's confidences.
        track: positions of the source in the frames of the event, at least one.
        video: facts of the video.
    """

    identity: int
    label: str
    start: float
    end: float
    confidence: float
    track: Track
    video: VideoFacts

    @property
    def category(self) -> str:
        """Label where it was replaced by another text; `source` for the number that an identity has by default."""
        return "source" if self.label == default_label(self.identity) else self.label

    def __str__(self) -> str:
        """Format as `source 2 sounds from 3.4 to 5.1 s at (120, 80)`."""
        x, y = self.track.peaks[self.track.best].tolist()
        return f"{self.label} sounds from {self.start:.1f} to {self.end:.1f} s at ({x}, {y})"


@dataclass(frozen=True, eq=False)
class EventTable:
    """Events of one or several videos, the input of all exports.

    Attributes:
        videos: facts of each video, also of those without events.
        events: events by video, in the order of `videos`, those of a video by start, end and label.
    """

    videos: tuple[VideoFacts, ...]
    events: tuple[Event, ...]

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Event, ...]: ...

    def __getitem__(self, index: int | slice) -> Event | tuple[Event, ...]:
        return self.events[index]


def default_label(identity: int) -> str:
    """Return the label of an identity without a name.

    Args:
        identity: number of the source, from 1.

    Returns:
        Text such as `source 1`.
    """
    return f"source {identity}"


def make_table(videos: Iterable[VideoFacts], events: Iterable[Event]) -> EventTable:
    """Make a table of events in the order that exports need, since hardly any reader sorts.

    Args:
        videos: facts of each video.
        events: events of these videos, in any order.

    Returns:
        The table.
    """
    by_video: dict[VideoFacts, list[Event]] = {video: [] for video in videos}
    for event in events:
        by_video[event.video].append(event)
    ordered = (sorted(group, key=lambda event: (event.start, event.end, event.label)) for group in by_video.values())
    return EventTable((*by_video,), (*chain.from_iterable(ordered),))
