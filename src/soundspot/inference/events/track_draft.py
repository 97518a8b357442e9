"""A track in progress: the regions of a source in the frames of a video, in compact arrays, and its division."""

from array import array

import numpy as np
from jaxtyping import Float64

from soundspot.inference.events.event import Track
from soundspot.inference.events.identities import Appearance, Tracklet
from soundspot.inference.events.options import EventOptions, ScoreRule
from soundspot.inference.events.regions import Region


class TrackDraft:
    """Regions of a source, frame by frame: of each frame 44 bytes, and the encoded contour where there is one."""

    def __init__(self) -> None:
        self._numbers, self._times, self._scores = array("i"), array("d"), array("f")
        self._masks: list[str] = []
        self._appearance, self._num_appearances = np.zeros(0), 0

    def add(self, frame: int, time: float, region: Region, mask: str) -> None:
        """Add the region of the next frame.

        Args:
            frame: number of the frame in the video.
            time: its time in seconds.
            region: region of the source, with its raw score.
            mask: contour as the text of COCO's run-length encoding; empty: none.
        """
        self._numbers.extend((frame, *region.box, *region.peak_at))
        self._times.append(time)
        self._scores.append(region.score)
        self._masks.append(mask)

    def add_appearance(self, appearance: Appearance) -> None:
        """Add the colors of the source in a frame.

        Args:
            appearance: color histogram (`describe_region`).
        """
        self._appearance = self._appearance + appearance if self._num_appearances else appearance
        self._num_appearances += 1

    def divide(self, start: float, end: float, options: EventOptions, rule: ScoreRule) -> list[Tracklet]:
        """Return the events of a source: its frames whose scores reach the offset, and on average the onset.

        Args:
            start, end: seconds from when to when it sounds.
            options: options of events.
            rule: thresholds of scores.

        Returns:
            Events without identity, by rising start. Those that reach a bound of the sound begin or end there.
        """
        numbers = np.array(self._numbers, np.int32).reshape(-1, 7)
        count = int(np.searchsorted(self._times, end))  # those of a pause that it did not outlast are left out
        times, scores = np.array(self._times)[:count], np.array(self._scores, np.float32)[:count]
        tracklets = []
        for first, stop in find_runs(times, scores >= rule.offset, start, end, options.min_duration_off):
            begins = start if first == 0 else float(times[first])
            ends = end if stop == len(times) else float(times[stop])
            if ends - begins < max(options.min_duration_on, 1e-6) or scores[first:stop].mean() < rule.onset:
                continue
            confidences = np.array([rule.confidence(score) for score in scores[first:stop].tolist()], np.float32)
            masks = (*self._masks[first:stop],)
            track = Track(
                numbers[first:stop, 0],
                times[first:stop],
                numbers[first:stop, 1:5],
                numbers[first:stop, 5:],
                confidences,
                masks if any(masks) else (),
            )
            tracklets.append(Tracklet(begins, ends, track, self._appearance / max(1, self._num_appearances)))
        return tracklets


def find_runs(
    times: Float64[np.ndarray, " n"], is_present: np.ndarray, start: float, end: float, min_pause: float | int
) -> list[tuple[int, int]]:
    """Return the runs of frames in which a source is present, over pauses that are shorter than a duration.

    Args:
        times: (n,) times of frames in seconds, rising.
        is_present: (n,) whether the source is in each.
        start, end: seconds from when to when it sounds; shorter pauses at these bounds are bridged too.
        min_pause: shortest pause in seconds.

    Returns:
        First frame and the frame after the last of each run.

    Examples:
        >>> find_runs(np.arange(8.0), np.array([0, 1, 1, 0, 1, 0, 0, 0], bool), 0.0, 8.0, 2.0)
        [(0, 5)]
    """
    present = np.flatnonzero(is_present)
    if not len(present):
        return []
    edges = np.append(times, end)
    runs = [(int(present[0]), int(present[0]) + 1)]
    for index in present[1:].tolist():
        first, stop = runs[-1]
        if edges[index] - edges[stop] < min_pause or index == stop:
            runs[-1] = first, index + 1
        else:
            runs.append((index, index + 1))
    if times[runs[0][0]] - start < min_pause:
        runs[0] = 0, runs[0][1]
    if end - edges[runs[-1][1]] < min_pause:
        runs[-1] = runs[-1][0], len(times)
    return runs
