"""What a report says in one line: the model against the best row that ignores the sound, and whether it listens."""

from math import isnan
from typing import TYPE_CHECKING

from soundspot.evaluation.metrics.bootstrap import Interval
from soundspot.evaluation.metrics.registry import MetricInfo, format_value, get_metric_info, headline_keys

if TYPE_CHECKING:
    from soundspot.evaluation.report.report import Report, ReportRow


def list_headlines(report: "Report") -> list[str]:
    """List the headline metrics of a report, those first that show most about sound sensitivity.

    A metric is left out where even the ceiling is 0 (small objects, when half of the image must be selected).

    Args:
        report: the report.

    Returns:
        Report keys in the order of `headline_keys`.
    """
    known = {key for key, score in report.model.metrics.items() if not isnan(score.value)}
    ceilings = [row.metrics for row in report.rows if row.kind == "ceiling"]
    known -= {key for metrics in ceilings for key, score in metrics.items() if not score.value}
    return [key for key in headline_keys() if key in known]


def find_best_blind_row(report: "Report", key: str) -> "ReportRow | None":
    """Find the best row that ignores the sound.

    Args:
        report: the report.
        key: report key of a metric.

    Returns:
        The row; None where no such row has the metric.
    """
    rows = [row for row in report.rows if row.kind == "sound-blind" and key in row.metrics]
    rows = [row for row in rows if not isnan(row.metrics[key].value)]
    best = max if get_metric_info(key).higher_is_better else min
    return best(rows, key=lambda row: row.metrics[key].value, default=None)


def compare_with_blind_row(score: Interval, name: str, blind: Interval, metric: MetricInfo) -> tuple[str, bool]:
    """Compare a score of the model to that of the best sound-blind row.

    Args:
        score: score of the model.
        name: name of the row.
        blind: score of the row.
        metric: what the metric is.

    Returns:
        A sentence, and True where the model is better beyond chance.
    """
    gap = 100 * (score.value - blind.value)
    comparison = f"{abs(gap):.1f} points {'above' if gap > 0 else 'below'}" if abs(gap) >= 0.05 else "Level with"
    sentence = f"{comparison} {name}, the best sound-blind row"
    if isnan(score.low) or isnan(blind.low):
        return f"{sentence}; without intervals.", False
    is_above, is_below = score.low > blind.high, score.high < blind.low
    is_better = is_above if metric.higher_is_better else is_below
    return f"{sentence}." if is_above or is_below else f"{sentence}; their intervals overlap.", is_better


def summarize_report(report: "Report") -> str:
    """Summarize a report in one line: its first headline metric against the best sound-blind row, and sensitivity.

    Args:
        report: the report.

    Returns:
        One or two sentences; "" where the report has no headline metric.
    """
    sentences = []
    for key in list_headlines(report)[:1]:
        metric, score = get_metric_info(key), report.model.metrics[key]
        blind = find_best_blind_row(report, key)
        sentence = "no sound-blind row was scored."
        if blind is not None:
            sentence, _ = compare_with_blind_row(score, blind.name, blind.metrics[key], metric)
        value = format_value(key, score.value) + (" %" if metric.is_fraction else "")
        sentences.append(f"{metric.label} {value}: {sentence[0].lower()}{sentence[1:]}")
    if report.sound_sensitivity:
        sentences.append(report.sound_sensitivity.verdict)
    return " ".join(sentences)
