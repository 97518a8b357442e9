"""A comparison as text, as Markdown, and as a page."""

from collections.abc import Iterator, Sequence

from soundspot.evaluation.metrics.registry import format_value, get_metric_info
from soundspot.evaluation.report.compare import Comparison, PairedDifference
from soundspot.evaluation.report.tables import drop_empty_columns, format_cell, format_markdown_table, format_text_table
from soundspot.evaluation.report.templating import render_template

TextTable = list[list[str]]
PAIRED_NOTE = (
    "Differences are paired over the same images; p-values are two-sided and "
    "not corrected for their number. A dash: the numbers per sample alone do not give the score."
)


def format_comparison(comparisons: Sequence[Comparison], markdown: bool = False) -> str:
    """Format the tables of all data sets as text.

    Args:
        comparisons: a comparison for each data set.
        markdown: True: Markdown; False: plain text of equal column widths.

    Returns:
        Lines of text: a heading, tables and notes for each data set.
    """
    return "\n\n".join("\n\n".join(_iter_sections(comparison, markdown)) for comparison in comparisons)


def render_comparison(comparisons: Sequence[Comparison], title: str = "Comparison") -> str:
    """Render the tables of all data sets as one self-contained HTML page.

    Args:
        comparisons: a comparison for each data set.
        title: heading of the page.

    Returns:
        HTML text.
    """
    sets = [
        {
            "head": _format_heading(comparison),
            "models": build_model_table(comparison),
            "published": build_published_table(comparison),
            "reasons": _list_reasons(comparison),
            "notes": comparison.notes,
        }
        for comparison in comparisons
    ]
    return render_template("compare.html.j2", title=title, sets=sets, paired=PAIRED_NOTE)


def _iter_sections(comparison: Comparison, markdown: bool) -> Iterator[str]:
    format_table = format_markdown_table if markdown else format_text_table
    heading = _format_heading(comparison)
    yield f"## {heading}" if markdown else heading
    yield format_table(build_model_table(comparison))
    yield PAIRED_NOTE
    if rows := build_published_table(comparison):
        yield "Published:"
        yield format_table(rows)
        yield "\n".join(_list_reasons(comparison))
    for note in comparison.notes:
        yield f"note: {note}"


def _format_heading(comparison: Comparison) -> str:
    return (
        f"{comparison.dataset}: {comparison.n:,} samples, protocol {comparison.protocol}, percent with 95 % intervals"
    )


def build_model_table(comparison: Comparison) -> TextTable:
    """Build the table of a comparison, a row for each metric.

    Args:
        comparison: reports of one data set.

    Returns:
        Rows of text cells, the head first: metric, score of each model, differences to the first model with p-values,
        and rows that need no model.
    """
    free = [name for name, metrics in comparison.model_free.items() if any(key in comparison.values for key in metrics)]
    others = [f"{name} - {comparison.names[0]}" for name in comparison.names[1:]]
    lines = [["", *comparison.names, *others, *free]]
    for key, cells in comparison.values.items():
        scores = [format_cell(key, score, with_interval=True) for score in cells]
        differences = [_format_difference(key, difference) for difference in comparison.differences[key]]
        of_free = [format_cell(key, comparison.model_free[name].get(key), with_interval=False) for name in free]
        lines.append([get_metric_info(key).label, *scores, *differences, *of_free])
    return drop_empty_columns(lines)


def _format_difference(key: str, paired: PairedDifference | None) -> str:
    if paired is None:
        return "-"
    sign = "+" if paired.difference.value > 0 else ""
    text = f"{sign}{format_cell(key, paired.difference, with_interval=True)}"
    if paired.p_value != paired.p_value:
        return text
    return f"{text}, p {'< 0.001' if paired.p_value < 0.001 else f'= {paired.p_value:.3f}'}"


def build_published_table(comparison: Comparison) -> TextTable:
    """Build the table of published scores, a row for each row of a paper.

    Args:
        comparison: reports of one data set.

    Returns:
        Rows of text cells, the head first: name, scores, number of the paper's table, and numbered marks of the reasons
            why
        it may not be comparable; empty where no published row has a metric of the reports.
    """
    keys = [key for key in comparison.values if any(key in row.metrics for row, _ in comparison.published)]
    if not keys:
        return []
    marks = {reason: f"[{number}]" for number, reason in enumerate(_unique_reasons(comparison), start=1)}
    lines = [["published", *(get_metric_info(key).label for key in keys), "table", "differs in"]]
    for row, reasons in comparison.published:
        if row.metrics.keys() & set(keys):
            values = [format_value(key, row.metrics[key]) if key in row.metrics else "-" for key in keys]
            lines.append([row.name, *values, row.table, " ".join(marks[r] for r in reasons) or "nothing known"])
    return drop_empty_columns(lines)


def _list_reasons(comparison: Comparison) -> list[str]:
    return [f"[{number}] {reason}" for number, reason in enumerate(_unique_reasons(comparison), start=1)]


def _unique_reasons(comparison: Comparison) -> list[str]:
    return list(dict.fromkeys(reason for _, reasons in comparison.published for reason in reasons))
