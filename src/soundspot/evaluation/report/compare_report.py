"""A comparison as text, as Markdown, and as a page."""

from collections.abc import Iterator, Sequence

from soundspot.evaluation.metrics.metric_info import format_value, get_metric_info
from soundspot.evaluation.report.compare import Comparison, PairedDifference
from soundspot.evaluation.report.tables import format_cell, format_markdown_table, format_text_table
from soundspot.evaluation.report.templating import render_template

TextTable = list[list[str]]
PAIRED_NOTE = (
    "Differences are paired over the same pictures; p-values are two-sided and "
    "not corrected for their number. A dash: the numbers per sample alone do not give the score."
)


def format_comparison(comparisons: Sequence[Comparison], markdown: bool = False) -> str:
    """Tables of all data sets, as plain text or Markdown."""
    return "\n\n".join("\n\n".join(_parts(one, markdown)) for one in comparisons)


def render_comparison(comparisons: Sequence[Comparison], title: str = "Comparison") -> str:
    """The same as one self-contained page."""
    sets = [
        {
            "head": format_heading(one),
            "models": build_model_table(one),
            "published": build_published_table(one),
            "reasons": list_reasons(one),
            "notes": one.notes,
        }
        for one in comparisons
    ]
    return render_template("compare.html.j2", title=title, sets=sets, paired=PAIRED_NOTE)


def _parts(one: Comparison, as_markdown: bool) -> Iterator[str]:
    drawn = format_markdown_table if as_markdown else format_text_table
    yield f"## {format_heading(one)}" if as_markdown else format_heading(one)
    yield drawn(build_model_table(one))
    yield PAIRED_NOTE
    if rows := build_published_table(one):
        yield "Published:"
        yield drawn(rows)
        yield "\n".join(list_reasons(one))
    for note in one.notes:
        yield f"note: {note}"


def format_heading(comparison: Comparison) -> str:
    """What was scored, by which rules."""
    return f"{comparison.dataset}: {comparison.n:,} items, protocol {comparison.protocol}, percent with 95 % intervals"


def build_model_table(comparison: Comparison) -> TextTable:
    """A line for each metric: each model, each difference to the first with its p-value, rows that need no model."""
    beside = [
        name for name, metrics in comparison.model_free.items() if any(key in comparison.values for key in metrics)
    ]
    others = [f"{name} - {comparison.names[0]}" for name in comparison.names[1:]]
    lines = [["", *comparison.names, *others, *beside]]
    for key, cells in comparison.values.items():
        scores = [format_cell(key, found, with_interval=True) for found in cells]
        gaps = [_gap(key, found) for found in comparison.differences[key]]
        rest = [format_cell(key, comparison.model_free[name].get(key), with_interval=False) for name in beside]
        lines.append([get_metric_info(key).label, *scores, *gaps, *rest])
    return lines


def _gap(key: str, found: PairedDifference | None) -> str:
    if found is None:
        return "-"
    sign = "+" if found.difference.value > 0 else ""
    p = (
        ""
        if found.p_value != found.p_value
        else f", p {'< 0.001' if found.p_value < 0.001 else f'= {found.p_value:.3f}'}"
    )
    return f"{sign}{format_cell(key, found.difference, with_interval=True)}{p}"


def build_published_table(comparison: Comparison) -> TextTable:
    """A line for each published row, its scores beside marks for `reasons`; none where none is of this set."""
    keys = [key for key in comparison.values if any(key in dict(row.metrics) for row, _ in comparison.published)]
    if not keys:
        return []
    marks = {reason: f"[{number}]" for number, reason in enumerate(_told(comparison), start=1)}
    lines = [["published", *(get_metric_info(key).label for key in keys), "table", "differs in"]]
    for row, why in comparison.published:
        known = dict(row.metrics)
        if not known.keys() & set(keys):
            continue
        values = [format_value(key, known[key]) if key in known else "-" for key in keys]
        lines.append([row.name, *values, row.table, " ".join(marks[reason] for reason in why) or "nothing known"])
    return lines


def list_reasons(comparison: Comparison) -> list[str]:
    """What the marks of `published_rows` stand for."""
    return (
        [f"[{number}] {reason}" for number, reason in enumerate(_told(comparison), start=1)]
        if comparison.published
        else []
    )


def _told(one: Comparison) -> list[str]:
    return list(dict.fromkeys(reason for _, why in one.published for reason in why))
