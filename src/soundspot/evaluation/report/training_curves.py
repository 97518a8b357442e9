"""Loss curves from the metrics.csv that Lightning's CSVLogger writes."""

import csv
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

import numpy as np
from markupsafe import Markup

from soundspot.errors import DataError
from soundspot.evaluation.report.figures import Values, draw_lines

STAGES = {"train": "own", "val": "foreign", "valid": "foreign", "validation": "foreign", "probe": "foreign"}
MAX_POINTS = 240  # a curve on a page has no room for more


def find_train_logs(checkpoint: str | Path) -> list[Path]:
    """Return each metrics.csv of the run of a checkpoint (logs/attempt-N/metrics.csv), oldest first."""
    logs = Path(checkpoint).parent.glob("logs/attempt-*/metrics.csv")
    return sorted(logs, key=lambda path: path.stat().st_mtime)


def read_train_logs(paths: Sequence[str | Path]) -> dict[str, tuple[Values, Values]]:
    """Read logged columns as column -> (steps, values), without those that never change.

    Args:
        paths: one metrics.csv, or those of a run and its resumptions in order: a step logged again replaces the first.

    Raises:
        DataError: no such file, or no `step` column in it.
    """
    points: dict[str, dict[float, float]] = {}
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
                        points.setdefault(column, {})[float(row["step"])] = float(row[column])
    curves = {}
    for column, values_by_step in sorted(points.items()):
        steps, values = np.array(sorted(values_by_step.items())).T
        if len(steps) > 1 and np.ptp(values) > 0:
            curves[column] = _downsample(steps, values)
    return curves


def build_curve_charts(paths: Sequence[str | Path]) -> list[tuple[str, Markup]]:
    """Return (name, chart) of each logged term, training and validation of one term in one chart."""
    terms: dict[str, dict[str, tuple[str, Values, Values]]] = {}
    curves = read_train_logs(paths)
    for column, (steps, values) in curves.items():
        if column.endswith("_epoch") and f"{column.removesuffix('_epoch')}_step" in curves:
            continue  # the same term twice: its steps show more
        stage, term = _split_stage(column)
        terms.setdefault(term, {})[stage or term] = (STAGES.get(stage, "own"), steps, values)
    return [(term, draw_lines(series, f"{term} over training", "step")) for term, series in terms.items()]


def _split_stage(column: str) -> tuple[str, str]:
    """Split `train/loss_step` into stage and term: (train, loss)."""
    name = column.removesuffix("_step").removesuffix("_epoch")
    for mark in ("/", "_"):
        stage, separator, term = name.partition(mark)
        if separator and stage in STAGES:
            return stage, term.replace("_", " ")
    return "", name.replace("_", " ")


def _downsample(steps: Values, values: Values) -> tuple[Values, Values]:
    """Average neighboring points where there are more than a page can show."""
    if len(steps) <= MAX_POINTS:
        return steps, values
    steps, values = (np.array([block.mean() for block in np.array_split(x, MAX_POINTS)]) for x in (steps, values))
    return steps, values
