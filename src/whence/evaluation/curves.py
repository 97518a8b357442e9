"""Loss curves from the metrics.csv that Lightning's CSVLogger writes."""

import csv
from pathlib import Path

import numpy as np
from markupsafe import Markup

from whence.errors import DataError
from whence.evaluation import svg
from whence.evaluation.svg import Values

STAGES = {"train": "own", "val": "foreign", "valid": "foreign", "validation": "foreign", "probe": "foreign"}
POINTS = 240  # a curve on a page has no room for more


def read_curves(path: str | Path) -> dict[str, tuple[Values, Values]]:
    """Column -> (steps, values), each column where it has values; those that never move are left out.

    Raises:
        DataError: no such file, or no `step` column in it.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; expected the metrics.csv of a training run (runs/NAME/.../metrics.csv)."
        )
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows and "step" not in rows[0]:
        raise DataError(
            f"{path}: has columns {', '.join(rows[0])}; expected `step` among them, as Lightning writes it."
        )
    curves = {}
    for column in rows[0] if rows else ():
        pairs = np.array([(float(row["step"]), float(row[column])) for row in rows if row[column] and row["step"]])
        if column not in ("step", "epoch") and len(pairs) > 1:
            pairs = pairs[np.isfinite(pairs).all(axis=1)]
            if len(pairs) > 1 and np.ptp(pairs[:, 1]) > 0:
                curves[column] = _thinned(pairs[:, 0], pairs[:, 1])
    return curves


def curve_charts(path: str | Path) -> list[tuple[str, Markup]]:
    """(name, chart) for each logged term, training and validation of one term in one chart."""
    terms: dict[str, dict[str, tuple[str, Values, Values]]] = {}
    curves = read_curves(path)
    for column, (steps, values) in curves.items():
        if column.endswith("_epoch") and f"{column.removesuffix('_epoch')}_step" in curves:
            continue  # the same term twice: its steps show more
        stage, term = _stage(column)
        terms.setdefault(term, {})[stage or term] = (STAGES.get(stage, "own"), steps, values)
    return [(term, svg.lines(series, f"{term} over training", "step")) for term, series in terms.items()]


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
    if len(steps) <= POINTS:
        return steps, values
    parts = [np.array([part.mean() for part in np.array_split(one, POINTS)]) for one in (steps, values)]
    return parts[0], parts[1]
