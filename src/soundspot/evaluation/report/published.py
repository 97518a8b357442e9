"""Scores that papers printed, by data set: to be read beside ours, and marked where the rules differ.

published.csv holds every figure of tables II to XIV of Senocak et al., "Toward Interactive Sound Source Localization"
(TPAMI 2025), whose own rows are scored by its released evaluator; rows of other methods are partly copied from their
papers, with other lists and other rules (docs/protocols.md).
"""

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from soundspot.evaluation.metrics.metric_info import UNSCALED_METRICS

PAPER_PROTOCOLS = {
    "vggss": "alignment-vggss",
    "extended_vggss": "",
}  # of the paper's own rows, where it is not `alignment`
TABLES_WITHOUT_CODE = ("IV", "V", "VI", "XIII", "XIV")  # tables whose evaluation was never published
LIST_SIZES = {  # items in the lists that the released evaluator reads
    "vggss": 4655,
    "flickr": 250,
    "extended_flickr": 500,
    "is3": 6480,
    "vpo_ss": 890,
    "vpo_ms": 2157,
    "avsbench_s4": 3700,
    "avsbench_ms3": 320,
}


@dataclass(frozen=True)
class PublishedRow:
    """One row of a table: a method as trained on a set, with its scores as fractions."""

    table: str
    method: str
    variant: str
    setting: str
    train: str
    test: str
    ground_truth: str
    metrics: tuple[tuple[str, float], ...]

    @property
    def name(self) -> str:
        """The method with what tells its rows apart, and what it was trained on."""
        extras = ", ".join(filter(None, (self.variant, self.setting)))
        return f"{self.method}{f' ({extras})' if extras else ''}, trained on {self.train}"


def find_published_rows(test: str, ground_truth: str = "box") -> list[PublishedRow]:
    """The rows of a test set, in the order of the tables; `truth` is `box` or `mask`."""
    return [row for row in _rows() if (row.test, row.ground_truth) == (test, ground_truth)]


@cache
def _rows() -> tuple[PublishedRow, ...]:
    found: list[tuple[list[str], dict[str, float]]] = []
    for *which, metric, value in _lines():
        mine = (metrics for names, metrics in found if names == which and metric not in metrics)
        metrics = next(mine, None)
        if metrics is None:  # a table may hold two rows of one name
            found.append((which, metrics := {}))
        metrics[metric] = float(value) if metric in UNSCALED_METRICS else float(value) / 100
    return tuple(PublishedRow(*(*which, tuple(metrics.items()))) for which, metrics in found)  # type: ignore[arg-type]


def _lines() -> Iterator[list[str]]:
    text = (files("soundspot.evaluation.report") / "published.csv").read_text(encoding="utf-8")
    lines = csv.reader(text.splitlines())
    next(lines)
    return lines


def list_differences(row: PublishedRow, protocol: str, n: int, refinements: Collection[str] = ("",)) -> tuple[str, ...]:
    """Why a row may not be held against reports under `protocol` of `n` items; () where nothing is known to differ.

    Args:
        refined: what the maps of each report are refined with, names with commas between; "" with nothing.
    """
    reasons = []
    if row.setting in ("", "ogl") and row.setting not in refinements:
        reasons.append("maps: refined by ogl" if row.setting else "maps: not refined")
    if row.table in TABLES_WITHOUT_CODE:
        reasons.append("no code was published for this table")
    if protocol != PAPER_PROTOCOLS.get(row.test, "alignment"):
        reasons.append(f"rules: published under other than {protocol!r}")
    if row.test == "extended_vggss":
        reasons.append("items: the paper's list seems to be of 4,655 clips with boxes, and is not published")
    if n != (expected := LIST_SIZES.get(row.test, n)):
        reasons.append(f"items: {expected:,} in the released list, {n:,} here")
    if row.method != "alignment":
        reasons.append("may be copied from that method's own paper")
    return tuple(reasons)
