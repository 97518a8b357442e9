"""Events of a video: from the sound when sources begin and end, from the maps of these sounds where they are.

A map of a window of seconds begins early, ends late, and mixes neighbors. So the sound is divided at its change points,
each segment is encoded by itself, and segments are linked to sources (`sources`). A source is located in the frames of
its time with the sound of its purest segment, relative to the other sounds of that minute (`sound_maps`).
"""

import math
from collections import deque
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float32
from PIL import Image
from torch import Tensor

from soundspot.config.upsampling import Upsampling
from soundspot.data.media.audio import pad_to_window
from soundspot.data.media.rle import encode_mask
from soundspot.inference.batch_localizer import BatchLocalizer, Features
from soundspot.inference.connected_components import BoxXYXY
from soundspot.inference.contours.trace import ContourTracer
from soundspot.inference.events.change_points import BIN_SECONDS, band_levels, find_change_points
from soundspot.inference.events.event import Event, VideoFacts, default_label, make_table
from soundspot.inference.events.identities import Tracklet, describe_region, link_identities
from soundspot.inference.events.options import EventOptions, ScoreRule
from soundspot.inference.events.regions import RELATIVE_REGION_THRESHOLD, Region, find_regions
from soundspot.inference.events.sound_maps import SoundMaps
from soundspot.inference.events.sources import CONTEXT_BINS, Segment, SoundSource, is_silent, link_segments
from soundspot.inference.events.video_events import VideoEvents
from soundspot.inference.result import LocalizationMap
from soundspot.inference.video.writer import FrameResult, VideoInfo
from soundspot.types import Audio

BLOCK_SECONDS = 60.0  # that are looked at together
MIN_BLOCK_SECONDS = 30.0  # that are done at once, where the sound changes
MAPS_PER_SECOND = 5.0  # key frames, which sources are located in; others have the region of the nearest
THUMBNAIL_SIDE = 96  # pixels of the longer side of frames in memory, for colors


@dataclass(frozen=True, eq=False)
class _FrameTime:
    number: int
    time: float


@dataclass(frozen=True, eq=False)
class _KeyFrame:
    time: float
    features: Features
    map: LocalizationMap  # without image and contours
    thumbnail: Image.Image | None
    jpeg: bytes  # the frame, where contours are made


