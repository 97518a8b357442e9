"""A comparison as text, as Markdown, and as a page."""

from collections.abc import Iterator, Sequence

from whence.evaluation.compare import Against, Comparison
from whence.evaluation.page import render
from whence.evaluation.tables import cell, markdown, plain
from whence.evaluation.words import printed, word

Lines = list[list[str]]
PAIRED = (
    "Differences are paired over the same pictures; p-values are two-sided and "
    "not corrected for their number. A dash: the numbers per sample alone do not give the score."
)


def text(comparisons: Sequence[Comparison], markdown: bool = False) -> str:
    """Tables of all data sets, as plain text or Markdown."""
    return "\n\n".join("\n\n".join(_parts(one, markdown)) for one in comparisons)


def page(comparisons: Sequence[Comparison], title: str = "Comparison") -> str:
    """The same as one self-contained page."""
    sets = [
        {
            "head": head(one),
            "models": models(one),
            "published": published_rows(one),
            "reasons": reasons(one),
            "notes": one.notes,
        }
        for one in comparisons
    ]
    return render("compare.html.j2", title=title, sets=sets, paired=PAIRED)


def _parts(one: Comparison, as_markdown: bool) -> Iterator[str]:
    drawn = markdown if as_markdown else plain
    yield f"## {head(one)}" if as_markdown else head(one)
    yield drawn(models(one))
    yield PAIRED
    if rows := published_rows(one):
        yield "Published:"
        yield drawn(rows)
        yield "\n".join(reasons(one))
    for note in one.notes:
        yield f"note: {note}"


def head(one: Comparison) -> str:
    """What was scored, by which rules."""
    return f"{one.dataset}: {one.n:,} items, protocol {one.protocol}, percent with 95 % intervals"


def models(one: Comparison) -> Lines:
    """A line for each metric: each model, each difference to the first with its p-value, rows that need no model."""
    beside = [name for name, metrics in one.rest.items() if any(key in one.values for key in metrics)]
    others = [f"{name} - {one.names[0]}" for name in one.names[1:]]
    lines = [["", *one.names, *others, *beside]]
    for key, cells in one.values.items():
        scores = [cell(key, found, with_ends=True) for found in cells]
        gaps = [_gap(key, found) for found in one.against[key]]
        rest = [cell(key, one.rest[name].get(key), with_ends=False) for name in beside]
        lines.append([word(key).name, *scores, *gaps, *rest])
    return lines


def _gap(key: str, found: Against | None) -> str:
    if found is None:
        return "-"
    sign = "+" if found.difference.value > 0 else ""
    p = "" if found.p != found.p else f", p {'< 0.001' if found.p < 0.001 else f'= {found.p:.3f}'}"
    return f"{sign}{cell(key, found.difference, with_ends=True)}{p}"


def published_rows(one: Comparison) -> Lines:
    """A line for each published row, its scores beside marks for `reasons`; none where none is of this set."""
    keys = [key for key in one.values if any(key in dict(row.metrics) for row, _ in one.rows)]
    if not keys:
        return []
    marks = {reason: f"[{number}]" for number, reason in enumerate(_told(one), start=1)}
    lines = [["published", *(word(key).name for key in keys), "table", "differs in"]]
    for row, why in one.rows:
        known = dict(row.metrics)
        if not known.keys() & set(keys):
            continue
        values = [printed(key, known[key]) if key in known else "-" for key in keys]
        lines.append([row.name, *values, row.table, " ".join(marks[reason] for reason in why) or "nothing known"])
    return lines


def reasons(one: Comparison) -> list[str]:
    """What the marks of `published_rows` stand for."""
    return [f"[{number}] {reason}" for number, reason in enumerate(_told(one), start=1)] if one.rows else []


def _told(one: Comparison) -> list[str]:
    return list(dict.fromkeys(reason for _, why in one.rows for reason in why))
