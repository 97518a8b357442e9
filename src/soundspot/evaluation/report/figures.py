"""Charts as inline SVG: sharp at any size, a few kilobytes, colored by the page's style sheet.

A chart is a string of markup with all text escaped. Colors are the CSS classes `own`, `foreign`, `model`,
`sound-blind`, `ceiling` and `published`, so that the page alone handles light, dark and print. Shapes differ wherever
colors do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

Values = NDArray[np.floating]


@dataclass(frozen=True)
class Whisker:
    """A row of `draw_whiskers`.

    Attributes:
        label: text to the left of the row.
        kind: CSS class: `model`, `sound-blind`, `ceiling` or `published`.
        value: score, a fraction.
        low: lower end of its interval.
        high: upper end of its interval.
    """

    label: str
    kind: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PlotArea:
    """Plotting area of a chart, and the scales from data to its pixels.

    Attributes:
        x: lowest and highest value of the horizontal axis.
        y: lowest and highest value of the vertical axis.
        width: width of the chart in pixels.
        height: height of the chart in pixels.
        left, right, top, bottom: margins around the plotting area in pixels.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    width: int = 460
    height: int = 280
    left: int = 46
    right: int = 14
    top: int = 30
    bottom: int = 44

    def px(self, x: Values | float) -> Values:
        """Convert data values to horizontal pixel positions.

        Args:
            x: values in units of the horizontal axis.

        Returns:
            Positions from the left edge of the chart, of the same shape.
        """
        low, high = self.x
        return np.asarray(self.left + (np.asarray(x) - low) / (high - low) * (self.width - self.left - self.right))

    def py(self, y: Values | float) -> Values:
        """Convert data values to vertical pixel positions.

        Args:
            y: values in units of the vertical axis.

        Returns:
            Positions from the top edge of the chart, of the same shape.
        """
        (low, high), base = self.y, self.height - self.bottom
        return np.asarray(base - (np.asarray(y) - low) / (high - low) * (base - self.top))

    def line_path(self, x: Values, y: Values) -> str:
        """Build the SVG path of connected line segments.

        Args:
            x, y: coordinates of the points in data units, of the same length.

        Returns:
            The `d` attribute of an SVG path.
        """
        return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(self.px(x), self.py(y), strict=True))

    def dot_path(self, x: Values, y: Values) -> str:
        """Build the SVG path of points, as strokes of no length with round ends: a tenth of the size of circles.

        Args:
            x, y: coordinates of the points in data units, of the same length.

        Returns:
            The `d` attribute of an SVG path.
        """
        return "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(self.px(x), self.py(y), strict=True))


def draw_whiskers(rows: Sequence[Whisker], title: str, high: float = 1.0) -> Markup:
    """Draw a dot with its interval for each row, over a common axis from 0 to `high`.

    Args:
        rows: at least one row; values are fractions, printed in percent.
        title: title of the chart, for screen readers.
        high: upper end of the axis; dots and intervals beyond the axis are drawn at its ends.

    Returns:
        SVG element.
    """
    label, value, pitch = 128, 52, 22
    frame = PlotArea((0.0, high), (0.0, 1.0), 340, pitch * len(rows) + 24, left=label, right=value, top=2, bottom=22)
    body = [_grid_x(frame, np.linspace(0, high, 3), lambda at: f"{100 * at:g}")]
    for i, row in enumerate(rows):
        y = frame.top + pitch * (i + 0.5)
        low, middle, top = (float(frame.px(min(max(at, 0.0), high))) for at in (row.low, row.value, row.high))
        name, number = escape(_fit(row.label, 18)), f"{100 * row.value:.1f}"
        caps = f"M{low:.1f} {y - 3:.1f}v6M{top:.1f} {y - 3:.1f}v6"
        body += [
            f'<text class="{row.kind}" x="{label - 10}" y="{y + 4:.1f}" text-anchor="end">{name}</text>',
            f'<path class="line {row.kind}" d="M{low:.1f} {y:.1f}H{top:.1f}{caps}"/>',
            _dot(middle, y, row.kind),
            f'<text class="{row.kind}" x="{frame.width}" y="{y + 4:.1f}" text-anchor="end">{number}</text>',
        ]
    spoken = "; ".join(f"{r.label} {100 * r.value:.1f} ({100 * r.low:.1f} to {100 * r.high:.1f})" for r in rows)
    return _svg(frame, body, title, f"In percent with 95 % intervals: {spoken}.", "whiskers")


