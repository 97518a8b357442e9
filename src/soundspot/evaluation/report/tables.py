"""Reports and protocols as tables of plain text or Markdown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from soundspot.evaluation.metrics.bootstrap import Interval
from soundspot.evaluation.metrics.registry import format_value, get_metric_info, headline_keys, list_metrics
from soundspot.evaluation.protocols.presets import PROTOCOLS
from soundspot.evaluation.report.verdict import summarize_report

if TYPE_CHECKING:
    from soundspot.evaluation.report.report import Report

LOGIT_PROTOCOLS = [name for name, protocol in PROTOCOLS.items() if protocol.scaling == "sigmoid"]


def format_text_table(lines: Sequence[Sequence[str]]) -> str:
    """Format rows of cells as text columns of equal width with two blanks between them.

    Args:
        lines: at least one row of text cells, all of one length.

    Returns:
        Lines of text, cells aligned to the left.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def format_markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """Format rows of cells as a Markdown table.

    Args:
        lines: rows of text cells, the head first; all columns but the first hold numbers and are aligned to the right.

    Returns:
        Lines of Markdown; `|` in cells is escaped.
    """
    head, *body = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *body))


def drop_empty_columns(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    """Drop the columns of a table that hold dashes alone.

    Args:
        lines: rows of text cells, the head first, all of one length.

    Returns:
        The rows without these columns; the first column stays.
    """
    columns = [list(column) for column in zip(*lines, strict=True)]
    columns = [column for n, column in enumerate(columns) if n == 0 or any(cell != "-" for cell in column[1:])]
    return [list(line) for line in zip(*columns, strict=True)]


def format_report(report: "Report") -> str:
    """Format a report for the terminal.

    Args:
        report: the report.

    Returns:
        Lines of text: the verdict, the table of metrics, scores under other protocols, and notes.
    """
    name = report.protocol.get("name", "?")
    lines = [
        f"{report.dataset}: {report.n} samples, protocol {name}, percent with 95 % intervals",
        format_text_table(build_metric_table(report)),
    ]
    if report.other_protocols:
        table = format_text_table(build_protocol_table(report))
        lines += ["", "The same maps under every protocol:", table, protocol_spread(report)]
    for attribute, cells in build_subset_tables(report).items():
        lines += ["", f"By {attribute}:", format_text_table(cells)]
    verdict = summarize_report(report)
    return "\n".join([*([verdict] if verdict else []), *lines, *(f"note: {note}" for note in report.notes)])


def build_metric_table(report: "Report") -> list[list[str]]:
    """Build the table of a report: a line for each metric and a column for each row of the report.

    Args:
        report: the report.

    Returns:
        Rows of text cells, the head first; the model's scores have intervals.
    """
    keys = dict.fromkeys(key for row in report.rows for key in row.metrics)
    lines = [["", *(row.name for row in report.rows)]]
    for key in keys:
        cells = (format_cell(key, row.metrics.get(key), row.kind == "model") for row in report.rows)
        lines.append([get_metric_info(key).label, *cells])
    return drop_empty_columns(lines)


def build_protocol_table(report: "Report") -> list[list[str]]:
    """Build the table of the model's headline scores under each protocol.

    Args:
        report: a report with other protocols.

    Returns:
        Rows of text cells, the head first, a row for each protocol; `-` where a protocol does not have a score.
    """
    by_protocol = report.scores_by_protocol()
    _, *others = by_protocol.values()  # of the report's own, scores that no protocol moves too
    keys = [key for key in list_metrics() if key in headline_keys() and any(key in scores for scores in others)]
    lines = [["protocol", *(get_metric_info(key).label for key in keys)]]
    for name, scores in by_protocol.items():
        lines.append([name, *(format_value(key, scores[key]) if key in scores else "-" for key in keys)])
    return drop_empty_columns(lines)


def build_subset_tables(report: "Report") -> dict[str, list[list[str]]]:
    """Build a table of the model's headline scores for each attribute that they are divided by.

    Args:
        report: the report.

    Returns:
        Attribute -> rows of text cells, the head first: value, number of scored samples, the model's first four scores,
        with intervals from ten images on, and behind the first that of the row without sound that is best overall. `-`
        where a subset lacks a score; attributes whose subsets have none are left out.
    """
    tables: dict[str, list[list[str]]] = {}
    for attribute in dict.fromkeys(subset.attribute for subset in report.subsets):
        subsets = [subset for subset in report.subsets if subset.attribute == attribute]
        known = [key for key in report.model.metrics if any(key in subset.rows[0].metrics for subset in subsets)]
        keys = ([key for key in headline_keys() if key in known] or known)[:4]
        if not keys:
            continue
        labels, blind = [get_metric_info(key).label for key in keys], best_sound_blind(report, keys[0])
        table = [["", "samples", labels[0], blind or "without sound", *labels[1:]]]
        for subset in subsets:
            scores = {row.name: row.metrics.get(keys[0]) for row in subset.rows[1:]}
            first, *others = (format_cell(key, subset.rows[0].metrics.get(key), True) for key in keys)
            cells = first, format_cell(keys[0], scores.get(blind), False), *others
            table.append([subset.value or "unknown", f"{subset.n:,}", *cells])
        tables[attribute] = drop_empty_columns(table)
    return tables


def best_sound_blind(report: "Report", key: str) -> str:
    """Return the name of the best row that ignores the sound.

    Args:
        report: the report.
        key: report key of the score.

    Returns:
        Name of the row with the highest score; empty where there is none.
    """
    rows = (row for row in report.rows if row.kind == "sound-blind" and key in row.metrics)
    scores = {row.name: row.metrics[key].value for row in rows}
    return max(scores, key=scores.__getitem__, default="")


def protocol_spread(report: "Report", key: str = "ciou") -> str:
    """Describe how far the protocol alone moves a score; protocols that take maps as logits are left out.

    Args:
        report: a report with other protocols.
        key: report key of the score.

    Returns:
        One sentence.
    """
    by_protocol = report.scores_by_protocol()
    scores = {name: of[key] for name, of in by_protocol.items() if key in of and name not in LOGIT_PROTOCOLS}
    if not scores:
        return "These protocols take maps as logits, which those of other protocols are not."
    lowest, highest = min(scores, key=scores.__getitem__), max(scores, key=scores.__getitem__)
    low, high = format_value(key, scores[lowest]), format_value(key, scores[highest])
    logits = [name for name in LOGIT_PROTOCOLS if name in by_protocol]
    exception = f" ({' and '.join(logits)} take maps as logits and are not compared)" if logits else ""
    label = get_metric_info(key).label
    if low == high:
        return f"{label} is {low} under each of these protocols{exception}."
    return f"{label} moves from {low} ({lowest}) to {high} ({highest}) by the protocol alone{exception}."


def format_cell(key: str, interval: Interval | None, with_interval: bool) -> str:
    """Format a score, with its interval where it is known and wanted.

    Args:
        key: report key of the metric.
        interval: the score; None: there is none.
        with_interval: whether to add the interval.

    Returns:
        Text such as `34.6 [30.1, 39.0]` or `34.6`; `-` where there is no score.
    """
    if interval is None:
        return "-"
    value = format_value(key, interval.value)
    is_known = with_interval and interval.low == interval.low  # not nan
    return f"{value} [{format_value(key, interval.low)}, {format_value(key, interval.high)}]" if is_known else value
