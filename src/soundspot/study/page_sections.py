"""Sections of the page of a study, in Markdown."""

from collections.abc import Mapping

import numpy as np

from soundspot import __version__
from soundspot.evaluation.metrics.registry import get_metric_info
from soundspot.evaluation.report.tables import drop_empty_columns, format_markdown_table
from soundspot.study.journal import Record
from soundspot.study.plan import Planner
from soundspot.study.results import Results, Summary
from soundspot.study.statistics import Correlation, Estimate

SHARED_ROWS = ("centered box", "whole image", "chance", "ceiling")  # the same whatever the model
BLIND_ROWS = ("object saliency", "muted", "noise", "swapped audio")  # a model's answers without the right sound
SIGNIFICANCE = 0.05


def format_head(planner: Planner, results: Results) -> str:
    """Format the heading, what the numbers are, and what is missing among them.

    Args:
        planner: jobs of the study.
        results: its results.

    Returns:
        Markdown.
    """
    study, count = planner.study, len(results.seeds)
    lines = [
        f"# {study.title}",
        "",
        f"{len(results.arms)} trained alike, each with {count} seed{'s' * (count > 1)} "
        f"({', '.join(map(str, results.seeds))}), soundspot {__version__}. "
        "Percent: mean over seeds ± standard deviation between them, with the 95 % interval of a hierarchical "
        "bootstrap that draws seeds and images. The best is bold; \\* marks what differs from it: p < 0.05, paired by "
        "seed and image, corrected for the number of comparisons (Holm).",
    ]
    lines += [f"\n**{arm.name} is left out**: {arm.left_out}." for arm in study.arms if arm.left_out]
    if results.missing:
        lines.append(f"\n**Not complete**: {results.missing} trainings and scores are not done.")
    if results.failures:
        lines.append(f"\n**{len(results.failures)} failed**, and do not enter any mean:\n")
        lines += [f"- {failure}" for failure in results.failures]
    for version, number in results.ignored.items():
        lines.append(f"\n**{number} results of soundspot {version}** in the journal are not used.")
    return "\n".join(lines)


def format_scores(title: str, table: Mapping[str, str], results: Results, summaries: Mapping[str, Summary]) -> str:
    """Format the scores of all arms and of rows that need no model.

    Args:
        title: heading.
        table: heading of a column -> `TEST/METRIC`.
        results: results of the study.
        summaries: `TEST/METRIC` -> statistics.

    Returns:
        Markdown.
    """
    lines = [["", *table]]
    for i, arm in enumerate(results.arms):
        lines.append([arm, *(format_score(summaries[name], i) for name in table.values())])
    for row in SHARED_ROWS:
        cells = [_format_row(results, name, row) for name in table.values()]
        if any(cell != "–" for cell in cells):
            lines.append([row, *cells])
    return f"## {title}\n\n{format_markdown_table(lines)}"


def format_score(summary: Summary, arm: int) -> str:
    """Format the score of one arm.

    Args:
        summary: statistics of the column.
        arm: position of the arm.

    Returns:
        Such as `63.8 ± 2.1 (59.6, 68.0)*`; with `n = 2` where seeds failed; a dash where there is none.
    """
    key, (value, low, high) = summary.column.key, summary.intervals[arm]
    if not np.isfinite(value):
        return "–"
    spread = "" if np.isnan(summary.spread[arm]) else f" ± {_number(key, summary.spread[arm])}"
    mean = f"**{_number(key, value)}**" if arm == summary.best else _number(key, value)
    ends = f" ({_number(key, low)}, {_number(key, high)})" if np.isfinite(low) else ""
    count = int(np.isfinite(summary.column.values[arm]).sum())
    fewer = f" n = {count}" if count < summary.column.values.shape[1] else ""
    return f"{mean}{spread}{ends}{'*' * bool(summary.p_values[arm] < SIGNIFICANCE)}{fewer}"


