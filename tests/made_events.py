"""Events that are made by hand, for tests of what is done with them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from soundspot.config.frontend import InputSpec
from soundspot.config.presence_calibration import PresenceCalibration
from soundspot.config.upsampling import Upsampling
from soundspot.inference.batch_localizer import BatchLocalizer
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


RATE = 8000
TONES = ((100, 600), (700, 1600), (1700, 3900))  # lowest and highest frequency in Hz of each


def tones(seconds: float, *spans: tuple[float, float, int]) -> np.ndarray:
    """A sound of `seconds` in which chord k sounds from a start to an end, for each (start, end, k)."""
    times = np.arange(round(seconds * RATE)) / RATE
    waveform = np.zeros(len(times))
    for start, end, tone in spans:
        low, high = TONES[tone]
        chord = sum(np.sin(2 * np.pi * frequency * times + frequency) for frequency in range(low, high, 40))
        waveform += 0.02 * chord * ((times >= start) & (times < end))
    return waveform.astype(np.float32)


def features(*cells: tuple[int, int] | None) -> torch.Tensor:
    """The encoded frame of 8 x 6 cells in which chord k has its source at (column, row), or none."""
    encoded = torch.full((1, len(TONES), 6, 8), -0.1)
    for tone, cell in enumerate(cells):
        if cell is not None:
            encoded[0, tone, cell[1], cell[0]] = 0.9
    return encoded


class ToneLocalizer(BatchLocalizer):
    """A localizer whose encoded sound is how much it has of each of three chords; encoded frames are given."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.method = SimpleNamespace(front_end=InputSpec(), pool_audio=lambda encoded: encoded.flatten(1))

    def encode_audio(self, audio: Sequence) -> Tensor:
        rows = []
        for clip in audio:
            spectrum = np.abs(np.fft.rfft(clip.waveform.numpy()))
            frequencies = np.fft.rfftfreq(len(clip.waveform), 1 / clip.rate)
            rows.append([spectrum[(frequencies >= low) & (frequencies < high)].mean() for low, high in TONES])
        return torch.nn.functional.normalize(torch.tensor(np.array(rows), dtype=torch.float32), dim=1)

    def maps(self, encoded_images: Tensor, encoded_audio: Tensor) -> Tensor:
        return torch.einsum("bchw,bc->bhw", encoded_images, encoded_audio)
