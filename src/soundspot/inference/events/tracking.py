"""Events from frame results, one by one: hysteresis in time, boxes linked from frame to frame, identities over pauses.

Onset, offset and the two shortest durations are what pyannote's voice activity detection calls them.
"""

import math
from array import array
from dataclasses import dataclass, field

import numpy as np

from soundspot.data.media.rle import encode_mask
from soundspot.errors import InputError
from soundspot.inference.connected_components import BoxXYXY
from soundspot.inference.events.event import Event, Track, VideoFacts, default_label, make_table
from soundspot.inference.events.identities import Appearance, Tracklet, describe_region, link_identities
from soundspot.inference.events.regions import Region, find_regions, link_boxes
from soundspot.inference.events.video_events import VideoEvents
from soundspot.inference.result import LocalizationMap
from soundspot.inference.video.writer import FrameResult, VideoInfo

Threshold = float | int | str


@dataclass(frozen=True)
class EventOptions:
    """Options of events, with defaults that were set on generated clips of a validation split.

    Attributes:
        onset: peak from which a region begins an event: a number in [0, 1] is a probability of presence, `score:0.3` a
            raw score. None: the model's fitted threshold, less how far lossy codecs move a peak where that is known
            (`LocalizationMap.codec_spread`): frames of an event stand together, and need not pass it one by one.
        offset: peak below which an event pauses, not above `onset`; None: the onset, less as much again.
        min_duration_on: shortest event in seconds; shorter ones are left out.
        min_duration_off: shortest pause in seconds; shorter ones are bridged.

    Raises:
        InputError: a threshold of another form, or a duration that is negative or not finite.
    """

    onset: Threshold | None = None
    offset: Threshold | None = None
    min_duration_on: float | int = 1.0
    min_duration_off: float | int = 1.0

    def __post_init__(self) -> None:
        for name in ("min_duration_on", "min_duration_off"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name}: found {value}, expected seconds, 0 or more. Correct it.")
        for name in ("onset", "offset"):
            if (value := getattr(self, name)) is not None:
                _parse_threshold(name, value)


def _parse_threshold(name: str, value: Threshold) -> tuple[bool, float]:
    """Parse a threshold into whether it is a raw score, and its number."""
    kind, _, text = str(value).rpartition(":")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if kind not in ("", "score") or not math.isfinite(number) or not (kind or 0 <= number <= 1):
        raise InputError(f"{name}: found {value!r}, expected a probability in [0, 1] or 'score:<number>'. Correct it.")
    return kind == "score", number


class ScoreRule:
    """Decide by a region's score whether it begins or continues an event; scores are raw or probabilities.

    Args:
        options: options of events.
        result: any map of the video, for the model's threshold and calibration.

    Raises:
        InputError: the model has no threshold and none is given, a probability is asked of a model without calibration,
            or `offset` is above `onset`.
    """

    def __init__(self, options: EventOptions, result: LocalizationMap) -> None:
        self._calibration, self.is_calibrated = result.calibration, result.calibration is not None
        if options.onset is None and result.threshold is None:
            raise InputError(
                "this model has no fitted threshold, so events cannot begin by themselves: fit one by `soundspot "
                "calibrate`, or give onset='score:<number>'"
            )
        spread, threshold = result.codec_spread or 0.0, result.threshold or 0.0
        self.onset = threshold - spread if options.onset is None else self._to_raw("onset", options.onset)
        self.offset = self.onset - spread if options.offset is None else self._to_raw("offset", options.offset)
        if self.offset > self.onset:
            raise InputError(f"offset: found {options.offset}, which is above the onset. Lower it.")

    def _to_raw(self, name: str, value: Threshold) -> float:
        is_raw, number = _parse_threshold(name, value)
        if is_raw:
            return number
        if self._calibration is None:
            raise InputError(
                f"{name}: found the probability {value}, and this model has no calibrated probability of presence: fit "
                "it by `soundspot calibrate`, or give 'score:<number>'"
            )
        low, high = -1e3, 1e3  # the calibration rises, and may have steps: its inverse by bisection
        for _ in range(64):
            middle = (low + high) / 2
            low, high = (low, middle) if self._calibration.probability_of(middle) >= number else (middle, high)
        return high

    def confidence(self, score: float) -> float:
        """Return the probability of presence by a raw score, or the score itself where no calibration was fitted.

        Args:
            score: raw score of a region.

        Returns:
            The confidence.
        """
        return score if self._calibration is None else self._calibration.probability_of(score)


