"""Times of packets made into times that go on: restarts of a clock, places of an AVI, frames without a time.

All times are in seconds; NaN where a packet does not say one.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int64

MAX_JITTER = 0.05  # seconds by which a time stamp may be off before that means anything
_MAX_LATENESS = 0.5  # seconds by which a frame may be decoded after it is shown, as careless writers say
_MAX_SLOTS_PER_FRAME = 1000  # of an AVI
_MAX_LEAD, _MAX_LEAD_FRAMES = 26, 60  # places of an AVI, and frames that tell whether there are more like them

Times = Float64[np.ndarray, " _"]


def number_segments(
    pts: Times, dts: Times, is_key: Bool[np.ndarray, " _"], max_gap: float, other: Times
) -> Int64[np.ndarray, " _"]:
    """Number the stretches between restarts of the clock.

    A clock restarts where it goes back by more than the order of decoding explains, and where it jumps ahead by more
    than `max_gap` while the other stream has nothing in between.

    Args:
        pts: times at which packets are presented, in the order of the file.
        dts: times at which they are decoded, which rise, but for guesses from before a restart.
        is_key: whether decoding can begin at each packet.
        max_gap: longest time between two packets that is no jump.
        other: times of the packets of the file's other stream.

    Returns:
        For each packet the number of restarts before it.
    """
    is_guess = np.isnan(dts) | (pts - dts > max_gap) | (pts - dts < -_MAX_LATENESS)
    clock = np.where(is_guess, pts, dts)
    known = np.flatnonzero(~np.isnan(clock))
    before, after = clock[known[:-1]], clock[known[1:]]
    slack = np.where(is_key[known[1:]], MAX_JITTER, _MAX_LATENESS)
    present = np.sort(other[~np.isnan(other)])
    is_empty = np.searchsorted(present, after - 1) <= np.searchsorted(present, before + 1)
    is_restart = np.zeros(len(clock), np.int64)
    is_restart[known[1:]] = (after - before < -slack) | ((after - before > max_gap) & is_empty)
    return np.cumsum(is_restart)


def find_lead(starts: Times, period: float) -> float:
    """Find empty places behind the first frame of an AVI, if these are the only ones.

    FFmpeg writes them there, and not before it, where the audio begins a little before the images.

    Args:
        starts: times of the places that hold frames, rising.
        period: seconds between places.

    Returns:
        Seconds of the empty places.
    """
    steps = np.round(np.diff(starts[:_MAX_LEAD_FRAMES]) / period)
    is_lead = len(steps) > 1 and 1 < steps[0] <= _MAX_LEAD and (steps[1:] == 1).all()
    return (float(steps[0]) - 1) * period if is_lead else 0.0


def fill_slots(times: Times, period: float, end: float) -> Times:
    """Return the times of the places of an AVI that hold no frame: FFmpeg passes over packets without bytes there.

    Args:
        times: times of the frames, which begin with 0.
        period: seconds between places.
        end: time at which the last place ends, by the header.

    Returns:
        Rising times; none where a header promises beyond reason.
    """
    if not len(times):
        return np.empty(0)
    count = round(max(float(times.max()) + period, end) / period)
    if count > _MAX_SLOTS_PER_FRAME * len(times):
        return np.empty(0)
    return np.setdiff1d(np.arange(count), np.round(times / period).astype(int)) * period


def space_evenly(times: Times, period: float) -> Times:
    """Return times that are even where all are at most a frame off.

    In a program stream a packet may hold several frames and say the time of one; which, FFmpeg guesses.

    Args:
        times: times of the frames of a stretch.
        period: seconds between frames.

    Returns:
        Even times from the first on, or the same times.
    """
    order = np.argsort(times, kind="stable")
    even = np.empty_like(times)
    even[order] = times.min(initial=np.inf) + np.arange(len(times)) * period
    return even if (np.abs(even - times) < 1.01 * period).all() else times


def deal_times(times: Times, order: Int64[np.ndarray, " k"], period: float) -> Times:
    """Deal times to frames whose order only the decoder knew.

    Args:
        times: times of the packets; those of a container that knows the order of decoding alone are complete, and are
            those of places; where some are missing, the others are times of their frames.
        order: numbers of the packets in the order in which their frames came.
        period: seconds between frames, for those without a time.

    Returns:
        Time of each packet's frame; infinite where none came.
    """
    dealt = np.full(len(times), np.inf)
    if not np.isnan(times).any():
        dealt[order] = np.sort(times)[: len(order)]
        return dealt
    known = np.flatnonzero(~np.isnan(times[order]))
    count = np.arange(len(order), dtype=np.float64)
    if not len(known):
        dealt[order] = count * period
        return dealt
    last = known[(np.searchsorted(known, count, side="right") - 1).clip(0)]
    filled = times[order][last] + (count - last) * period
    dealt[order] = np.maximum.accumulate(space_evenly(filled, period))
    return dealt


def is_rising(times: Times) -> Bool[np.ndarray, ""] | bool:
    """Return whether each time is above the one before it.

    Args:
        times: times, all known.

    Returns:
        True also for fewer than two times.
    """
    return bool((np.diff(times) > 0).all())


def usual_step(times: Times, otherwise: float) -> float:
    """Return the median distance of times.

    Args:
        times: times in any order, all known.
        otherwise: distance where there are fewer than three times, or half of them are equal.

    Returns:
        Seconds, above 0.
    """
    return (float(np.median(np.diff(np.sort(times)))) if len(times) > 2 else 0.0) or otherwise
