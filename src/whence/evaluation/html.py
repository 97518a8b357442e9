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

from whence.evaluation import svg, tables
from whence.evaluation.curves import curve_charts
from whence.evaluation.gallery import galleries, strips
from whence.evaluation.interval import Interval
from whence.evaluation.page import flat, render
from whence.evaluation.report import Report, Row
from whence.evaluation.words import FAMILIES, HEADLINES, Word, printed, word
from whence.output import whole_file
from whence.types import AudioVisualDataset

CLASSES = {"model": "model", "sound-blind": "blind", "ceiling": "ceiling", "published": "published"}  # kind: CSS class


@dataclass(frozen=True)
class Card:
    """One headline number with its interval, the rows to hold it against, and what follows from them."""

    word: Word
    value: str
    interval: str
    verdict: str
    good: bool
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
    curves: Sequence[str | Path] = (),
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
    text = page(report, data, curves, title, seed)
    with whole_file(Path(path)) as draft:
        draft.write_text(text, encoding="utf-8")


def page(
    report: Report,
    data: AudioVisualDataset | None = None,
    curves: Sequence[str | Path] = (),
    title: str | None = None,
    seed: int = 0,
) -> str:
    """The page as text; arguments as `write_html` has them."""
    return render(
        "report.html.j2",
        title=title or f"{report.model.name} on {report.dataset}",
        report=report,
        cards=cards(report),
        strips=strips(report, data, seed) if data else [],
        galleries=galleries(report, data, seed) if data else [],
        charts=charts(report),
        curves=curve_charts(curves),
        rows=report.rows,
        families=table(report),
        protocol=[*flat(report.protocol), *flat(report.front_end or {}, "front_end.")],
        source=flat(report.source),
        listening=panel(report),
        rules=tables.of_protocols(report) if report.others else [],
        moved=tables.moved(report) if report.others else "",
        notes=notes(report),
    )


def panel(report: Report) -> dict[str, Any] | None:
    """Whether the model listens, as the page shows it; None where it was asked with the own sounds alone."""
    heard = report.listening
    if heard is None:
        return None
    lines = [
        {"sound": one.sound, "cells": [_cell(heard.metric, found, "") for found in (one.score, one.loss, one.overlap)]}
        for one in heard.asked
    ]
    return {"verdict": heard.verdict, "listens": heard.listens, "name": word(heard.metric).name, "lines": lines}


def cards(report: Report, most: int = 4) -> list[Card]:
    """At most `most` headline numbers of the model, those first that say most about listening.

    Where even the ceiling is 0 (small objects, when half of the picture must be kept) a number says nothing of a model.
    """
    scores = {key: found for key, found in report.model.metrics.items() if not isnan(found.value)}
    idle = {
        key for row in report.rows if row.kind == "ceiling" for key, found in row.metrics.items() if not found.value
    }
    return [_card(report, key) for key in HEADLINES if key in scores.keys() - idle][:most]


def _card(report: Report, key: str) -> Card:
    rows = [row for row in report.rows if key in row.metrics and not isnan(row.metrics[key].value)]
    found = report.model.metrics[key]
    blind = max((row for row in rows if row.kind == "sound-blind"), key=lambda r: r.metrics[key].value, default=None)
    chart = svg.whiskers([_whisker(row, row.metrics[key]) for row in rows], word(key).name)
    verdict, good = _verdict(found, blind.name, blind.metrics[key]) if blind else ("", False)
    return Card(word(key), printed(key, found.value), _range(key, found), verdict, good, chart)


def _verdict(found: Interval, name: str, blind: Interval) -> tuple[str, bool]:
    """How the model stands to the best row that hears nothing, and whether it is above it beyond chance."""
    gap = 100 * (found.value - blind.value)
    stands = f"{abs(gap):.1f} points {'above' if gap > 0 else 'below'}" if abs(gap) >= 0.05 else "Level with"
    said = f"{stands} {name}, the best row that hears nothing"
    if isnan(found.low) or isnan(blind.low):
        return f"{said}; without intervals.", False
    apart = found.low > blind.high or found.high < blind.low
    return f"{said}." if apart else f"{said}; their intervals overlap.", found.low > blind.high


def _whisker(row: Row, found: Interval) -> svg.Whisker:
    """A row of a chart; its interval is the value itself where it has none (a number out of a paper)."""
    unknown = isnan(found.low) or isnan(found.high)
    low, high = (found.value, found.value) if unknown else (found.low, found.high)
    return svg.Whisker(row.name, CLASSES[row.kind], found.value, low, high)


def charts(report: Report) -> list[tuple[str, str, Markup]]:
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
        chart = svg.histogram(groups, "Peak similarity, own sound against a foreign one", "peak similarity")
        found.append(("Does it hear the difference?", note, chart))
    if len(sizes):
        note = f"Each sample's {score} against the size of its object; on the line, medians of equal groups."
        labels = ("IoU against object size", "object size, % of the picture", f"{score}, %")
        found.append(("Does size matter?", note, svg.scatter(sizes[:, 0], sizes[:, 1], *labels)))
    return found


def _columns(report: Report, a: str, b: str) -> svg.Values:
    """(n, 2): two columns of the samples that have a source in the picture and both values."""
    pairs = np.array([(getattr(s, a), getattr(s, b)) for s in report.samples if s.present], np.float64).reshape(-1, 2)
    return pairs[np.isfinite(pairs).all(axis=1)]


def table(report: Report) -> list[tuple[str, list[tuple[Word, list[Cell]]]]]:
    """Families of metrics, each metric with a cell for each row. No winner is marked: intervals say more."""
    families: dict[str, list[tuple[Word, list[Cell]]]] = {family: [] for family in FAMILIES}
    for key in dict.fromkeys(key for row in report.rows for key in row.metrics):
        cells = [_cell(key, row.metrics.get(key), CLASSES[row.kind]) for row in report.rows]
        families[word(key).family].append((word(key), cells))
    return [(family, metrics) for family, metrics in families.items() if metrics]


def _cell(key: str, found: Interval | None, kind: str) -> Cell:
    return Cell(kind, printed(key, found.value), _range(key, found)) if found else Cell(kind, "–", "")


def _range(key: str, found: Interval) -> str:
    return "" if isnan(found.low) or isnan(found.high) else f"{printed(key, found.low)} – {printed(key, found.high)}"


def notes(report: Report) -> list[str]:
    """What a reader should know before quoting a number."""
    groups = len({sample.group for sample in report.samples})
    told = [*report.notes, f"{report.n:,} samples show {groups:,} different pictures."]
    told.append("Rows that hear nothing and the ceiling are scored by the same code under the same protocol.")
    told.append(
        "Maps are drawn from their own lowest to their own highest score, so colours compare within a map only."
    )
    return told
