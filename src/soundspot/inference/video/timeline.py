"""A plot of a video over time: the peak of each frame, presence and its probability, and the loudness of the audio."""

from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from PIL import Image, ImageDraw, ImageFont

from soundspot.inference.render import DARK, WHITE, Color
from soundspot.inference.video.contact_sheet import format_time
from soundspot.inference.video.presence import PresenceMeter, SecondPresence
from soundspot.inference.video.writer import FrameResult, FrameWriter, VideoInfo

WIDTH, HEIGHT = 1200, 360
LEFT, RIGHT, TOP, CURVE, BOTTOM = 64, 1180, 44, 236, 316  # edges of the plot in pixels; CURVE: of the peak's curve
LINE: Color = (36, 92, 190)
LIMIT: Color = (196, 62, 40)
PROBABILITY: Color = (46, 140, 90)
SHADE: Color = (233, 233, 238)
FAINT: Color = (214, 214, 220)
GRAY: Color = (110, 112, 122)
SCALE = 2  # drawn larger by this, and reduced at the end
TIME_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)  # seconds


class TimelineWriter(FrameWriter):
    """Write the plot of a video over time as an image of 1200 x 360 pixels.

    The curve is the peak, which a threshold is fitted on: below the threshold a source counts as absent. The steps are
    the probability of presence per second. Of each frame three numbers are held in memory, of the audio its power in at
    most 2^20 blocks.

    Args:
        path: path of the image file.
        info: facts of the video.
    """

    def __init__(self, path: Path, info: VideoInfo) -> None:
        super().__init__(path, info)
        self._times, self._peaks, self._is_absent = array("d"), array("f"), array("b")
        self._meter, self._presence = LoudnessMeter(info.sample_rate), PresenceMeter()

    def add_audio(self, chunk: Float32[np.ndarray, "c t"]) -> None:
        """Measure the loudness of the next samples.

        Args:
            chunk: (c, t) float32 samples of all channels, at the audio's own rate.
        """
        self._meter.add(chunk)

    def add(self, frame: FrameResult) -> None:
        """Hold time, peak and presence of the next frame, and count its probability.

        Args:
            frame: result of the frame.
        """
        self._presence.add(frame)
        self._times.append(frame.time)
        self._peaks.append(frame.map.peak)
        self._is_absent.append(frame.map.present is False)

    def close(self, notes: tuple[str, ...], end_time: float) -> None:
        """Draw the plot and write the image file; there must have been a frame.

        Args:
            notes: sentences for a reader, not drawn.
            end_time: time in seconds at which the last frame is no longer shown: the right end of the axis, at least
                0.04 s.
        """
        end_time = max(end_time, 0.04)
        loudness = self._meter.rms(end_time, RIGHT - LEFT)
        times, peaks = np.array(self._times), np.array(self._peaks)
        is_absent, seconds = np.array(self._is_absent, bool), self._presence.seconds()
        plot = draw_timeline(times, peaks, is_absent, end_time, self._info.threshold, loudness, seconds)
        plot.save(self._path, quality=92)


