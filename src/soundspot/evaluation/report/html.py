"""The report as one page: numbers beside those of rows that hear nothing, and pictures; nothing is fetched.

The page is a template (templates/report.html.j2, escaped throughout), charts (svg.py) and pictures (gallery.py); this
file decides what it says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from soundspot.evaluation.metrics.metric_info import (
    FAMILIES,
    HEADLINE_METRICS,
    MetricInfo,
    format_value,
    get_metric_info,
)
from soundspot.evaluation.report import figures as svg
from soundspot.evaluation.report import tables
from soundspot.evaluation.report.gallery import build_galleries, build_strips
from soundspot.evaluation.report.interval import Interval
from soundspot.evaluation.report.report import Report, ReportRow
from soundspot.evaluation.report.templating import flatten, render_template
from soundspot.evaluation.report.training_curves import build_curve_charts
from soundspot.types import AudioVisualDataset
from soundspot.utils.atomic_io import atomic_write

CSS_CLASSES = {
    "model": "model",
    "sound-blind": "blind",
    "ceiling": "ceiling",
    "published": "published",
}  # kind: CSS class


@dataclass(frozen=True)
class Card:
    """One headline number with its interval, the rows to hold it against, and what follows from them."""

    metric: MetricInfo
    value: str
    interval: str
    verdict: str
    is_better: bool
    chart: Markup


class Cell(NamedTuple):
    """One number of the table: the class of its row, the value and its interval."""

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
    """Write `report` as one self-contained page at `path`; the file appears whole or not at all.

    Args:
        data: the data set scored, for its pictures; None: numbers and charts alone.
        curves: each metrics.csv of the training run, for its loss curves.
        title: heading of the page; the model's name on the data set by default.
        seed: decides which samples are drawn by chance.
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
    """The page as text; arguments as `write_html` has them."""
    return render_template(
        "report.html.j2",
        title=title or f"{report.model.name} on {report.dataset}",
        report=report,
        cards=build_cards(report),
        strips=build_strips(report, data, seed) if data else [],
        galleries=build_galleries(report, data, seed) if data else [],
        charts=build_charts(report),
        curves=build_curve_charts(train_logs),
        rows=report.rows,
        families=build_metric_families(report),
        protocol=[*flatten(report.protocol), *flatten(report.front_end or {}, "front_end.")],
        source=flatten(report.source),
        listening=format_sound_sensitivity(report),
        rules=tables.build_protocol_table(report) if report.other_protocols else [],
        moved=tables.protocol_spread(report) if report.other_protocols else "",
        notes=build_notes(report),
    )


def format_sound_sensitivity(report: Report) -> dict[str, Any] | None:
    """Whether the model listens, as the page shows it; None where it was asked with the own sounds alone."""
    heard = report.sound_sensitivity
    if heard is None:
        return None
    lines = [
        {"sound": one.audio, "cells": [_cell(heard.metric, found, "") for found in (one.score, one.drop, one.overlap)]}
        for one in heard.conditions
    ]
    return {
        "verdict": heard.verdict,
        "listens": heard.is_sensitive,
        "name": get_metric_info(heard.metric).label,
        "lines": lines,
    }


def build_cards(report: Report, max_cards: int = 4) -> list[Card]:
    """At most `most` headline numbers of the model, those first that say most about listening.

    Where even the ceiling is 0 (small objects, when half of the picture must be kept) a number says nothing of a model.
    """
    scores = {key: found for key, found in report.model.metrics.items() if not isnan(found.value)}
    idle = {
        key for row in report.rows if row.kind == "ceiling" for key, found in row.metrics.items() if not found.value
    }
    return [_card(report, key) for key in HEADLINE_METRICS if key in scores.keys() - idle][:max_cards]


def _card(report: Report, key: str) -> Card:
    rows = [row for row in report.rows if key in row.metrics and not isnan(row.metrics[key].value)]
    found = report.model.metrics[key]
    blind = max((row for row in rows if row.kind == "sound-blind"), key=lambda r: r.metrics[key].value, default=None)
    chart = svg.draw_whiskers([_whisker(row, row.metrics[key]) for row in rows], get_metric_info(key).label)
    verdict, good = _verdict(found, blind.name, blind.metrics[key]) if blind else ("", False)
    return Card(get_metric_info(key), format_value(key, found.value), _range(key, found), verdict, good, chart)


