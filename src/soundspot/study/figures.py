"""The figures of a study: ranks with confidence, one score over another, and maps side by side."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from soundspot.evaluation.metrics.registry import get_metric_info
from soundspot.inference.render import make_contact_sheet
from soundspot.study.journal import Record
from soundspot.study.results import Column, Summary
from soundspot.study.scoring_tasks import source_images_path
from soundspot.study.statistics import draw_seeds, estimate, mean_and_spread, seed_means
from soundspot.utils.atomic_io import atomic_write


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _save(figure: Any, path: Path) -> str:
    with atomic_write(path) as draft:
        figure.savefig(draft, dpi=110)
    _pyplot().close(figure)
    return path.name


def draw_ranks(summaries: Mapping[str, Summary], arms: Sequence[str], path: Path) -> str:
    """Draw the rank of each arm in each column with its 95 % interval.

    Args:
        summaries: heading -> statistics.
        arms: names of the arms.
        path: file to write.

    Returns:
        Name of the file; empty, and nothing is drawn, where no column ranks two arms.
    """
    ranked = {heading: summary for heading, summary in summaries.items() if summary.ranks}
    if not ranked:
        return ""
    size = 2 + 2 * len(ranked), 1.2 + 0.24 * len(arms)
    figure, axes = _pyplot().subplots(1, len(ranked), figsize=size, sharey=True, layout="constrained", squeeze=False)
    for axis, (heading, summary) in zip(axes[0], ranked.items(), strict=True):
        ranks = summary.ranks
        assert ranks is not None
        ends = [np.maximum(0, ranks.value - ranks.low), np.maximum(0, ranks.high - ranks.value)]
        axis.errorbar(ranks.value, summary.ranked, xerr=ends, fmt="o", lw=0.9, ms=4)
        for x, y, first in zip(ranks.high, summary.ranked, ranks.first, strict=True):
            if first >= 0.05:
                axis.annotate(f"first in {100 * first:.0f} %", (x + 0.2, y), fontsize=6.5, va="center")
        axis.set_title(heading, fontsize=9)
        axis.set_xlabel("rank", fontsize=8)
        axis.set_xlim(0.5, len(arms) + 0.5 + len(arms) / 3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_yticks(range(len(arms)), arms, fontsize=8)
    axes[0][0].set_ylim(len(arms) - 0.5, -0.5)
    return _save(figure, path)


def draw_scores(summaries: Mapping[str, Summary], arms: Sequence[str], path: Path) -> str:
    """Draw the mean of each arm in each column with its 95 % interval, and a point for each seed.

    Args:
        summaries: heading -> statistics.
        arms: names of the arms.
        path: file to write.

    Returns:
        Name of the file.
    """
    size = 2 + 2 * len(summaries), 1.2 + 0.24 * len(arms)
    figure, axes = _pyplot().subplots(1, len(summaries), figsize=size, sharey=True, layout="constrained", squeeze=False)
    rows = np.arange(len(arms))
    for axis, (heading, summary) in zip(axes[0], summaries.items(), strict=True):
        ends = np.array([[mean - low, high - mean] for mean, low, high in summary.intervals]).T
        axis.errorbar(summary.means, rows, xerr=np.nan_to_num(np.maximum(0, ends)), fmt="o", lw=0.9, ms=4)
        axis.plot(summary.column.values, rows, ".", ms=3, alpha=0.5, color="gray")
        axis.set_title(heading, fontsize=9)
        axis.set_xlabel(get_metric_info(summary.column.key).label, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_yticks(rows, arms, fontsize=8)
    axes[0][0].set_ylim(len(arms) - 0.5, -0.5)
    return _save(figure, path)


def draw_correlations(pairs: Sequence[tuple[Column, Column]], arms: Sequence[str], path: Path) -> str:
    """Draw the second score of each pair over the first: a point for each seed, a mean with intervals for each arm.

    Args:
        pairs: pairs of scores.
        arms: names of the arms.
        path: file to write.

    Returns:
        Name of the file; empty, and nothing is drawn, where no arm has both scores of a pair.
    """
    pairs = [pair for pair in pairs if np.isfinite(pair[0].values + pair[1].values).any()]
    if not pairs:
        return ""
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    size = 4.6 * columns, 4.2 * rows
    figure, axes = _pyplot().subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axis in axes.flat[len(pairs) :]:
        axis.set_visible(False)
    for axis, (x, y) in zip(axes.flat, pairs, strict=False):
        points = {}
        for i, arm in enumerate(arms):
            if np.isnan(x.values[i] + y.values[i]).all():
                continue
            means, bars = zip(*(_mean_with_bar(column, i) for column in (x, y)), strict=True)
            (line, *_) = axis.errorbar(*means, yerr=bars[1], xerr=bars[0], fmt="o", lw=0.7, ms=4)
            axis.plot(x.values[i], y.values[i], ".", ms=3, alpha=0.5, color=line.get_color())
            points[arm] = means
        axis.set_xlabel(_axis_label(x))
        axis.set_ylabel(_axis_label(y))
        axis.margins(x=0.2)
        axis.spines[["top", "right"]].set_visible(False)
        for arm, at in spread_labels(points, axis.get_xlim(), axis.get_ylim()).items():
            axis.annotate(arm, points[arm], at, fontsize=6.5, arrowprops={"arrowstyle": "-", "lw": 0.3})
    return _save(figure, path)


def _mean_with_bar(column: Column, arm: int) -> tuple[float, list[list[float]]]:
    value = float(mean_and_spread(column.values[arm : arm + 1])[0][0])
    chosen = draw_seeds(column.values.shape[1], column.draws.shape[-1])
    _, low, high = estimate(value, seed_means(column.draws[arm : arm + 1], chosen)[0])
    return value, [[float(np.nan_to_num(max(0.0, value - low)))], [float(np.nan_to_num(max(0.0, high - value)))]]


def _axis_label(column: Column) -> str:
    return f"{column.name.split('/', 1)[0]}: {get_metric_info(column.key).label}"


def spread_labels(
    points: Mapping[str, tuple[float, ...]], x_limits: tuple[float, float], y_limits: tuple[float, float]
) -> dict[str, tuple[float, float]]:
    """Find positions for the names of points, none on another: from below, each as low as the others leave room.

    Args:
        points: name -> (x, y).
        x_limits: ends of the axis.
        y_limits: ends of the axis.

    Returns:
        Name -> (x, y) of the left end of the text.
    """
    width, height = (limits[1] - limits[0] for limits in (x_limits, y_limits))
    positions: dict[str, tuple[float, float]] = {}
    for name, (x, y) in sorted(points.items(), key=lambda item: item[1][1]):
        x += 0.02 * width
        while any(abs(x - a) < 0.24 * width and abs(y - b) < 0.032 * height for a, b in positions.values()):
            y += 0.008 * height
        positions[name] = x, y
    return positions


def make_examples(scores: Mapping[tuple[str, int, str], Record], folder: Path, path: Path) -> str:
    """Arrange the images of each test and the maps that were drawn of each arm's first seed, two rows side by side.

    Args:
        scores: (arm, seed, test) -> record of the score.
        folder: folder of the images that the scores drew.
        path: file to write.

    Returns:
        Name of the file; empty where no maps were drawn.
    """
    rows: list[list[Image.Image]] = []
    captions: list[list[str]] = []
    for (arm, _, test), record in scores.items():
        drawn = folder / f"{record.get('training')}-{test}.jpg"
        for caption, file in ((f"images, {test}", source_images_path(drawn)), (f"{arm}, {test}", drawn)):
            if file.exists() and [caption] not in captions:
                with Image.open(file) as image:
                    rows.append([image.convert("RGB")])
                captions.append([caption])
    if not rows:
        return path.name if path.exists() else ""
    half = -(-len(rows) // 2)
    sheet, texts = ([[*chain(*cells[i::half])] for i in range(half)] for cells in (rows, captions))
    with atomic_write(path) as draft:
        make_contact_sheet(sheet, texts, height=120).save(draft, quality=88)
    return path.name