class _Draft:
    """An event in progress: its numbers of each frame in compact arrays."""

    def __init__(self, time: float) -> None:
        self.start = time
        self.box: BoxXYXY = (0, 0, 0, 0)
        self.pause: float | None = None  # begin of the current pause
        self._numbers, self._times, self._confidences = array("i"), array("d"), array("f")
        self._masks: list[str] = []
        self._appearance = np.zeros(0)

    def add(
        self, frame: int, time: float, region: Region, confidence: float, appearance: Appearance, mask: str
    ) -> None:
        """Add the region of the next frame, with the contour that it became."""
        self.box, self.pause = region.box, None
        self._numbers.extend((frame, *region.box, *region.peak_at))
        self._times.append(time)
        self._confidences.append(confidence)
        self._masks.append(mask)
        self._appearance = self._appearance + appearance if self._appearance.size else appearance

    def end(self, end: float) -> Tracklet:
        """Return the event that ends at a time, without an identity."""
        numbers = np.array(self._numbers, np.int32).reshape(len(self._times), 7)
        times, confidences = np.array(self._times), np.array(self._confidences, np.float32)
        masks = (*self._masks,) if any(self._masks) else ()
        track = Track(numbers[:, 0], times, numbers[:, 1:5], numbers[:, 5:], confidences, masks)
        return Tracklet(self.start, end, track, self._appearance / len(times))


@dataclass
class EventTracker:
    """Collect the events of a video frame by frame; of each frame of an event 40 bytes are held in memory, and
    the encoded contour where there is one.

    Attributes:
        options: options of events.
    """

    options: EventOptions = field(default_factory=EventOptions)

    def __post_init__(self) -> None:
        self._rule: ScoreRule | None = None
        self._drafts: list[_Draft] = []
        self._tracklets: list[Tracklet] = []
        self._num_frames = 0
        self._size = 1, 1

    def add(self, frame: FrameResult) -> None:
        """Add the result of the next frame.

        Args:
            frame: result of the frame, later than the previous frame.

        Raises:
            InputError: the model has no threshold and none is given, or an option needs what the model does not have.
        """
        rule = self._rule = self._rule or ScoreRule(self.options, frame.map)
        self._size = frame.map.size
        regions = find_regions(frame.map, rule.offset) if frame.is_audible else []
        drafts = link_boxes([draft.box for draft in self._drafts], [region.box for region in regions])
        continued = {index: self._drafts[draft] for index, draft in drafts.items()}
        for draft in self._drafts:
            if draft not in continued.values() and draft.pause is None:
                draft.pause = frame.time
        for draft in [draft for draft in self._drafts if self._is_over(draft, frame.time)]:
            self._close(draft, frame.time)
        masks = {(c.region_box, c.peak_at): encode_mask(c.mask)["counts"] for c in frame.map.contours}
        for index, region in enumerate(regions):
            current = continued.get(index)
            if current is None and region.score >= rule.onset:
                current = _Draft(frame.time)
                self._drafts.append(current)
            if current is not None:
                appearance = describe_region(frame.map.image, region.box)
                mask = masks.get((region.box, region.peak_at), "")
                current.add(self._num_frames, frame.time, region, rule.confidence(region.score), appearance, mask)
        self._num_frames += 1

    def finish(self, info: VideoInfo, end_time: float) -> VideoEvents:
        """End the events in progress, and link the events of each source.

        Args:
            info: facts of the video.
            end_time: time in seconds at which its last frame is no longer shown.

        Returns:
            The events of the video.
        """
        for draft in [*self._drafts]:
            self._close(draft, end_time)
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

    def _is_over(self, draft: _Draft, time: float) -> bool:
        return draft.pause is not None and time - draft.pause >= self.options.min_duration_off

    def _close(self, draft: _Draft, time: float) -> None:
        self._drafts.remove(draft)
        end = time if draft.pause is None else draft.pause
        if end > draft.start and end - draft.start >= self.options.min_duration_on:
            self._tracklets.append(draft.end(end))