def draw_histogram(groups: Mapping[str, tuple[str, Values]], title: str, xlabel: str, bins: int = 28) -> Markup:
    """Draw histograms of several groups in common bins of equal width, with the median of each.

    Args:
        groups: label -> (CSS class, (n,) finite values), at least one value in each group.
        title: title of the chart, for screen readers.
        xlabel: label of the horizontal axis.
        bins: number of bins between the lowest and the highest value of all groups.

    Returns:
        SVG element; heights are shares of each group, in percent.
    """
    everything = np.concatenate([values for _, values in groups.values()])
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    shares = {label: np.histogram(values, edges)[0] / len(values) for label, (_, values) in groups.items()}
    frame = PlotArea((edges[0], edges[-1]), (0.0, 1.06 * max(float(share.max()) for share in shares.values())))
    body = [_axes(frame, xlabel, "share of samples, %", percent_y=True)]
    for label, (kind, values) in groups.items():
        x, y = np.repeat(edges, 2), np.concatenate([[0], np.repeat(shares[label], 2), [0]])
        body += [f'<path class="area {kind}" d="{frame.line_path(x, y)}"/>']
        middle = float(frame.px(float(np.median(values))))
        body += [f'<path class="line median {kind}" d="M{middle:.1f} {frame.top}V{frame.height - frame.bottom}"/>']
    medians = "; ".join(f"{label}: median {np.median(values):.3f}" for label, (_, values) in groups.items())
    return _svg(frame, [*body, _legend(frame, {label: kind for label, (kind, _) in groups.items()})], title, medians)


