"""Scores that papers printed, by data set: to be read beside a report's, and marked where the rules differ.

published.csv holds every figure of tables II to XIV of Senocak et al., "Toward Interactive Sound Source Localization"
(TPAMI 2025), whose own rows are scored by its released evaluator; rows of other methods are partly copied from their
papers, with other lists and other rules (docs/protocols.md).
"""

import csv
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from soundspot.errors import DataError, did_you_mean
from soundspot.evaluation.metrics.registry import get_metric_info

PAPER_PROTOCOLS = {"vggss": "alignment-vggss", "extended_vggss": ""}  # of the paper's own rows, if not `alignment`
TABLES_WITHOUT_CODE = ("IV", "V", "VI", "XIII", "XIV")  # tables whose evaluation was never published
LIST_SIZES = {  # samples in the lists that the released evaluator reads
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
    """A row of a paper's table.

    Attributes:
        table: number of the table, a Roman numeral.
        method: name of the method.
        variant: variant of the method; "" for none.
        setting: refinement of the maps, such as `ogl`; "" for none.
        train: name of the training set.
        test: name of the test set.
        ground_truth: `box` or `mask`.
        metrics: metric key -> score; fractions, but for metrics that are not.
    """

    table: str
    method: str
    variant: str
    setting: str
    train: str
    test: str
    ground_truth: str
    metrics: dict[str, float]

    @property
    def name(self) -> str:
        """Name of the method with its variant and setting, and its training set."""
        extras = ", ".join(filter(None, (self.variant, self.setting)))
        return f"{self.method}{f' ({extras})' if extras else ''}, trained on {self.train}"


def find_published_rows(test: str, ground_truth: str = "box") -> list[PublishedRow]:
    """Find the published rows of a test set.

    Args:
        test: name of the test set, such as `vggss`.
        ground_truth: kind of ground truth, `box` or `mask`.

    Returns:
        Rows in the order of the tables; empty where there are none.
    """
    return [row for row in _read_rows() if (row.test, row.ground_truth) == (test, ground_truth)]


def list_published_methods() -> tuple[str, ...]:
    """List the methods of all published rows.

    Returns:
        Names, in the order of the tables.
    """
    return tuple(dict.fromkeys(row.method for row in _read_rows()))


def check_published_methods(methods: Iterable[str]) -> None:
    """Check that there are published rows of methods.

    Args:
        methods: names of methods.

    Raises:
        DataError: there are none of a method, of any test set.
    """
    known = list_published_methods()
    for method in methods:
        if method not in known:
            raise DataError(f"{method}: no published rows of this method are known{did_you_mean(method, known)}")


@cache
def _read_rows() -> list[PublishedRow]:
    by_names: dict[tuple[str, ...], list[PublishedRow]] = {}
    _, *lines = csv.reader((files("soundspot.evaluation.report") / "published.csv").read_text("utf-8").splitlines())
    rows = []
    for *names, key, value in lines:
        alike = by_names.setdefault(tuple(names), [])  # a table may hold two rows of one name
        row = next((row for row in alike if key not in row.metrics), None)
        if row is None:
            row = PublishedRow(*names, {})  # type: ignore[call-arg,arg-type]
            alike.append(row)
            rows.append(row)
        row.metrics[key] = float(value) / 100 if get_metric_info(key).is_fraction else float(value)
    return rows


def list_differences(row: PublishedRow, protocol: str, n: int, refinements: Collection[str] = ("",)) -> tuple[str, ...]:
    """List the reasons why a published row may not be comparable to reports.

    Args:
        row: row of a paper.
        protocol: name of the reports' protocol.
        n: number of samples of the reports.
        refinements: refinement of the maps of each report: names separated by commas; "" for none.

    Returns:
        Reasons, short phrases; () where no difference is known.
    """
    reasons = []
    if row.setting in ("", "ogl") and row.setting not in refinements:
        reasons.append("maps: refined by ogl" if row.setting else "maps: not refined")
    if row.table in TABLES_WITHOUT_CODE:
        reasons.append("no code was published for this table")
    if protocol != PAPER_PROTOCOLS.get(row.test, "alignment"):
        reasons.append(f"rules: published under other than {protocol!r}")
    if row.test == "extended_vggss":
        reasons.append("samples: the paper's list seems to be of 4,655 clips with boxes, and is not published")
    if n != (expected := LIST_SIZES.get(row.test, n)):
        reasons.append(f"samples: {expected:,} in the released list, {n:,} here")
    if row.method != "alignment":
        reasons.append("may be copied from that method's own paper")
    return tuple(reasons)
