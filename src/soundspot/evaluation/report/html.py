"""The report as one self-contained page: numbers beside those of sound-blind rows, charts and images.

The page is a template (templates/report.html.j2, escaped throughout), charts (figures.py) and images (gallery.py); this
file decides what it says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from soundspot.evaluation.metrics.bootstrap import Interval
from soundspot.evaluation.metrics.registry import FAMILIES, MetricInfo, format_value, get_metric_info
from soundspot.evaluation.report import figures, tables
from soundspot.evaluation.report.gallery import build_galleries, build_strips
from soundspot.evaluation.report.report import Report, ReportRow
from soundspot.evaluation.report.templating import flatten, render_template
from soundspot.evaluation.report.training_curves import build_curve_charts
from soundspot.evaluation.report.verdict import (
    compare_with_blind_row,
    find_best_blind_row,
    list_headlines,
    summarize_report,
)
from soundspot.types import AudioVisualDataset
from soundspot.utils.atomic_io import atomic_write


@dataclass(frozen=True)
class Card:
    """A headline number with its interval, a chart of all rows, and a verdict against the best sound-blind row.

    Attributes:
        metric: the metric.
        value: value of the model, as text.
        interval: 95 % interval, as text; "" where unknown.
        verdict: a sentence; "" where no sound-blind row has the metric.
        is_better: whether the model is better than that row with intervals that do not overlap.
        chart: chart of the metric in all rows, an SVG element.
    """

    metric: MetricInfo
    value: str
    interval: str
    verdict: str
    is_better: bool
    chart: Markup


class Cell(NamedTuple):
    """A number of a table, as text.

    Attributes:
        kind: CSS class of its row.
        value: the value; a dash where there is none.
        interval: 95 % interval; "" where unknown.
    """

    kind: str
    value: str
    interval: str


def write_html(
    report: Report,
    path: str | Path,
    data: AudioVisualDataset | None = None,
    train_logs: Sequence[str | Path] = (),
    title: str | None = None,
    seed: int = 0,
) -> None:
    """Write a report as one self-contained HTML page, which appears complete or not at all.

    Args:
        report: the report.
        path: path of the page; an existing file is replaced.
        data: data set scored, for its images; None: numbers and charts alone.
        train_logs: paths of the metrics.csv files of the training run, for its loss curves; empty: no curves.
        title: heading of the page; None: the model's name and the data set.
        seed: random seed of the choice of samples.

    Raises:
        DataError: a metrics.csv does not exist or has no `step` column.
        OutputError: the page cannot be written.
    """
    text = render_page(report, data, train_logs, title, seed)
    with atomic_write(Path(path)) as draft:
        draft.write_text(text, encoding="utf-8")


def render_page(
    report: Report,
    data: AudioVisualDataset | None = None,
    train_logs: Sequence[str | Path] = (),
    title: str | None = None,
    seed: int = 0,
) -> str:
    """Render a report as one self-contained HTML page.

    Args:
        report: the report.
        data: data set scored, for its images; None: numbers and charts alone.
        train_logs: paths of the metrics.csv files of the training run, for its loss curves; empty: no curves.
        title: heading of the page; None: the model's name and the data set.
        seed: random seed of the choice of samples.

    Returns:
        HTML text.

    Raises:
        DataError: a metrics.csv does not exist or has no `step` column.
    """
    return render_template(
        "report.html.j2",
        title=title or f"{report.model.name} on {report.dataset}",
        report=report,
        verdict=summarize_report(report),
        cards=build_cards(report),
        strips=build_strips(report, data, seed) if data else [],
        galleries=build_galleries(report, data, seed) if data else [],
        charts=_build_charts(report),
        curves=build_curve_charts(train_logs),
        rows=report.rows,
        families=_build_metric_families(report),
        protocol=[*flatten(report.protocol), *flatten(report.front_end or {}, "front_end.")],
        source=flatten(report.source),
        sound_sensitivity=_sound_sensitivity_table(report),
        protocols=tables.build_protocol_table(report) if report.other_protocols else [],
        spread=tables.protocol_spread(report) if report.other_protocols else "",
        subsets=tables.build_subset_tables(report),
        notes=[
            *report.notes,
            f"{report.n:,} samples show {len({sample.group for sample in report.samples}):,} different images.",
            "Sound-blind rows and the ceiling are scored by the same code under the same protocol.",
            "Maps are drawn from their own lowest to their own highest score, so colors compare within a map only.",
        ],
    )


def _sound_sensitivity_table(report: Report) -> dict[str, Any] | None:
    """Return the sound sensitivity as the page shows it; None without maps of other audio."""
    result = report.sound_sensitivity
    if result is None:
        return None
    lines = [
        {"audio": c.audio, "cells": [_cell(result.metric, score, "") for score in (c.score, c.drop, c.overlap)]}
        for c in result.conditions
    ]
    label = get_metric_info(result.metric).label
    return {"verdict": result.verdict, "is_sensitive": result.is_sensitive, "label": label, "lines": lines}


def build_cards(report: Report, max_cards: int = 4) -> list[Card]:
    """Build the headline numbers of the model, those first that show most about sound sensitivity.

    Args:
        report: the report.
        max_cards: largest number of cards.

    Returns:
        A card for each metric, in the order of `list_headlines`.
    """
    return [_build_card(report, key) for key in list_headlines(report)[:max_cards]]


def _build_card(report: Report, key: str) -> Card:
    rows = [row for row in report.rows if key in row.metrics and not isnan(row.metrics[key].value)]
    score, metric = report.model.metrics[key], get_metric_info(key)
    blind = find_best_blind_row(report, key)
    chart = figures.draw_whiskers([_whisker(row, row.metrics[key]) for row in rows], metric.label)
    verdict, is_better = "", False
    if blind is not None:
        verdict, is_better = compare_with_blind_row(score, blind.name, blind.metrics[key], metric)
    return Card(metric, format_value(key, score.value), _format_range(key, score), verdict, is_better, chart)


def _whisker(row: ReportRow, score: Interval) -> figures.Whisker:
    """Return a row of a chart; its interval is the value itself where there is none (a number out of a paper)."""
    low, high = (score.value if isnan(end) else end for end in (score.low, score.high))
    return figures.Whisker(row.name, row.kind, score.value, low, high)


def _build_charts(report: Report) -> list[tuple[str, str, Markup]]:
    """Return (heading, note, chart) of peaks, reliability and IoU against object size, where the report has them."""
    charts = []
    peaks, sizes = _columns(report, "peak_own", "peak_offscreen"), _columns(report, "area", "iou_adaptive")
    score = "adaptive IoU"
    if not len(sizes):  # a protocol without adaptive scores
        score, sizes = "IoU", _columns(report, "area", "iou")
    if len(peaks):
        own, offscreen = peaks.T
        groups = {"own audio": ("own", own), "off-screen audio": ("foreign", offscreen)}
        note = (
            "Peak similarity of each image with its own audio and with that of another: the further apart, the more "
            f"the maps depend on the sound. The own audio peaks higher in {100 * (own > offscreen).mean():.0f} % of "
            "the samples; dashed lines are medians."
        )
        chart = figures.draw_histogram(groups, "Peak similarity, own audio against off-screen audio", "peak similarity")
        charts.append(("Does it hear the difference?", note, chart))
    bins = np.array([(b.probability, b.frequency, b.share) for b in report.reliability if b.share > 0])
    if len(bins) and "presence_ece" in report.model.metrics:
        error = format_value("presence_ece", report["presence_ece"])
        note = (
            "How often the source is in the image where the model says so with a probability: a calibrated model is on "
            f"the diagonal. Discs are as large as their share of the maps; expected calibration error {error} %."
        )
        charts.append(("Is its probability right?", note, figures.draw_reliability(*bins.T)))
    if len(sizes):
        note = f"Each sample's {score} against the size of its object; on the line, medians of equal groups."
        labels = ("IoU against object size", "object size, % of the image", f"{score}, %")
        charts.append(("Does size matter?", note, figures.draw_scatter(sizes[:, 0], sizes[:, 1], *labels)))
    return charts


def _columns(report: Report, a: str, b: str) -> figures.Values:
    """Return (n, 2): two columns of the samples that have a source in the image and both values."""
    pairs = np.array([(s[a], s[b]) for s in report.samples if s.present], np.float64).reshape(-1, 2)
    return pairs[np.isfinite(pairs).all(axis=1)]


def _build_metric_families(report: Report) -> list[tuple[str, list[tuple[MetricInfo, list[Cell]]]]]:
    """Return families of metrics, each metric with a cell for each row. No winner is marked: intervals say more."""
    families: dict[str, list[tuple[MetricInfo, list[Cell]]]] = {family: [] for family in FAMILIES}
    for key in dict.fromkeys(key for row in report.rows for key in row.metrics):
        metric = get_metric_info(key)
        families[metric.family].append((metric, [_cell(key, row.metrics.get(key), row.kind) for row in report.rows]))
    return [(family, metrics) for family, metrics in families.items() if metrics]


def _cell(key: str, score: Interval | None, kind: str) -> Cell:
    return Cell(kind, format_value(key, score.value), _format_range(key, score)) if score else Cell(kind, "–", "")


def _format_range(key: str, score: Interval) -> str:
    is_unknown = isnan(score.low) or isnan(score.high)
    return "" if is_unknown else f"{format_value(key, score.low)} – {format_value(key, score.high)}"
