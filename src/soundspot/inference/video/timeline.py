"""A video at a glance: the peak of each moment over time, where nothing that is heard is seen, and how loud it is."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from PIL import Image, ImageDraw, ImageFont

from soundspot.inference.render import DARK, WHITE, Color
from soundspot.inference.video.contact_sheet import format_time
from soundspot.inference.video.writer import FrameWriter

if TYPE_CHECKING:
    from soundspot.inference.video.predictor import FrameResult, LocatedVideo

WIDTH, HEIGHT = 1200, 360
LEFT, RIGHT, TOP, CURVE, LOUD = 64, 1180, 44, 236, 316  # edges of the plot in pixels, the curve's and the loudness's
LINE: Color = (36, 92, 190)
LIMIT: Color = (196, 62, 40)
SHADE: Color = (233, 233, 238)
FAINT: Color = (214, 214, 220)
GREY: Color = (110, 112, 122)
FINE = 2  # drawn larger by this, and made smaller at last


class TimelineWriter(FrameWriter):
    """Writes the plot as a picture; of each moment it keeps three numbers.

    The curve is the peak, which is what a threshold is fitted on: below it a source counts as not in the picture.

    Args:
        alive: called on the way while the sound is read, a second time, at the end; what it raises ends the work.
    """

    def __init__(self, path: Path, video: "LocatedVideo", alive: Callable[[], None]) -> None:
        self._path, self._video, self._alive = path, video, alive
        self._times, self._peaks, self._absent = array("d"), array("f"), array("b")

    def add(self, moment: "FrameResult") -> None:
        """Keep its numbers."""
        self._times.append(moment.time)
        self._peaks.append(moment.map.peak)
        self._absent.append(moment.map.present is False)

    def close(self, notes: tuple[str, ...]) -> None:
        """Draw and write."""
        times = np.array(self._times)
        until = max(self._video.end_time, 0.04)
        with self._video.open_audio() as track:
            loud = compute_loudness(self._watched(track.iter_chunks()), track.rate, until, RIGHT - LEFT)
        threshold = self._video.localizer.threshold
        draw_timeline(times, np.array(self._peaks), np.array(self._absent, bool), until, threshold, loud).save(
            self._path, quality=92
        )

    def _watched(self, chunks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for i, chunk in enumerate(chunks):
            if i % 100 == 0:
                self._alive()
            yield chunk


def compute_loudness(
    chunks: Iterator[np.ndarray], rate: int, until: float | int, count: int
) -> Float[np.ndarray, " n"]:
    """The root mean square of the sound in `count` even stretches from second 0 to `until`."""
    squares, given = np.zeros(count), 0
    for chunk in chunks:
        power = np.square(chunk.astype(np.float64)).mean(axis=0)
        at = ((given + np.arange(len(power))) / rate / until * count).astype(np.int64)
        squares += np.bincount(at[at < count], power[at < count], minlength=count)
        given += len(power)
        if given >= until * rate:
            break
    return np.sqrt(squares / (until / count * rate))


def draw_timeline(
    times: Float[np.ndarray, " n"],
    peaks: Float[np.ndarray, " n"],
    absent: np.ndarray,
    until: float | int,
    threshold: float | None,
    loud: Float[np.ndarray, " k"],
) -> Image.Image:
    """The plot.

    Args:
        times, peaks, absent: of each moment: its second, its peak, and whether nothing of the sound is in the picture.
        until: second at which the video ends.
        threshold: from which a source counts as present; None: not known.
        loud: root mean squares of the sound in even stretches.
    """
    shown = [*peaks.tolist(), *([] if threshold is None else [threshold])]
    margin = 0.08 * max(max(shown) - min(shown), 1e-3)
    low, high = min(shown) - margin, max(shown) + margin
    canvas = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE), WHITE)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13 * FINE)

    def px(seconds: float | int) -> float:
        return FINE * (LEFT + (RIGHT - LEFT) * seconds / until)

    def py(peak: float | int) -> float:
        return FINE * (CURVE - (CURVE - TOP) * (peak - low) / (high - low))

    def text(x: float | int, y: float | int, words: str, anchor: str, colour: Color = GREY) -> None:
        draw.text((x, y), words, colour, font, anchor=anchor)

    ends = np.append(times[1:], until)
    for start, stop in find_true_runs(absent):
        draw.rectangle((px(times[start]), FINE * TOP, px(ends[stop - 1]), FINE * LOUD), SHADE)
    for tick in make_ticks(low, high, 4):
        draw.line((px(0), py(tick), px(until), py(tick)), FAINT, FINE)
        text(px(0) - 8 * FINE, py(tick), f"{tick:.3g}", "rm")
    for tick in make_ticks(0, until, 10, SECONDS):
        draw.line((px(tick), FINE * LOUD, px(tick), FINE * (LOUD + 5)), GREY, FINE)
        text(px(tick), FINE * (LOUD + 9), format_time(tick) if until >= 10 else f"{tick:.3g} s", "ma")
    middle, size = FINE * (LOUD - 29), FINE * 26 / max(float(loud.max()), 1e-6)
    for x, value in enumerate(loud.tolist()):
        at = FINE * (LEFT + (x + 0.5) * (RIGHT - LEFT) / len(loud))
        draw.line((at, middle - size * value, at, middle + size * value), GREY, FINE)
    text(px(0) - 8 * FINE, middle, "sound", "rm")
    if threshold is not None:
        for x in range(FINE * LEFT, FINE * RIGHT, 12 * FINE):
            draw.line((x, py(threshold), x + 7 * FINE, py(threshold)), LIMIT, 2 * FINE)
    drawn = decimate(peaks, 2 * (RIGHT - LEFT))
    points = [(px(float(times[i])), py(float(peaks[i]))) for i in drawn]
    draw.line([*points, (px(until), points[-1][1])], LINE, 2 * FINE, joint="curve")
    draw.rectangle((FINE * LEFT, FINE * TOP, FINE * RIGHT, FINE * LOUD), None, GREY, FINE)
    _legend(draw, font, threshold, bool(absent.any()))
    return canvas.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def _legend(
    draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, threshold: float | None, absent: bool
) -> None:
    x, y = FINE * LEFT, FINE * 24
    keys = [(LINE, "peak of the map")]
    keys += [] if threshold is None else [(LIMIT, f"threshold {threshold:.3g}")]
    keys += [(FAINT, "nothing here")] if absent else []
    for colour, words in keys:
        draw.rectangle((x, y - 4 * FINE, x + 18 * FINE, y + 4 * FINE), colour)
        draw.text((x + 25 * FINE, y), words, DARK, font, anchor="lm")
        x += round(25 * FINE + font.getlength(words) + 28 * FINE)


def decimate(values: Float[np.ndarray, " n"], most: int) -> Int[np.ndarray, " m"]:
    """Which of many values a line of about `most` points must pass so that it looks the same: extremes of stretches."""
    step = len(values) // most
    if step < 3:
        return np.arange(len(values))
    rows = values[: len(values) // step * step].reshape(-1, step)
    first = step * np.arange(len(rows))
    return np.unique(np.concatenate([first + rows.argmin(axis=1), first + rows.argmax(axis=1), [len(values) - 1]]))


def find_true_runs(true: np.ndarray) -> list[tuple[int, int]]:
    """First and last but one of each run of what is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


def make_ticks(low: float | int, high: float | int, most: int, steps: Sequence[float | int] = ()) -> list[float | int]:
    """Round numbers between two, at most `most` and one."""
    plain = [m * 10.0**e for e in range(-6, 7) for m in (1, 2, 5)]
    step = next(
        (step for step in (*steps, *(s for s in plain if not steps or s > steps[-1])) if (high - low) / step <= most),
        high - low,
    )
    first = int(np.ceil(low / step))
    return [step * i for i in range(first, int(np.floor(high / step)) + 1)]