class LoudnessMeter:
    """Power of audio in blocks that double in length when they become too many, so that memory is bounded.

    Args:
        rate: sample rate of the audio in Hz.
        max_blocks: largest number of blocks; audio of at most so many samples is measured sample by sample.
    """

    def __init__(self, rate: int, max_blocks: int = 2**20) -> None:
        self._rate, self._power = rate, np.zeros(max_blocks)
        self._block_size, self._num_samples = 1, 0

    def add(self, chunk: Float32[np.ndarray, "c t"]) -> None:
        """Measure the next samples: their power is the mean over channels.

        Args:
            chunk: (c, t) float32 samples of all channels.
        """
        power = np.square(chunk.astype(np.float64)).mean(axis=0)
        while self._num_samples + len(power) > self._block_size * len(self._power):
            pairs = self._power.reshape(-1, 2).sum(axis=1)
            self._power, self._block_size = np.concatenate([pairs, np.zeros_like(pairs)]), 2 * self._block_size
        blocks = (self._num_samples + np.arange(len(power))) // self._block_size
        sums = np.bincount(blocks - blocks[0], power)
        self._power[blocks[0] : blocks[0] + len(sums)] += sums
        self._num_samples += len(power)

    def rms(self, end_time: float | int, count: int) -> Float[np.ndarray, " k"]:
        """Compute the root mean square of the audio in even intervals of time.

        Args:
            end_time: end of the last interval in seconds; later audio is left out, missing audio counts as silence.
            count: number k of intervals from second 0 to `end_time`.

        Returns:
            (k,) float64, not negative.
        """
        num_blocks = -(-self._num_samples // self._block_size)
        starts = np.arange(num_blocks) * self._block_size / self._rate
        intervals = (starts / end_time * count).astype(np.int64)
        is_inside = intervals < count
        power = np.bincount(intervals[is_inside], self._power[:num_blocks][is_inside], minlength=count)
        return np.sqrt(power / (end_time / count * self._rate))


def draw_timeline(
    times: Float[np.ndarray, " n"],
    peaks: Float[np.ndarray, " n"],
    is_absent: Bool[np.ndarray, " n"],
    end_time: float | int,
    threshold: float | None,
    loudness: Float[np.ndarray, " k"],
    seconds: Sequence[SecondPresence] = (),
) -> Image.Image:
    """Draw the plot of the peaks, the probability of presence and the loudness over time.

    Args:
        times: (n,) times of the frames in seconds, rising, n at least 1.
        peaks: (n,) raw peak of each frame.
        is_absent: (n,) True where the source is not in the frame: its time is shaded.
        end_time: end of the axis in seconds.
        threshold: raw score from which a peak counts as a present source, a dashed line; None: not known.
        loudness: (k,) root mean square of the audio in even intervals; drawn relative to its maximum.
        seconds: presence per second; probabilities are drawn from 0 at the bottom of the peaks to 1 at their top.

    Returns:
        An RGB image of 1200 x 360 pixels.
    """
    levels = [*peaks.tolist(), *([] if threshold is None else [threshold])]
    margin = 0.08 * max(max(levels) - min(levels), 1e-3)
    low, high = min(levels) - margin, max(levels) + margin
    canvas = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), WHITE)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13 * SCALE)

    def px(seconds: float | int) -> float:
        return SCALE * (LEFT + (RIGHT - LEFT) * seconds / end_time)

    def py(peak: float | int) -> float:
        return SCALE * (CURVE - (CURVE - TOP) * (peak - low) / (high - low))

    def label(x: float | int, y: float | int, text: str, anchor: str) -> None:
        draw.text((x, y), text, GRAY, font, anchor=anchor)

    ends = np.append(times[1:], end_time)
    for start, stop in find_true_runs(is_absent):
        draw.rectangle((px(times[start]), SCALE * TOP, px(ends[stop - 1]), SCALE * BOTTOM), SHADE)
    for tick in make_ticks(low, high, 4):
        draw.line((px(0), py(tick), px(end_time), py(tick)), FAINT, SCALE)
        label(px(0) - 8 * SCALE, py(tick), f"{tick:.3g}", "rm")
    for tick in make_ticks(0, end_time, 10, TIME_STEPS):
        draw.line((px(tick), SCALE * BOTTOM, px(tick), SCALE * (BOTTOM + 5)), GRAY, SCALE)
        label(px(tick), SCALE * (BOTTOM + 9), format_time(tick) if end_time >= 10 else f"{tick:.3g} s", "ma")
    middle, size = SCALE * (BOTTOM - 29), SCALE * 26 / max(float(loudness.max()), 1e-6)
    for i, value in enumerate(loudness.tolist()):
        x = SCALE * (LEFT + (i + 0.5) * (RIGHT - LEFT) / len(loudness))
        draw.line((x, middle - size * value, x, middle + size * value), GRAY, SCALE)
    label(px(0) - 8 * SCALE, middle, "sound", "rm")
    if threshold is not None:
        for x in range(SCALE * LEFT, SCALE * RIGHT, 12 * SCALE):
            draw.line((x, py(threshold), x + 7 * SCALE, py(threshold)), LIMIT, 2 * SCALE)
    steps = [
        (px(min(time, end_time)), SCALE * (CURVE - (CURVE - TOP) * second.probability))
        for second in seconds
        if second.probability is not None
        for time in (second.second, second.second + second.num_seconds)
    ]
    if steps:
        draw.line(steps, PROBABILITY, 2 * SCALE)
    points = [(px(float(times[i])), py(float(peaks[i]))) for i in decimate(peaks, 2 * (RIGHT - LEFT))]
    draw.line([*points, (px(end_time), points[-1][1])], LINE, 2 * SCALE, joint="curve")
    draw.rectangle((SCALE * LEFT, SCALE * TOP, SCALE * RIGHT, SCALE * BOTTOM), None, GRAY, SCALE)
    legend = [(LINE, "peak of the map")]
    legend += [] if threshold is None else [(LIMIT, f"threshold {threshold:.3g}")]
    legend += [(PROBABILITY, "probability of presence, 0 to 1")] if steps else []
    legend += [(FAINT, "nothing here")] if is_absent.any() else []
    x, y = SCALE * LEFT, SCALE * 24
    for color, text in legend:
        draw.rectangle((x, y - 4 * SCALE, x + 18 * SCALE, y + 4 * SCALE), color)
        draw.text((x + 25 * SCALE, y), text, DARK, font, anchor="lm")
        x += round(25 * SCALE + font.getlength(text) + 28 * SCALE)
    return canvas.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def decimate(values: Float[np.ndarray, " n"], count: int) -> Int[np.ndarray, " m"]:
    """Return the indices of the values that a line of about `count` points needs to look the same: local extremes.

    Args:
        values: (n,) heights of the line.
        count: desired number of points, at least 1.

    Returns:
        (m,) rising indices: the lowest and the highest value of each n // count, and the last value; all n where n is
        less than 3 * count.
    """
    step = len(values) // count
    if step < 3:
        return np.arange(len(values))
    rows = values[: len(values) // step * step].reshape(-1, step)
    first = step * np.arange(len(rows))
    return np.unique(np.concatenate([first + rows.argmin(axis=1), first + rows.argmax(axis=1), [len(values) - 1]]))


def find_true_runs(values: Bool[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """Find the runs of True in a sequence.

    Args:
        values: (n,) bool.

    Returns:
        First index, and index after the last, of each run, in order.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], values, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def make_ticks(low: float | int, high: float | int, count: int, steps: Sequence[float | int] = ()) -> list[float | int]:
    """Choose round numbers between two numbers as the ticks of an axis.

    Args:
        low: lower end of the axis.
        high: upper end of the axis, above `low`.
        count: there are at most `count` + 1 ticks.
        steps: preferred distances of ticks, rising; beyond the last of them, and by default: 1, 2 or 5 times a power of
            ten.

    Returns:
        Rising multiples of the smallest such step that is wide enough, in [low, high].
    """
    decimal = [m * 10.0**e for e in range(-6, 7) for m in (1, 2, 5)]
    candidates = (*steps, *(s for s in decimal if not steps or s > steps[-1]))
    step = next((step for step in candidates if (high - low) / step <= count), high - low)
    return [step * i for i in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]
