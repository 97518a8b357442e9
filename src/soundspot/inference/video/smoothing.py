"""Maps over time: smoothed, interpolated between frames, and brought to one range of heat."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from soundspot.inference.result import LocalizationMap

RANGE_DECAY_SECONDS = 5.0


class MapSmoother:
    """Exponential moving average of maps; weights fall by a factor of e in `seconds`, whatever the time between maps.

    It is causal, so smoothed maps lag behind by about `seconds`. The first map is returned as it is.

    Args:
        seconds: time constant in seconds; 0: all maps are returned as they are.
    """

    def __init__(self, seconds: float | int) -> None:
        self._seconds = seconds
        self._last: tuple[float, Tensor] | None = None

    def __call__(self, time: float | int, scores: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
        """Add the next map to the average, and return the average.

        Args:
            time: time of the map in seconds, rising from call to call.
            scores: (h, w) map at that time.

        Returns:
            (h, w) weighted mean of the maps so far.
        """
        if self._seconds and self._last is not None:
            before, mean = self._last
            scores = mean + (1 - math.exp((before - time) / self._seconds)) * (scores - mean)
        self._last = float(time), scores
        return scores


def interpolate_maps(
    times: Sequence[float], maps: Float[Tensor, "k h w"], new_times: Sequence[float]
) -> Float[Tensor, "n h w"]:
    """Interpolate maps linearly in time; before the first and after the last time the nearest map is returned.

    Args:
        times: k times in seconds, rising.
        maps: (k, h, w), one map for each of `times`.
        new_times: n times in seconds, in any order.

    Returns:
        (n, h, w), one map for each of `new_times`.
    """
    known, wanted = torch.tensor(times, dtype=torch.float64), torch.tensor(new_times, dtype=torch.float64)
    right = torch.searchsorted(known, wanted).clamp(max=len(known) - 1)
    left = (right - 1).clamp(min=0)
    gap = (known[right] - known[left]).clamp(min=1e-9)
    weight = torch.where(right > left, (wanted - known[left]) / gap, 1.0).clamp(0, 1)
    weight = weight.to(maps.dtype)[:, None, None]
    return torch.where(weight == 1, maps[right], maps[left] + weight * (maps[right] - maps[left]))


class RunningRange:
    """The range of scores that heat is drawn in: the lowest and the highest score of the last seconds.

    A map scaled by its own minimum and maximum makes a video flicker, and shows heat where nothing sounds. The running
    range takes in a new extreme at once and forgets it by a factor of e in five seconds, so that a frame with a low
    peak is drawn faint beside the frames around it.
    """

    def __init__(self) -> None:
        self._last: tuple[float, float, float] | None = None

    def __call__(self, time: float | int, result: LocalizationMap) -> Float[Tensor, "h w"] | None:
        """Add the next frame to the range, and return its scores scaled by the range.

        Args:
            time: time of the frame in seconds, rising from call to call.
            result: map of the frame.

        Returns:
            (h, w) at the resolution of the scores, in [0, 1]; None where the source is absent or the map is constant.
        """
        low, high = (float(edge) for edge in result.scores.aminmax())
        if self._last is not None:
            before, lowest, highest = self._last
            decay = math.exp(min(0.0, before - time) / RANGE_DECAY_SECONDS)
            low, high = min(low, low + decay * (lowest - low)), max(high, high + decay * (highest - high))
        self._last = float(time), low, high
        if result.present is False or result.is_constant:
            return None
        return ((result.scores - low) / (high - low)).clamp(0, 1)