def _number(key: str, value: float) -> str:
    return f"{100 * value:.1f}" if get_metric_info(key).is_fraction else f"{value:.3f}"


def _format_row(results: Results, column: str, row: str) -> str:
    """Return the value of a row that needs no model, by the first score that has it."""
    test, key = column.split("/", 1)
    for (_, _, name), record in results.scores.items():
        if name == test and (ends := record.get("rows", {}).get(row, {}).get(key)) and ends[0] is not None:
            return _number(key, ends[0])
    return "–"


def format_differences(headings: Mapping[str, str], results: Results, summaries: Mapping[str, Summary]) -> str:
    """Format the differences between the best arm and each other, with corrected p-values.

    Args:
        headings: heading of a column -> `TEST/METRIC`.
        results: results of the study.
        summaries: `TEST/METRIC` -> statistics.

    Returns:
        Markdown; empty for a single arm.
    """
    if len(results.arms) < 2:
        return ""
    lines = [["", *headings]]
    for i, arm in enumerate(results.arms):
        cells = []
        for name in headings.values():
            summary = summaries[name]
            gap, key = summary.differences[i], summary.column.key
            if i == summary.best or not np.isfinite(gap.low):
                cells.append("best" if i == summary.best else "–")
            else:
                ends = f"{_number(key, gap.value)} ({_number(key, gap.low)}, {_number(key, gap.high)})"
                cells.append(f"{ends}, p {summary.p_values[i]:.3f}")
        lines.append([arm, *cells])
    return f"## Behind the best\n\nBest minus each, in points; p by Holm.\n\n{format_markdown_table(lines)}"


def format_blind(results: Results, summaries: Mapping[str, Summary]) -> str:
    """Format the scores of each arm without the right sound: the first column of each test that has such rows.

    Args:
        results: results of the study.
        summaries: `TEST/METRIC` -> statistics.

    Returns:
        Markdown; empty where no test has such rows.
    """
    firsts: dict[str, str] = {}
    for name in results.columns:
        firsts.setdefault(name.partition("/")[0], name)
    lines = [["", *(f"{test}: {row}" for test in firsts for row in ("own sound", *BLIND_ROWS))]]
    for i, arm in enumerate(results.arms):
        cells = []
        for test, name in firsts.items():
            own = summaries[name].means[i]
            cells += ["-" if np.isnan(own) else _number(summaries[name].column.key, own)]
            cells += [_blind_mean(results, arm, test, name, row) for row in BLIND_ROWS]
        lines.append([arm, *cells])
    table = drop_empty_columns(lines)
    if not any(": " + row in heading for heading in table[0] for row in BLIND_ROWS):
        return ""
    words = ", ".join(f"{test}: {get_metric_info(name.split('/', 1)[1]).label}" for test, name in firsts.items())
    return f"## Without the right sound\n\nMeans over seeds ({words}).\n\n{format_markdown_table(table)}"


def _blind_mean(results: Results, arm: str, test: str, column: str, row: str) -> str:
    key = column.split("/", 1)[1]
    rows = [results.scores.get((arm, seed, test), {}).get("rows", {}).get(row, {}).get(key) for seed in results.seeds]
    values = [ends[0] for ends in rows if ends and ends[0] is not None]
    return _number(key, sum(values) / len(values)) if values else "-"


def format_verdicts(results: Results) -> str:
    """Format whether each arm listens, test by test, for the first seed, and for how many seeds it does.

    Args:
        results: results of the study.

    Returns:
        Markdown; empty where no report says so.
    """
    sections = []
    for test in dict.fromkeys(name.partition("/")[0] for name in results.columns):
        lines = []
        for arm in results.arms:
            records = [results.scores.get((arm, seed, test), {}) for seed in results.seeds]
            if verdicts := [record["verdict"] for record in records if record.get("verdict")]:
                listening = sum(verdict.startswith("It listens") for verdict in verdicts)
                lines.append(f"- **{arm}** ({listening} of {len(verdicts)} seeds listen): {verdicts[0]}")
        if lines:
            sections.append(f"## Does it listen? ({test})\n\n" + "\n".join(lines))
    return "\n\n".join(sections)


