"""Reports and protocols as tables of plain text or Markdown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from soundspot.evaluation.metrics.metric_info import format_value, get_metric_info
from soundspot.evaluation.protocols.presets import PROTOCOLS

if TYPE_CHECKING:
    from soundspot.evaluation.report.interval import Interval
    from soundspot.evaluation.report.report import Report

PROTOCOL_METRICS = (  # what is shown of other protocols
    *("ciou", "auc", "ciou_adaptive", "auc_adaptive", "mean_iou", "iiou", "iiou_adaptive"),
    *("fscore", "fscore_adaptive", "ap", "max_f1", "loc_acc"),
)
LOGIT_PROTOCOLS = [name for name, protocol in PROTOCOLS.items() if protocol.scaling == "sigmoid"]


def format_text_table(lines: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, two blanks between them."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def format_markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """The first line is the head; all columns but the first hold numbers."""
    head, *body = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *body))


def format_report(report: "Report") -> str:
    """What the terminal shows of a report."""
    name = report.protocol.get("name", "?")
    parts = [
        f"{report.dataset}: {report.n} items, protocol {name}, percent with 95 % intervals",
        format_text_table(build_metric_table(report)),
    ]
    if report.other_protocols:
        parts += [
            "",
            "The same maps under every rule:",
            format_text_table(build_protocol_table(report)),
            protocol_spread(report),
        ]
    if report.sound_sensitivity:
        parts.append(f"listening: {report.sound_sensitivity.verdict}")
    return "\n".join([*parts, *(f"note: {note}" for note in report.notes)])


def build_metric_table(report: "Report") -> list[list[str]]:
    """A line for each score, a column for each row; intervals of the model's alone."""
    keys = dict.fromkeys(key for row in report.rows for key in row.metrics)
    lines = [["", *(row.name for row in report.rows)]]
    for key in keys:
        cells = (format_cell(key, row.metrics.get(key), row.kind == "model") for row in report.rows)
        lines.append([get_metric_info(key).label, *cells])
    return lines


def build_protocol_table(report: "Report") -> list[list[str]]:
    """A line for each protocol: the model's localisation scores under it."""
    spread = report.scores_by_protocol()
    keys = [key for key in PROTOCOL_METRICS if any(key in scores for scores in spread.values())]
    lines = [["protocol", *(get_metric_info(key).label for key in keys)]]
    for name, scores in spread.items():
        lines.append([name, *(format_value(key, scores[key]) if key in scores else "-" for key in keys)])
    return lines


def protocol_spread(report: "Report", key: str = "ciou") -> str:
    """How far a score moves by the rules alone, in one sentence; rules that take maps as logits are left out."""
    spread = report.scores_by_protocol()
    scores = {name: found[key] for name, found in spread.items() if key in found and name not in LOGIT_PROTOCOLS}
    if not scores:
        return "These rules take maps as logits, which those of other rules are not."
    least, most = min(scores, key=scores.__getitem__), max(scores, key=scores.__getitem__)
    low, high = format_value(key, scores[least]), format_value(key, scores[most])
    apart = [name for name in LOGIT_PROTOCOLS if name in spread]
    beside = f" ({' and '.join(apart)} take maps as logits and stand apart)" if apart else ""
    if low == high:
        return f"{get_metric_info(key).label} is {low} under each of these rules{beside}."
    return f"{get_metric_info(key).label} moves from {low} ({least}) to {high} ({most}) by the rules alone{beside}."


def format_cell(key: str, interval: "Interval | None", with_interval: bool) -> str:
    """A value, `-` where there is none, with its interval where that is known and wanted."""
    if interval is None:
        return "-"
    value = format_value(key, interval.value)
    known = with_interval and interval.low == interval.low  # not nan
    return f"{value} [{format_value(key, interval.low)}, {format_value(key, interval.high)}]" if known else value