class EventTracker:
    """Collect the events of a video frame by frame, in the memory of a minute.

    Args:
        options: options of events.
        localizer: localizer of the frames.
        rate: sample rate of the audio in Hz.
        contour: segmenter of the contours of events (see `Localizer.load`); None: no contours.

    Attributes:
        options: options of events.
    """

    def __init__(self, options: EventOptions, localizer: BatchLocalizer, rate: int, contour: str | None = None) -> None:
        self.options, self._localizer, self._rate, self._contour = options, localizer, rate, contour
        self._rule: ScoreRule | None = None
        self._audio: deque[Float32[np.ndarray, " n"]] = deque()
        self._origin = 0  # bin at which the audio in memory begins
        self._position = 0  # bin from which on nothing was looked at
        self._loudest = -math.inf  # level of the sound so far
        self._frames: deque[_FrameTime] = deque()
        self._keys: deque[_KeyFrame] = deque()
        self._active: list[SoundSource] = []
        self._sounds: list[Tensor] = []  # of the active sources, in their order
        self._tracklets: list[Tracklet] = []
        self._num_frames = 0
        self._size = 1, 1

    def add_audio(self, samples: Float32[np.ndarray, " n"]) -> None:
        """Add the next samples of the sound, which may run ahead of the frames.

        Args:
            samples: (n,) mono samples.
        """
        self._audio.append(samples)

    def add(self, frame: FrameResult, features: Features | None) -> None:
        """Add the next frame.

        Args:
            frame: result of the frame, later than the previous frame.
            features: the encoded image, one row; None: it was not encoded, and its map is interpolated.

        Raises:
            InputError: the model has no threshold and none is given, or an option needs what the model does not have.
        """
        self._rule = self._rule or ScoreRule(self.options, frame.map)
        self._size = frame.map.size
        if features is not None and (not self._keys or frame.time - self._keys[-1].time > 1 / MAPS_PER_SECOND - 0.01):
            still = replace(frame.map, image=None, contours=(), is_silent=False, upsampling=Upsampling())
            thumbnail = _make_thumbnail(frame.map.image)
            jpeg = b"" if self._contour is None else _to_jpeg(frame.map.image)
            self._keys.append(_KeyFrame(frame.time, features, still, thumbnail, jpeg))
        self._frames.append(_FrameTime(self._num_frames, frame.time))
        self._num_frames += 1
        if frame.time - self._position * BIN_SECONDS >= BLOCK_SECONDS:
            self._analyze(frame.time)

    def finish(self, info: VideoInfo, end_time: float) -> VideoEvents:
        """End the events in progress, and link the events of each source.

        Args:
            info: facts of the video.
            end_time: time in seconds at which its last frame is no longer shown.

        Returns:
            The events of the video.
        """
        self._analyze(end_time, is_last=True)
        for source in self._active:
            self._close(source, end_time if end_time - source.end <= BIN_SECONDS else source.end)
        is_calibrated = self._rule is not None and self._rule.is_calibrated
        video = VideoFacts(
            info.path, self._size, info.frame_rate, info.sample_rate, end_time, info.title, is_calibrated
        )
        tracklets = sorted(self._tracklets, key=lambda tracklet: tracklet.start)
        table = make_table(
            [video],
            [
                Event(identity, default_label(identity), draft.start, draft.end, draft.confidence, draft.track, video)
                for draft, identity in zip(tracklets, link_identities(tracklets), strict=True)
            ],
        )
        return VideoEvents(table.videos, table.events)

    def _analyze(self, until: float, is_last: bool = False) -> None:
        """Follow sources up to the last change point before a time, and locate them in the frames of that time."""
        waveform = np.concatenate([*self._audio]) if self._audio else np.zeros(0, np.float32)
        missing = round((until - self._origin * BIN_SECONDS) * self._rate) - len(waveform)
        if missing > 0 and not is_last:  # the sound ended before: silence goes on, so that blocks end
            waveform = np.pad(waveform, (0, missing))
        origin, start = self._origin, self._position - self._origin
        levels = band_levels(waveform, self._rate)[: max(0, round(until / BIN_SECONDS) - origin)]
        stop = len(levels)
        if stop <= start or not self._keys:
            return
        points = [start + point for point in find_change_points(levels[start:])]
        if not is_last:
            late = [point for point in points if (point - start) * BIN_SECONDS >= MIN_BLOCK_SECONDS]
            stop = late[-1] if late else stop
            points = [point for point in points if point < stop]
        edges = [start, *points, stop]
        segments = [Segment(max(0, start - CONTEXT_BINS), start) if start else Segment(0, 1)]
        segments += [Segment(first, last) for first, last in pairwise(edges)]
        self._loudest = max(self._loudest, float(levels.max()))
        audible = [n for n, segment in enumerate(segments) if n and not is_silent(levels, segment, self._loudest)]
        sounds = self._sounds + self._encode(waveform, [segments[index] for index in audible])
        for row, source in enumerate(self._active):
            source.row = row
        ended, self._active = self._link(levels, segments, audible, sounds) if sounds else (self._active, [])
        for source in ended:
            self._close(source, source.end)
        self._sounds = [sounds[source.row] for source in self._active]
        self._drop(waveform, origin + stop)

    def _encode(self, waveform: Float32[np.ndarray, " n"], segments: list[Segment]) -> list[Tensor]:
        """Encode segments of the sound, each by itself; of a longer one than the window its middle."""
        scale = BIN_SECONDS * self._rate
        samples = [waveform[round(segment.first * scale) : round(segment.stop * scale)] for segment in segments]
        spec = self._localizer.front_end.audio
        audio = [pad_to_window(Audio(torch.from_numpy(piece.copy()), self._rate), spec) for piece in samples]
        return [*self._localizer.encode_audio(audio)] if audio else []

    def _link(
        self, levels: np.ndarray, segments: list[Segment], audible: list[int], sounds: list[Tensor]
    ) -> tuple[list[SoundSource], list[SoundSource]]:
        """Link segments to sources, and add to each source its regions in the frames of these segments."""
        keys = [*self._keys]
        times = torch.tensor([key.time for key in keys], dtype=torch.float64)
        maps = SoundMaps(self._localizer, [key.features for key in keys], sounds, self._size)
        origin = self._origin * BIN_SECONDS

        def is_same_position(first: int, second: int, segment: Segment) -> bool:
            begin = origin + segment.first * BIN_SECONDS
            end = min(origin + segment.stop * BIN_SECONDS, begin + CONTEXT_BINS * BIN_SECONDS)
            return maps.is_same_position(first, second, (times >= begin - CONTEXT_BINS * BIN_SECONDS) & (times < end))

        rows = {index: len(self._sounds) + number for number, index in enumerate(audible)}
        ended, active = link_segments(
            levels,
            segments,
            rows,
            self._active,
            origin,
            self.options.min_duration_off,
            maps.similarity,
            is_same_position,
        )
        start, end = (origin + edge * BIN_SECONDS for edge in (segments[1].first, segments[-1].stop))
        for source in ended:
            self._locate(source, maps, max(start, source.start), min(end, source.end))
        for source in active:  # in a pause too, which it may outlast
            self._locate(source, maps, max(start, source.start), end)
        return ended, active

    def _locate(self, source: SoundSource, maps: SoundMaps, start: float, end: float) -> None:
        """Add to a source its regions, and their contours, in the frames from one second to another."""
        frames = [frame for frame in self._frames if start <= frame.time < end]
        if not frames:
            return
        key_times, times = (np.array([frame.time for frame in group]) for group in (self._keys, frames))
        nearest = np.abs(times[:, None] - key_times).argmin(axis=1)
        chosen = torch.zeros(len(key_times), dtype=torch.bool)
        chosen[nearest] = True
        tracer = self._contour and ContourTracer(self._contour, True, str(self._localizer.device))
        regions: dict[int, tuple[Region, str]] = {}
        for index, scores in zip(chosen.nonzero()[:, 0].tolist(), maps.relative(source.row, chosen), strict=True):
            key = self._keys[index]
            result = replace(key.map, scores=scores)
            for region in find_regions(result, -math.inf, RELATIVE_REGION_THRESHOLD)[:1]:
                mask = ""
                if tracer and key.jpeg:
                    image = Image.open(BytesIO(key.jpeg))
                    (contour,) = tracer.trace_regions(replace(result, image=image), [region])
                    mask = encode_mask(contour.mask)["counts"]
                score = float(maps.maps[source.row, index].flatten()[scores.argmax()])
                regions[index] = replace(region, score=score), mask
                source.track.add_appearance(_describe(key, region.box, self._size))
        for frame, index in zip(frames, nearest.tolist(), strict=True):
            if index in regions:
                source.track.add(frame.number, frame.time, *regions[index])

    def _drop(self, waveform: Float32[np.ndarray, " n"], position: int) -> None:
        """Drop what lies before a bin, but for the context of the levels."""
        origin = max(self._origin, position - CONTEXT_BINS)
        self._audio = deque([waveform[round((origin - self._origin) * BIN_SECONDS * self._rate) :].copy()])
        self._origin, self._position = origin, position
        while self._frames and self._frames[0].time < position * BIN_SECONDS:
            self._frames.popleft()
        while len(self._keys) > 1 and self._keys[1].time < origin * BIN_SECONDS:
            self._keys.popleft()

    def _close(self, source: SoundSource, end: float) -> None:
        if self._rule is not None:
            self._tracklets += source.track.divide(source.start, end, self.options, self._rule)


def _to_jpeg(image: Image.Image | None) -> bytes:
    buffer = BytesIO()
    if image is not None:
        image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def _make_thumbnail(image: Image.Image | None) -> Image.Image | None:
    if image is None:
        return None
    scale = min(1.0, THUMBNAIL_SIDE / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.NEAREST)


def _describe(key: _KeyFrame, box: BoxXYXY, size: tuple[int, int]) -> np.ndarray:
    """Return the colors of a region of a key frame, whose box is in pixels of a frame of (height, width)."""
    if key.thumbnail is None:
        return describe_region(None, box)
    scale_x, scale_y = key.thumbnail.width / size[1], key.thumbnail.height / size[0]
    x0, y0, x1, y1 = box
    return describe_region(key.thumbnail, (x0 * scale_x, y0 * scale_y, x1 * scale_x, y1 * scale_y))
