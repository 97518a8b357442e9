"""Presence per second of a video: whether the source is in its frames, and with which probability."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from soundspot.inference.result import LocalizationMap, format_probability
from soundspot.inference.video.contact_sheet import format_time
from soundspot.inference.video.writer import FrameResult

MAX_RUNS = 12  # of seconds that a summary lists
PRESENCE = {True: "present", False: "not in the image", None: "presence unknown"}


@dataclass(frozen=True)
class SecondPresence:
    """Presence in the frames of one second, or of a run of seconds.

    Attributes:
        second: first second, from the first frame.
        num_seconds: number of seconds.
        present: whether the source is in at least half of the frames; None where no threshold was fitted.
        probability: mean probability of presence over the frames; None where none was fitted.
    """

    second: int
    num_seconds: int
    present: bool | None
    probability: float | None

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold.

        Returns:
            `second`, `present` and `presence_probability`.
        """
        probability = None if self.probability is None else round(self.probability, 4)
        return {"second": self.second, "present": self.present, "presence_probability": probability}

    def __str__(self) -> str:
        """Format as `0:03 - 0:05 present (probability of presence 0.93)`."""
        end = format_time(self.second + self.num_seconds)
        return f"{format_time(self.second)} - {end} {PRESENCE[self.present]}{format_probability(self.probability)}"


class PresenceMeter:
    """Collect presence per second: of each second with a frame three numbers are held in memory."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[int, int, float]] = {}  # second -> frames, of these with the source, probabilities
        self._last: LocalizationMap | None = None

    def add(self, frame: FrameResult) -> None:
        """Count the next frame.

        Args:
            frame: result of the frame.
        """
        result = self._last = frame.map
        n, num_present, probability = self._sums.get(int(frame.time), (0, 0, 0.0))
        probability += result.presence_probability or 0.0
        self._sums[int(frame.time)] = (n + 1, num_present + (result.present is True), probability)

    def seconds(self) -> tuple[SecondPresence, ...]:
        """Return presence per second.

        Returns:
            A value for each second that has a frame, in order.
        """
        if self._last is None:
            return ()
        has_threshold, has_probability = self._last.threshold is not None, self._last.calibration is not None
        return tuple(
            SecondPresence(
                second,
                1,
                2 * num_present >= n if has_threshold else None,
                probability / n if has_probability else None,
            )
            for second, (n, num_present, probability) in self._sums.items()
        )


def merge_seconds(seconds: Iterable[SecondPresence]) -> list[SecondPresence]:
    """Merge neighboring seconds of the same presence.

    Args:
        seconds: presence per second, in order.

    Returns:
        Runs of seconds, with the mean of their probabilities.
    """
    runs = []
    for present, group in groupby(seconds, key=lambda second: second.present):
        members = [*group]
        known = [second.probability for second in members if second.probability is not None]
        probability = sum(known) / len(known) if known else None
        length = members[-1].second + members[-1].num_seconds - members[0].second
        runs.append(SecondPresence(members[0].second, length, present, probability))
    return runs