def _verdict(found: Interval, name: str, blind: Interval) -> tuple[str, bool]:
    """How the model stands to the best row that hears nothing, and whether it is above it beyond chance."""
    gap = 100 * (found.value - blind.value)
    stands = f"{abs(gap):.1f} points {'above' if gap > 0 else 'below'}" if abs(gap) >= 0.05 else "Level with"
    said = f"{stands} {name}, the best row that hears nothing"
    if isnan(found.low) or isnan(blind.low):
        return f"{said}; without intervals.", False
    apart = found.low > blind.high or found.high < blind.low
    return f"{said}." if apart else f"{said}; their intervals overlap.", found.low > blind.high


def _whisker(row: ReportRow, found: Interval) -> svg.Whisker:
    """A row of a chart; its interval is the value itself where it has none (a number out of a paper)."""
    unknown = isnan(found.low) or isnan(found.high)
    low, high = (found.value, found.value) if unknown else (found.low, found.high)
    return svg.Whisker(row.name, CSS_CLASSES[row.kind], found.value, low, high)


def build_charts(report: Report) -> list[tuple[str, str, Markup]]:
    """(heading, what to look for, chart) of the peaks and of IoU against object size, where the samples have them."""
    found = []
    peaks, sizes = _columns(report, "peak_own", "peak_offscreen"), _columns(report, "area", "iou_adaptive")
    score = "adaptive IoU"
    if not len(sizes):  # a protocol without adaptive scores
        score, sizes = "IoU", _columns(report, "area", "iou")
    if len(peaks):
        own, foreign = peaks.T
        groups = {"own sound": ("own", own), "foreign sound": ("foreign", foreign)}
        note = (
            "Peak similarity of each picture with its own sound and with one from elsewhere: the further apart, "
            f"the more the model listens. The own sound peaks higher in {100 * (own > foreign).mean():.0f} % of the "
            "samples; dashed lines are medians."
        )
        chart = svg.draw_histogram(groups, "Peak similarity, own sound against a foreign one", "peak similarity")
        found.append(("Does it hear the difference?", note, chart))
    if len(sizes):
        note = f"Each sample's {score} against the size of its object; on the line, medians of equal groups."
        labels = ("IoU against object size", "object size, % of the picture", f"{score}, %")
        found.append(("Does size matter?", note, svg.draw_scatter(sizes[:, 0], sizes[:, 1], *labels)))
    return found


def _columns(report: Report, a: str, b: str) -> svg.Values:
    """(n, 2): two columns of the samples that have a source in the picture and both values."""
    pairs = np.array([(getattr(s, a), getattr(s, b)) for s in report.samples if s.present], np.float64).reshape(-1, 2)
    return pairs[np.isfinite(pairs).all(axis=1)]


def build_metric_families(report: Report) -> list[tuple[str, list[tuple[MetricInfo, list[Cell]]]]]:
    """Families of metrics, each metric with a cell for each row. No winner is marked: intervals say more."""
    families: dict[str, list[tuple[MetricInfo, list[Cell]]]] = {family: [] for family in FAMILIES}
    for key in dict.fromkeys(key for row in report.rows for key in row.metrics):
        cells = [_cell(key, row.metrics.get(key), CSS_CLASSES[row.kind]) for row in report.rows]
        families[get_metric_info(key).family].append((get_metric_info(key), cells))
    return [(family, metrics) for family, metrics in families.items() if metrics]


def _cell(key: str, found: Interval | None, kind: str) -> Cell:
    return Cell(kind, format_value(key, found.value), _range(key, found)) if found else Cell(kind, "–", "")


def _range(key: str, found: Interval) -> str:
    return (
        ""
        if isnan(found.low) or isnan(found.high)
        else f"{format_value(key, found.low)} – {format_value(key, found.high)}"
    )


def build_notes(report: Report) -> list[str]:
    """What a reader should know before quoting a number."""
    groups = len({sample.group for sample in report.samples})
    told = [*report.notes, f"{report.n:,} samples show {groups:,} different pictures."]
    told.append("Rows that hear nothing and the ceiling are scored by the same code under the same protocol.")
    told.append(
        "Maps are drawn from their own lowest to their own highest score, so colours compare within a map only."
    )
    return told
