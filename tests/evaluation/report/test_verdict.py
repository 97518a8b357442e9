"""What a report says in its first line, and tables without empty columns."""

from soundspot.evaluation.metrics.bootstrap import Interval
from soundspot.evaluation.report.report import Report, ReportRow
from soundspot.evaluation.report.tables import drop_empty_columns
from soundspot.evaluation.report.verdict import summarize_report


def report(blind: Interval | None) -> Report:
    rows = [ReportRow("mine", "model", {"ciou": Interval(0.5, 0.4, 0.6)})]
    rows += [ReportRow("whole image", "sound-blind", {"ciou": blind})] if blind else []
    return Report("vggss", {"name": "corrected"}, 4, tuple(rows))


def test_the_first_line_is_the_verdict() -> None:
    above, overlapping = report(Interval(0.3, 0.2, 0.35)), report(Interval(0.45, 0.35, 0.5))
    assert above.table().splitlines()[0].endswith("50.0 %: 20.0 points above whole image, the best sound-blind row.")
    assert "overlap" in overlapping.table().splitlines()[0]
    assert summarize_report(report(None)).endswith("no sound-blind row was scored.")


def test_a_column_of_dashes_is_left_out_but_not_the_first() -> None:
    assert drop_empty_columns([["a", "b", "c"], ["-", "-", "1"], ["-", "-", "-"]]) == [
        ["a", "c"],
        ["-", "1"],
        ["-", "-"],
    ]