def pairs_of_names(planner: Planner) -> list[tuple[str, str]]:
    """Return the pairs of columns whose correlation is computed, named as the tables have them.

    Args:
        planner: jobs of the study.

    Returns:
        Pairs of headings; `TEST/METRIC` where no table has the column.
    """
    names = {column: heading for table in planner.study.tables.values() for heading, column in table.items()}
    return [(names.get(x, x), names.get(y, y)) for x, y in planner.study.correlations]


def format_correlations(pairs: list[tuple[str, str]], correlations: list[Correlation]) -> str:
    """Format rank correlations.

    Args:
        pairs: names of the scores.
        correlations: their correlations.

    Returns:
        Markdown; empty without pairs.
    """
    if not pairs:
        return ""
    lines = [["", "across", "within"]]
    for (x, y), correlation in zip(pairs, correlations, strict=True):
        lines.append([f"{x} and {y}", *map(_format_estimate, correlation)])
    words = (
        "Spearman's rank correlation: *across* over the means of all, *within* over seeds after the mean of each is "
        "taken away; intervals draw methods, seeds and images."
    )
    return f"## What predicts what\n\n{words}\n\n{format_markdown_table(lines)}"


def _format_estimate(x: Estimate) -> str:
    return "–" if not np.isfinite(x.value) else f"{x.value:.2f} ({x.low:.2f}, {x.high:.2f})"


def format_tuning(results: Results) -> str:
    """Format what was chosen on held-out data, and what that cost.

    Args:
        results: results of the study.

    Returns:
        Markdown; empty where nothing is tuned.
    """
    if not results.chosen:
        return ""
    lines = [["", "trainings", "chosen"]]
    trainings = [record for record in results.tuning if record["kind"] == "training"]
    for arm, chosen in results.chosen.items():
        number = sum(record["arm"] == arm for record in trainings)
        lines.append([arm, str(number), chosen or "the recipe's own"])
    minutes = sum(record["cpu_seconds"] for record in results.tuning) / 60
    words = f"On held-out data, never on test; {len(trainings)} trainings, {minutes:.1f} minutes of one core."
    return f"## Tuning\n\n{words}\n\n{format_markdown_table(lines)}"


def format_costs(results: Results, records: Mapping[str, Record]) -> str:
    """Format seconds and memory of trainings and scores, means over seeds.

    Args:
        results: results of the study.
        records: records of its journal.

    Returns:
        Markdown.
    """
    lines = [["", "weights that learn", "training, s", "its memory, MB", "scoring, s", "its memory, MB"]]
    for arm in results.arms:
        trainings = [record for (name, _), record in results.trainings.items() if name == arm]
        scores = [record for (name, *_), record in results.scores.items() if name == arm]
        weights = next((f"{record['weights']:,}" for record in trainings if "weights" in record), "–")
        lines.append([arm, weights, *_costs(trainings, len(trainings)), *_costs(scores, len(trainings))])
    own = [*results.trainings.values(), *results.scores.values()]
    before = [record for record in records.values() if record["kind"] in ("start", "features")]
    minutes = [sum(record["cpu_seconds"] for record in group) / 60 for group in (own, before)]
    words = (
        f"Seconds of the processor, for each seed; {minutes[0]:.1f} minutes of one core in all, and {minutes[1]:.1f} "
        "before, for start weights and features. Memory is the largest of a process, mapped files included. A training "
        "that was resumed counts its last process alone."
    )
    return f"## Cost\n\n{words}\n\n{format_markdown_table(lines)}"


def _costs(records: list[Record], count: int) -> list[str]:
    if not records:
        return ["–", "–"]
    return [f"{sum(r['cpu_seconds'] for r in records) / count:.1f}", f"{max(r['peak_mb'] for r in records):,}"]
