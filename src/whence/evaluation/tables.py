"""Reports and protocols as tables of plain text or Markdown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from whence.evaluation.protocols import PROTOCOLS
from whence.evaluation.words import printed, word

if TYPE_CHECKING:
    from whence.evaluation.interval import Interval
    from whence.evaluation.report import Report

UNDER_ALL = (  # what is shown of other protocols
    *("ciou", "auc", "ciou_adaptive", "auc_adaptive", "mean_iou", "iiou", "iiou_adaptive"),
    *("fscore", "fscore_adaptive", "ap", "max_f1", "loc_acc"),
)
LOGITS = [name for name, protocol in PROTOCOLS.items() if protocol.scaling == "sigmoid"]


def plain(lines: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, two blanks between them."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """The first line is the head; all columns but the first hold numbers."""
    head, *body = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *body))


def in_words(report: "Report") -> str:
    """What the terminal shows of a report."""
    name = report.protocol.get("name", "?")
    parts = [
        f"{report.dataset}: {report.n} items, protocol {name}, percent with 95 % intervals",
        plain(of_rows(report)),
    ]
    if report.others:
        parts += ["", "The same maps under every rule:", plain(of_protocols(report)), moved(report)]
    if report.listening:
        parts.append(f"listening: {report.listening.verdict}")
    return "\n".join([*parts, *(f"note: {note}" for note in report.notes)])


def of_rows(report: "Report") -> list[list[str]]:
    """A line for each score, a column for each row; intervals of the model's alone."""
    keys = dict.fromkeys(key for row in report.rows for key in row.metrics)
    lines = [["", *(row.name for row in report.rows)]]
    for key in keys:
        cells = (cell(key, row.metrics.get(key), row.kind == "model") for row in report.rows)
        lines.append([word(key).name, *cells])
    return lines


def of_protocols(report: "Report") -> list[list[str]]:
    """A line for each protocol: the model's localisation scores under it."""
    spread = report.spread()
    keys = [key for key in UNDER_ALL if any(key in scores for scores in spread.values())]
    lines = [["protocol", *(word(key).name for key in keys)]]
    for name, scores in spread.items():
        lines.append([name, *(printed(key, scores[key]) if key in scores else "-" for key in keys)])
    return lines


def moved(report: "Report", key: str = "ciou") -> str:
    """How far a score moves by the rules alone, in one sentence; rules that take maps as logits are left out."""
    spread = report.spread()
    scores = {name: found[key] for name, found in spread.items() if key in found and name not in LOGITS}
    if not scores:
        return "These rules take maps as logits, which those of other rules are not."
    least, most = min(scores, key=scores.__getitem__), max(scores, key=scores.__getitem__)
    low, high = printed(key, scores[least]), printed(key, scores[most])
    apart = [name for name in LOGITS if name in spread]
    beside = f" ({' and '.join(apart)} take maps as logits and stand apart)" if apart else ""
    if low == high:
        return f"{word(key).name} is {low} under each of these rules{beside}."
    return f"{word(key).name} moves from {low} ({least}) to {high} ({most}) by the rules alone{beside}."


def cell(key: str, interval: "Interval | None", with_ends: bool) -> str:
    """A value, `-` where there is none, with its interval where that is known and wanted."""
    if interval is None:
        return "-"
    value = printed(key, interval.value)
    known = with_ends and interval.low == interval.low  # not nan
    return f"{value} [{printed(key, interval.low)}, {printed(key, interval.high)}]" if known else value
