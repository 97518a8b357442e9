"""Maps over time: averaged towards the past, interpolated between moments, and brought to one range of heat."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from soundspot.inference.result import LocalizationMap

FADES = 5.0  # seconds in which the range of heat forgets by a factor of e


class MapSmoother:
    """A running mean whose weights fall by a factor of e in `seconds`, whatever the time between two maps is.

    It never waits for what comes next, so maps lag behind by about `seconds`.
    """

    def __init__(self, seconds: float | int) -> None:
        self._seconds = seconds
        self._last: tuple[float, Tensor] | None = None

    def __call__(self, time: float | int, scores: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
        """The mean of the maps until now."""
        if self._seconds and self._last is not None:
            before, mean = self._last
            scores = mean + (1 - math.exp((before - time) / self._seconds)) * (scores - mean)
        self._last = float(time), scores
        return scores


def interpolate_maps(
    known: Sequence[float], maps: Float[Tensor, "k h w"], wanted: Sequence[float]
) -> Float[Tensor, "n h w"]:
    """Maps at the moments `wanted`, linear between those `known`, which rise; beyond them the nearest."""
    at, where = torch.tensor(known, dtype=torch.float64), torch.tensor(wanted, dtype=torch.float64)
    right = torch.searchsorted(at, where).clamp(max=len(at) - 1)
    left = (right - 1).clamp(min=0)
    share = torch.where(right > left, (where - at[left]) / (at[right] - at[left]).clamp(min=1e-9), 1.0).clamp(0, 1)
    share = share.to(maps.dtype)[:, None, None]
    return torch.where(share == 1, maps[right], maps[left] + share * (maps[right] - maps[left]))


class RunningRange:
    """From which score to which heat runs: the lowest and the highest of the last seconds.

    A map alone runs from its own lowest score to its own highest, which makes a video flicker and shows heat where the
    model hears nothing. The range takes a new extreme in at once and forgets it by a factor of e in five seconds,
    so that a moment with a low peak is drawn faint beside the moments around it. No map is drawn where the source is
    not in the picture.
    """

    def __init__(self) -> None:
        self._last: tuple[float, float, float] | None = None

    def __call__(self, time: float | int, found: LocalizationMap) -> Float[Tensor, "h w"] | None:
        """The map between 0 and 1 at its own resolution; None where there is nothing to draw."""
        low, high = (float(edge) for edge in found.scores.aminmax())
        if self._last is not None:
            before, lowest, highest = self._last
            keep = math.exp(min(0.0, before - time) / FADES)
            low, high = min(low, low + keep * (lowest - low)), max(high, high + keep * (highest - high))
        self._last = float(time), low, high
        if found.present is False or found.is_constant:
            return None
        return ((found.scores - low) / (high - low)).clamp(0, 1)
