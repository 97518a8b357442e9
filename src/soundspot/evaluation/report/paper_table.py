"""A comparison as a paper prints it: a row for each model, one decimal, the best in bold, no intervals."""

import csv
from collections.abc import Sequence
from io import StringIO
from typing import Literal, get_args

from markupsafe import Markup, escape

from soundspot.evaluation.metrics.registry import format_value, get_metric_info, headline_keys
from soundspot.evaluation.report.compare import Comparison
from soundspot.evaluation.report.tables import format_markdown_table

TableFormat = Literal["md", "tex", "html", "csv"]
TABLE_FORMATS: tuple[TableFormat, ...] = get_args(TableFormat)
_TEX = {character: f"\\{character}" for character in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
_TEX |= {"^": r"\textasciicircum{}", "–": "--"}


def format_paper_tables(comparisons: Sequence[Comparison], style: TableFormat) -> str:
    """Format the headline scores of models as tables for a paper, one for each data set.

    Args:
        comparisons: a comparison for each data set.
        style: Markdown, LaTeX (packages `booktabs`), HTML or CSV; CSV has no bold.

    Returns:
        The tables: a column for each headline metric that a model has, percent with one decimal; the best values of a
        column in bold, where there are two models or more, by the digits that are printed.
    """
    return "\n\n".join(_format_table(comparison, style) for comparison in comparisons)


def _format_table(comparison: Comparison, style: TableFormat) -> str:
    keys = [key for key in headline_keys() if any(comparison.values.get(key, ()))]
    caption = f"{comparison.dataset}, {comparison.n} samples, protocol {comparison.protocol}"
    columns = [[format_value(key, score.value) if score else "–" for score in comparison.values[key]] for key in keys]
    bold = [_find_best(key, column) for key, column in zip(keys, columns, strict=True)]
    head = [_mark("model" if style == "csv" else "", False, style)]
    head += [_mark(get_metric_info(key).label, False, style) for key in keys]
    rows = [
        [
            _mark(name, False, style),
            *(_mark(column[i], i in best, style) for column, best in zip(columns, bold, strict=True)),
        ]
        for i, name in enumerate(comparison.names)
    ]
    if style == "md":
        return f"{caption}\n\n{format_markdown_table([head, *rows])}"
    if style == "csv":
        text = StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            [["data set", *head], *([comparison.dataset, *r] for r in rows)]
        )
        return text.getvalue().rstrip("\n")
    if style == "html":
        rows_of_html = [
            Markup("<tr>{}</tr>").format(Markup("").join(Markup("<{0}>{1}</{0}>").format(tag, cell) for cell in row))
            for tag, row in (("th", head), *(("td", row) for row in rows))
        ]
        return Markup("<table>\n<caption>{}</caption>\n{}\n</table>").format(caption, Markup("\n").join(rows_of_html))
    body = [" & ".join(row) + r" \\" for row in (head, *rows)]
    lines = [rf"% {caption}", rf"\begin{{tabular}}{{l{'r' * len(keys)}}}", r"\toprule", body[0], r"\midrule", *body[1:]]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _find_best(key: str, column: list[str]) -> set[int]:
    """Return the rows with the best printed value of a metric; none where fewer than two have one."""
    values = {row: float(text) for row, text in enumerate(column) if text != "–"}
    if len(values) < 2:
        return set()
    best = (max if get_metric_info(key).higher_is_better else min)(values.values())
    return {row for row, value in values.items() if value == best}


def _mark(text: str, is_bold: bool, style: TableFormat) -> str:
    """Return text as a cell of a style, escaped."""
    if style == "tex":
        text = "".join(_TEX.get(character, character) for character in text)
        return rf"\textbf{{{text}}}" if is_bold else text
    if style == "html":
        return Markup("<b>{}</b>").format(text) if is_bold else escape(text)
    return f"**{text}**" if is_bold and style == "md" else text
