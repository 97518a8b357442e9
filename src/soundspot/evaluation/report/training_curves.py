"""Loss curves from the metrics.csv that Lightning's CSVLogger writes."""

import csv
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

import numpy as np
from markupsafe import Markup

from soundspot.errors import DataError
from soundspot.evaluation.report import figures as svg
from soundspot.evaluation.report.figures import Values

STAGES = {"train": "own", "val": "foreign", "valid": "foreign", "validation": "foreign", "probe": "foreign"}
MAX_POINTS = 240  # a curve on a page has no room for more


def find_train_logs(checkpoint: str | Path) -> list[Path]:
    """Each metrics.csv of the run a checkpoint lies in, oldest first: logs/attempt-N/metrics.csv; none, if so."""
    found = Path(checkpoint).parent.glob("logs/attempt-*/metrics.csv")
    return sorted(found, key=lambda path: path.stat().st_mtime)


def read_train_logs(paths: Sequence[str | Path]) -> dict[str, tuple[Values, Values]]:
    """Column -> (steps, values), each column where it has values; those that never move are left out.

    Args:
        paths: one metrics.csv, or those of a run and its resumptions in order: a step logged again replaces the first.

    Raises:
        DataError: no such file, or no `step` column in it.
    """
    found: dict[str, dict[float, float]] = {}
    for path in map(Path, paths):
        if not path.is_file():
            raise DataError(f"{path}: no such file; expected the metrics.csv in the folder of a training run.")
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if "step" not in row:
                    raise DataError(
                        f"{path}: found columns {', '.join(row)}; expected the `step` that Lightning writes."
                    )
                for column in set(row) - {"step", "epoch"}:
                    if row[column] and isfinite(float(row[column])):
                        found.setdefault(column, {})[float(row["step"])] = float(row[column])
    curves = {}
    for column, points in sorted(found.items()):
        steps, values = np.array(sorted(points.items())).T
        if len(steps) > 1 and np.ptp(values) > 0:
            curves[column] = _thinned(steps, values)
    return curves


def build_curve_charts(paths: Sequence[str | Path]) -> list[tuple[str, Markup]]:
    """(name, chart) for each logged term, training and validation of one term in one chart."""
    terms: dict[str, dict[str, tuple[str, Values, Values]]] = {}
    curves = read_train_logs(paths)
    for column, (steps, values) in curves.items():
        if column.endswith("_epoch") and f"{column.removesuffix('_epoch')}_step" in curves:
            continue  # the same term twice: its steps show more
        stage, term = _stage(column)
        terms.setdefault(term, {})[stage or term] = (STAGES.get(stage, "own"), steps, values)
    return [(term, svg.draw_lines(series, f"{term} over training", "step")) for term, series in terms.items()]


def _stage(column: str) -> tuple[str, str]:
    """`train/loss_step` -> (train, loss)."""
    name = column.removesuffix("_step").removesuffix("_epoch")
    for mark in ("/", "_"):
        stage, found, term = name.partition(mark)
        if found and stage in STAGES:
            return stage, term.replace("_", " ")
    return "", name.replace("_", " ")


def _thinned(steps: Values, values: Values) -> tuple[Values, Values]:
    """Means of neighbouring points where there are more than a page can show."""
    if len(steps) <= MAX_POINTS:
        return steps, values
    parts = [np.array([part.mean() for part in np.array_split(one, MAX_POINTS)]) for one in (steps, values)]
    return parts[0], parts[1]
