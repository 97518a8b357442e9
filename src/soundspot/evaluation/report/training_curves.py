"""Loss curves from the metrics.csv that Lightning's CSVLogger writes."""

import csv
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

import numpy as np
from markupsafe import Markup

from soundspot.errors import DataError
from soundspot.evaluation.report.figures import Values, draw_lines
from soundspot.utils.safe_read import convert_read_errors

STAGES = {"train": "own", "val": "foreign", "valid": "foreign", "validation": "foreign", "probe": "foreign"}
MAX_POINTS = 240  # a curve on a page has no room for more


def find_train_logs(checkpoint: str | Path) -> list[Path]:
    """Find the metrics.csv files of the run of a checkpoint (logs/attempt-N/metrics.csv beside it).

    Args:
        checkpoint: path of the checkpoint file.

    Returns:
        Paths, the oldest by modification time first; empty where there are none.
    """
    logs = Path(checkpoint).parent.glob("logs/attempt-*/metrics.csv")
    return sorted(logs, key=lambda path: path.stat().st_mtime)


def read_train_logs(paths: Sequence[str | Path]) -> dict[str, tuple[Values, Values]]:
    """Read the logged columns of a training run, without those that never change.

    Args:
        paths: paths of metrics.csv files of a run and its resumptions in order; a step logged again replaces the first.

    Returns:
        Column -> (n,) steps and (n,) values in the order of steps; more than `MAX_POINTS` (240) are averaged in blocks.
        Values that are not finite are left out, as are columns with a single step.

    Raises:
        DataError: a file does not exist, or has no `step` column.
    """
    points: dict[str, dict[float, float]] = {}
    for path in map(Path, paths):
        if not path.is_file():
            raise DataError(f"{path}: no such file; expected the metrics.csv in the folder of a training run.")
        expected = "expected the metrics.csv of a training run"
        with convert_read_errors(path, expected), path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if "step" not in row:
                    raise DataError(
                        f"{path}: found columns {', '.join(row)}; expected the `step` that Lightning writes."
                    )
                for column in set(row) - {"step", "epoch", None}:
                    if row[column] and isfinite(float(row[column])):
                        points.setdefault(column, {})[float(row["step"])] = float(row[column])
    curves = {}
    for column, values_by_step in sorted(points.items()):
        steps, values = np.array(sorted(values_by_step.items())).T
        if len(steps) > 1 and np.ptp(values) > 0:
            curves[column] = _downsample(steps, values)
    return curves


def build_curve_charts(paths: Sequence[str | Path]) -> list[tuple[str, Markup]]:
    """Draw each logged term over the steps of training, with training and validation in one chart.

    Args:
        paths: paths of metrics.csv files of a run and its resumptions in order; empty: no charts.

    Returns:
        (name, SVG element) of each term.

    Raises:
        DataError: a file does not exist, or has no `step` column.
    """
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
