"""Events that are made by hand, for tests of what is done with them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from soundspot.config.presence_calibration import PresenceCalibration
from soundspot.config.upsampling import Upsampling
from soundspot.inference.events.event import Event, EventTable, Track, VideoFacts, default_label, make_table
from soundspot.inference.result import LocalizationMap
from soundspot.inference.video.writer import FrameResult, VideoInfo

VIDEO = VideoFacts(Path("clip.mp4"), (48, 64), 10.0, 16000, 8.0, "starter", True)
INFO = VideoInfo(Path("clip.mp4"), "starter", 0.5, 10.0, 1, 16000, "mono")


def event(
    start: float, end: float, label: str = "", identity: int = 1, confidence: float = 0.9, video: VideoFacts = VIDEO
) -> Event:
    """An event with a box that moves a pixel to the right in each tenth of a second."""
    n = max(1, round(10 * (end - start)))
    frames = round(10 * start) + np.arange(n, dtype=np.int32)
    boxes = np.stack([np.arange(n), np.full(n, 2), np.arange(n) + 8, np.full(n, 12)], 1).astype(np.int32)
    track = Track(frames, frames / 10, boxes, boxes[:, :2] + 4, np.full(n, confidence, np.float32))
    return Event(identity, label or default_label(identity), float(start), float(end), confidence, track, video)


def table(*events: Event, videos: Sequence[VideoFacts] = (VIDEO,)) -> EventTable:
    return make_table(videos, events)


def other_video(name: str = "other clip.mp4") -> VideoFacts:
    return replace(VIDEO, path=Path(name))


def frame(
    time: float,
    sources: dict[tuple[int, int], float],
    threshold: float | None = 0.5,
    calibration: PresenceCalibration | None = None,
    image: Image.Image | None = None,
) -> FrameResult:
    """A frame of 64 x 48 pixels whose map of 8 x 6 cells has peaks at (column, row)."""
    scores = torch.zeros(6, 8)
    for (x, y), score in sources.items():
        scores[y, x] = score
    scores[5, 7] -= 0.01  # never constant
    result = LocalizationMap(scores, (48, 64), Upsampling("nearest"), image=image, threshold=threshold)
    return FrameResult(time, replace(result, calibration=calibration))
