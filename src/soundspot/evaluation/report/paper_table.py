"""A comparison as papers print it: a row for each model, one decimal, the best of each column in bold."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from markupsafe import Markup, escape

from soundspot.errors import DataError
from soundspot.evaluation.metrics.bootstrap import Interval
from soundspot.evaluation.metrics.registry import get_metric_info, headline_keys
from soundspot.evaluation.report.compare import Comparison
from soundspot.evaluation.report.tables import drop_empty_columns, format_cell, format_markdown_table

PaperFormat = Literal["md", "tex", "html", "csv"]
PAPER_FORMATS: tuple[PaperFormat, ...] = get_args(PaperFormat)
TEX_ESCAPES = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "→": r"$\to$", **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}  # fmt: skip


def format_paper_tables(comparisons: Sequence[Comparison], style: PaperFormat, intervals: bool = False) -> str:
    """Format a table for each data set: published rows, then the models of the reports.

    Args:
        comparisons: a comparison for each data set.
        style: `md`, `tex` (needs the package booktabs), `html`, or `csv` (without bold).
        intervals: add the 95 % intervals of the reports.

    Returns:
        Text of the tables; numbers in brackets mark in what a published row is known to differ.
    """
    return "\n\n".join(_FORMATS[style](comparison, intervals) for comparison in comparisons)


def find_paper_format(name: str | None, suffix: str) -> PaperFormat | None:
    """Find the format of a table by its name, or by the suffix of a file where only a table has that suffix.

    Args:
        name: name of the format, or None.
        suffix: suffix of the file with its dot; "" for none.

    Returns:
        The format; None where neither names one.

    Raises:
        DataError: the name is no format, or the file has another's suffix.
    """
    if name is None:
        return next((style for style in ("tex", "csv") if suffix == f".{style}"), None)
    for style in PAPER_FORMATS:
        if style == name:
            if suffix not in ("", f".{style}"):
                raise DataError(f"--format {name}: found an output that ends in {suffix}, expected .{style}.")
            return style
    raise DataError(f"--format: found {name!r}, expected one of {', '.join(PAPER_FORMATS)}.")


def build_paper_table(
    comparison: Comparison, intervals: bool, embolden: Callable[[str], str], escaped: Callable[[str], str] = str
) -> tuple[list[list[str]], list[str]]:
    """Build the table of a comparison with a row for each model.

    Args:
        comparison: reports of one data set.
        intervals: whether to add the intervals of the reports.
        embolden: function that marks the best score of a column, and those that are printed alike.
        escaped: function that escapes names.

    Returns:
        Rows of text cells, the head first, without columns of dashes; and the reasons that numbers in brackets mean.
    """
    printed = {key for row, _ in comparison.published for key in row.metrics}
    keys = [key for key in headline_keys() if key in comparison.values]
    keys += [key for key in comparison.values if key in printed and key not in keys]
    reasons: list[str] = []
    rows: list[tuple[str, dict[str, Interval | None]]] = []
    for row, differences in comparison.published:
        if row.metrics.keys() & set(keys):
            reasons += [reason for reason in differences if reason not in reasons]
            numbers = sorted(reasons.index(reason) + 1 for reason in differences)
            marks = "".join(f" [{number}]" for number in numbers)
            rows.append((row.name + marks, {key: Interval(value) for key, value in row.metrics.items()}))
    for n, name in enumerate(comparison.names):
        rows.append((name, {key: comparison.values[key][n] for key in keys}))
    best = {key: _best_text(key, [scores.get(key) for _, scores in rows]) for key in keys}
    if len(rows) == 1:  # a report alone stands beside its own rows that need no model
        rows[:0] = [(name, dict(scores)) for name, scores in comparison.model_free.items() if scores.keys() & set(keys)]
    table = [["", *(escaped(get_metric_info(key).label) for key in keys)]]
    for name, scores in rows:
        cells = [escaped(name)]
        for key in keys:
            score = scores.get(key)
            text = escaped(format_cell(key, score, intervals))
            cells.append(embolden(text) if format_cell(key, score, False) == best[key] else text)
        table.append(cells)
    return drop_empty_columns(table), reasons


def _best_text(key: str, scores: Sequence[Interval | None]) -> str:
    """Return the best score as it is printed; empty where there are fewer than two."""
    values = [score for score in scores if score is not None and score.value == score.value]
    best = max if get_metric_info(key).higher_is_better else min
    return format_cell(key, best(values, key=lambda score: score.value), False) if len(values) > 1 else ""


def _caption(comparison: Comparison) -> str:
    return f"{comparison.dataset}: {comparison.n:,} samples, protocol {comparison.protocol}"


def _format_markdown(comparison: Comparison, intervals: bool) -> str:
    table, reasons = build_paper_table(comparison, intervals, "**{}**".format)
    notes = "".join(f"\n\n[{n}] {reason}" for n, reason in enumerate(reasons, 1))
    return f"{_caption(comparison)}\n\n{format_markdown_table(table)}{notes}"


def _escape_tex(text: str) -> str:
    return "".join(TEX_ESCAPES.get(letter, letter) for letter in text)


def _format_tex(comparison: Comparison, intervals: bool) -> str:
    table, reasons = build_paper_table(comparison, intervals, r"\textbf{{{}}}".format, _escape_tex)
    head, *rows = (" & ".join(line) + r" \\" for line in table)
    rows.insert(len(rows) - len(comparison.names), r"\midrule")
    wide = rf"\multicolumn{{{len(table[0])}}}{{l}}"
    notes = [f"{wide}{{\\footnotesize [{n}] {_escape_tex(reason)}}} \\\\" for n, reason in enumerate(reasons, 1)]
    lines = [f"% {_caption(comparison)}", r"% needs \usepackage{booktabs}"]
    lines += [rf"\begin{{tabular}}{{l{'r' * (len(table[0]) - 1)}}}", r"\toprule", head]
    lines += [r"\midrule"] * (rows[0] != r"\midrule") + [*rows, r"\bottomrule", *notes, r"\end{tabular}"]
    return "\n".join(lines)


def _format_html(comparison: Comparison, intervals: bool) -> str:
    table, reasons = build_paper_table(comparison, intervals, "<b>{}</b>".format, lambda text: str(escape(text)))
    head, *body = ("".join(f"<td>{cell}</td>" for cell in line) for line in table)
    rows = "\n".join(f"<tr>{line}</tr>" for line in (head.replace("td>", "th>"), *body))
    notes = "".join(Markup("<p>[{}] {}</p>\n").format(n, reason) for n, reason in enumerate(reasons, 1))
    return (
        f'<meta charset="utf-8">\n<table>\n<caption>{escape(_caption(comparison))}</caption>\n{rows}\n</table>\n{notes}'
    )


def _format_csv(comparison: Comparison, intervals: bool) -> str:
    table, reasons = build_paper_table(comparison, intervals, str)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([["" if cell == "-" else cell for cell in line] for line in table])
    return file.getvalue().rstrip("\n") + "".join(f"\n# [{n}] {reason}" for n, reason in enumerate(reasons, 1))


_FORMATS: dict[PaperFormat, Callable[[Comparison, bool], str]] = {
    "md": _format_markdown,
    "tex": _format_tex,
    "html": _format_html,
    "csv": _format_csv,
}
