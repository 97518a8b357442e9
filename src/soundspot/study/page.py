"""The page of a study: its tables in Markdown, CSV and JSON, beside its figures."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from soundspot import __version__
from soundspot.study.figures import draw_correlations, draw_ranks, draw_scores, make_examples
from soundspot.study.journal import Record
from soundspot.study.page_sections import (
    format_blind,
    format_correlations,
    format_costs,
    format_differences,
    format_head,
    format_scores,
    format_tuning,
    format_verdicts,
    pairs_of_names,
)
from soundspot.study.plan import Planner
from soundspot.study.results import Results, Summary, collect_results, correlate_columns, summarize
from soundspot.study.statistics import Correlation
from soundspot.utils.atomic_io import atomic_write, atomic_write_bytes

PAGE, TABLE, NUMBERS = "study.md", "scores.csv", "study.json"


def write_page(planner: Planner, records: Mapping[str, Record]) -> Path:
    """Write the page, the table and the figures of a study.

    Args:
        planner: jobs of the study.
        records: records of its journal.

    Returns:
        Path of the page.

    Raises:
        DataError: a file of draws is missing or damaged.
        OutputError: the folder cannot be written.
    """
    results, folder = collect_results(planner, records), planner.folder
    summaries = {name: summarize(column) for name, column in results.columns.items()}
    pairs = [(results.columns[x], results.columns[y]) for x, y in planner.study.correlations]
    correlations = [correlate_columns(x, y) for x, y in pairs]
    headings = next(iter(planner.study.tables.values()))
    sections = [
        format_head(planner, results),
        *(format_scores(title, table, results, summaries) for title, table in planner.study.tables.items()),
        format_differences(headings, results, summaries),
        format_blind(results, summaries),
        format_verdicts(results),
        format_correlations(pairs_of_names(planner), correlations),
        format_tuning(results),
        format_costs(results, records),
    ]
    main = {heading: summaries[name] for heading, name in headings.items()}
    figures = [
        draw_scores(main, results.arms, folder / "scores.png"),
        draw_ranks(main, results.arms, folder / "ranks.png"),
        draw_correlations(pairs, results.arms, folder / "correlations.png"),
        make_examples(results.scores, folder / "examples", folder / "maps.jpg"),
    ]
    sections += [f"![{name}]({name})" for name in figures if name]
    _write(folder / PAGE, "\n\n".join(filter(None, sections)) + "\n")
    numbers = to_json(planner, results, summaries, correlations)
    _write(folder / NUMBERS, json.dumps(numbers, indent=1, allow_nan=False) + "\n")
    with atomic_write(folder / TABLE) as draft, open(draft, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(list_rows(results))
    return folder / PAGE


def _write(path: Path, text: str) -> None:
    atomic_write_bytes(path, text.encode())


def list_rows(results: Results) -> list[list[Any]]:
    """List every score of every arm and seed.

    Args:
        results: results of the study.

    Returns:
        Rows of the CSV file, the head first; empty cells where there is no score.
    """
    rows: list[list[Any]] = [["arm", "seed", *results.columns]]
    for i, arm in enumerate(results.arms):
        for j, seed in enumerate(results.seeds):
            values = [column.values[i, j] for column in results.columns.values()]
            rows.append([arm, seed, *("" if np.isnan(x) else float(x) for x in values)])
    return rows


def to_json(
    planner: Planner, results: Results, summaries: Mapping[str, Summary], correlations: list[Correlation]
) -> dict[str, Any]:
    """Return the numbers of the page as plain values.

    Args:
        planner: jobs of the study.
        results: its results.
        summaries: `TEST/METRIC` -> statistics.
        correlations: correlations of the study's pairs.

    Returns:
        Nested dictionaries; None where a number is not known.
    """
    columns = {}
    for name, summary in summaries.items():
        columns[name] = {
            arm: {
                "mean": summary.means[i],
                "spread": summary.spread[i],
                "interval": summary.intervals[i][1:],
                "behind_best": summary.differences[i],
                "p_value": summary.p_values[i],
                "seeds": summary.column.values[i],
            }
            for i, arm in enumerate(results.arms)
        }
    pairs = zip(planner.study.correlations, correlations, strict=True)
    content = {
        "soundspot": __version__,
        "seeds": results.seeds,
        "columns": columns,
        "correlations": [{"pair": pair, "across": c.across, "within": c.within} for pair, c in pairs],
        "failures": results.failures,
        "missing": results.missing,
        "chosen": results.chosen,
    }
    return {key: _to_json_value(value) for key, value in content.items()}


def _to_json_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _to_json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_to_json_value(item) for item in value]
    if isinstance(value, float | np.floating):
        return round(float(value), 6) if np.isfinite(value) else None
    return value