def draw_scatter(x: Values, y: Values, title: str, xlabel: str, ylabel: str, threshold: float = 0.5) -> Markup:
    """Draw points, the median of y in up to twelve groups of equal count by x, and a horizontal line at a threshold.

    Args:
        x: (n,) fractions, drawn by their square root, so that small objects have room; negative values count as 0.
        y: (n,) fractions in [0, 1].
        title: title of the chart, for screen readers.
        xlabel: label of the horizontal axis, in percent.
        ylabel: label of the vertical axis, in percent.
        threshold: height of the line, in units of y.

    Returns:
        SVG element.
    """
    root = np.sqrt(np.clip(x, 0, None))
    far = float(np.ceil(max(float(root.max()), 0.2) * 10) / 10)
    frame = PlotArea((0.0, far), (0.0, 1.0))
    marks = [mark for mark in (0, 0.01, 0.04, 0.1, 0.2, 0.4, 0.6, 0.8, 1) if mark**0.5 <= far + 1e-9]
    body = [_axes(frame, xlabel, ylabel, xticks=[(mark**0.5, f"{100 * mark:g}") for mark in marks], percent_y=True)]
    body.append(f'<path class="rule" d="M{frame.left} {float(frame.py(threshold)):.1f}H{frame.width - frame.right}"/>')
    body.append(f'<path class="dots own" d="{frame.dot_path(root, y)}"/>')
    groups = np.array_split(np.argsort(root, kind="stable"), max(1, min(12, len(root) // 8)))
    middles = np.array([(np.median(root[group]), np.median(y[group])) for group in groups])
    if len(middles) > 1:
        body.append(f'<path class="line foreign" d="{frame.line_path(*middles.T)}"/>')
        body += [_dot(float(frame.px(a)), float(frame.py(b)), "foreign") for a, b in middles]
    smallest, largest = (100 * middles[i][1] for i in (0, -1))
    summary = f"{len(x)} samples; median IoU of the smallest {smallest:.1f} %, of the largest {largest:.1f} %."
    return _svg(frame, body, title, summary)


def draw_lines(series: Mapping[str, tuple[str, Values, Values]], title: str, xlabel: str) -> Markup:
    """Draw curves over common axes.

    Args:
        series: label -> (CSS class, (n,) x, (n,) y), at least one curve of one point.
        title: title of the chart, for screen readers.
        xlabel: label of the horizontal axis.

    Returns:
        SVG element, with a legend where there are several curves.
    """
    xs, ys = (np.concatenate([curve[i] for curve in series.values()]) for i in (1, 2))
    low, high = float(ys.min()), float(ys.max())
    room = 0.06 * (high - low) or 0.5
    frame = PlotArea(
        (float(xs.min()), max(float(xs.max()), float(xs.min()) + 1)), (low - room, high + room), width=340, height=200
    )
    body = [_axes(frame, xlabel, "")]
    body += [f'<path class="line {kind}" d="{frame.line_path(x, y)}"/>' for kind, x, y in series.values()]
    body += [_dot(float(frame.px(x[-1])), float(frame.py(y[-1])), kind) for kind, x, y in series.values()]
    ends = "; ".join(f"{label} from {y[0]:.3g} to {y[-1]:.3g}" for label, (_, _, y) in series.items())
    if len(series) > 1:
        body.append(_legend(frame, {label: kind for label, (kind, _, _) in series.items()}))
    return _svg(frame, body, title, ends)


def _fit(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def draw_reliability(probability: Values, frequency: Values, share: Values) -> Markup:
    """Draw a reliability diagram: the observed frequency over the predicted probability of each bin.

    Args:
        probability: (m,) mean predicted probability of each bin, at least one bin.
        frequency: (m,) share of positive samples in each bin.
        share: (m,) share of the samples in each bin, above 0; the area of its disc.

    Returns:
        SVG element.
    """
    frame = PlotArea((0.0, 1.0), (0.0, 1.0), 340, 280)
    diagonal = frame.line_path(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    marks = [(mark, f"{100 * mark:g}") for mark in (0.0, 0.25, 0.5, 0.75, 1.0)]
    body = [
        _axes(frame, "predicted probability, %", "frequency, %", marks, percent_y=True),
        f'<path class="rule" d="{diagonal}"/>',
        f'<path class="line model" d="{frame.line_path(probability, frequency)}"/>',
    ]
    radii = 2 + 12 * np.sqrt(share / share.sum())
    for x, y, radius in zip(frame.px(probability), frame.py(frequency), radii, strict=True):
        body.append(f'<circle class="dot model" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>')
    pairs = zip(100 * probability, 100 * frequency, strict=True)
    spoken = "; ".join(f"{predicted:.0f} predicted, {observed:.0f} observed" for predicted, observed in pairs)
    return _svg(frame, body, "Reliability of the probability of presence", f"In percent: {spoken}.")


def compute_ticks(low: float, high: float, target_count: int = 5) -> list[float]:
    """Compute round numbers for the ticks of an axis.

    Args:
        low: lower end of the axis.
        high: upper end of the axis, above `low`.
        target_count: approximate number of intervals between ticks.

    Returns:
        Multiples of 1, 2, 2.5 or 5 times a power of ten in [low, high], ascending.
    """
    rough = (high - low) / target_count
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * by for by in (1, 2, 2.5, 5, 10) if power * by >= rough * (1 - 1e-9))
    first = np.ceil(low / step - 1e-9)
    return [float(n * step) + 0.0 for n in np.arange(first, np.floor(high / step + 1e-9) + 1)]


def _axes(
    frame: PlotArea,
    xlabel: str,
    ylabel: str,
    xticks: Sequence[tuple[float, str]] = (),
    percent_y: bool = False,
) -> str:
    elements = []
    for at in compute_ticks(*frame.y, target_count=4):
        y = float(frame.py(at))
        printed = f"{100 * at:g}" if percent_y else f"{at:.4g}"
        elements.append(f'<path class="grid" d="M{frame.left} {y:.1f}H{frame.width - frame.right}"/>')
        elements.append(f'<text x="{frame.left - 7}" y="{y + 4:.1f}" text-anchor="end">{printed}</text>')
    base = frame.height - frame.bottom
    elements.append(f'<path class="axis" d="M{frame.left} {base}H{frame.width - frame.right}"/>')
    for at, printed in xticks or [(at, f"{at:.4g}") for at in compute_ticks(*frame.x)]:
        x = float(frame.px(at))
        elements.append(f'<path class="axis" d="M{x:.1f} {base}v4"/>')
        elements.append(f'<text x="{x:.1f}" y="{base + 18}" text-anchor="middle">{printed}</text>')
    middle = (frame.left + frame.width - frame.right) / 2
    elements.append(f'<text x="{middle}" y="{frame.height - 5}" text-anchor="middle">{escape(xlabel)}</text>')
    elements.append(f'<text x="2" y="13">{escape(ylabel)}</text>')
    return "".join(elements)


def _grid_x(frame: PlotArea, marks: Values, printed: Callable[[float], str]) -> str:
    elements = []
    for at, x in zip(marks, frame.px(marks), strict=True):
        elements.append(f'<path class="grid" d="M{x:.1f} {frame.top}V{frame.height - frame.bottom}"/>')
        elements.append(
            f'<text class="mark" x="{x:.1f}" y="{frame.height - 6}" text-anchor="middle">{printed(at)}</text>'
        )
    return "".join(elements)


def _legend(frame: PlotArea, labels: Mapping[str, str]) -> str:
    """Draw the legend on the line of the vertical axis's name, from the right."""
    elements, x = [], frame.width - frame.right
    for label, kind in reversed([*labels.items()]):
        elements.append(f'<text x="{x}" y="13" text-anchor="end">{escape(label)}</text>')
        x -= round(8.1 * len(label)) + 26  # text is measured by eye: no font is known here
        elements.append(f'<path class="line {kind}" d="M{x} 9h18"/>')
        x -= 14
    return "".join(elements)


def _dot(x: float, y: float, kind: str) -> str:
    """Draw a large disc for the model, a small one for sound-blind rows, a diamond for the ceiling, else a square."""
    if kind == "ceiling":
        return f'<path class="dot {kind}" d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z"/>'
    if kind == "published":
        return f'<path class="dot {kind}" d="M{x - 3.5:.1f} {y - 3.5:.1f}h7v7h-7z"/>'
    return f'<circle class="dot {kind}" cx="{x:.1f}" cy="{y:.1f}" r="{5 if kind == "model" else 4}"/>'


def _svg(frame: PlotArea, body: Sequence[str], title: str, summary: str, kind: str = "chart") -> Markup:
    """Return the chart, with its summary as text for those who do not see it."""
    spoken = escape(f"{title}. {summary}")
    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{spoken}">'
        f"{''.join(body)}</svg>"
    )
