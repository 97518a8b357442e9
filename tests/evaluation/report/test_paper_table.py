"""The table of a paper: one decimal, the best in bold, text escaped."""

import csv
from io import StringIO

import pytest

from soundspot.evaluation.metrics.bootstrap import Interval
from soundspot.evaluation.report.compare import Comparison
from soundspot.evaluation.report.paper_table import TABLE_FORMATS, format_paper_tables

NAN = float("nan")


def comparison() -> Comparison:
    """Two models; the first is better by what is printed of one score, equal in another, and lacks a third."""
    values: dict[str, tuple[Interval | None, ...]] = {
        "ciou": (Interval(0.5123, NAN, NAN), Interval(0.4, NAN, NAN)),
        "ciou_adaptive": (Interval(0.70041, NAN, NAN), Interval(0.70049, NAN, NAN)),
        "auc_adaptive": (None, Interval(0.3, NAN, NAN)),
    }
    return Comparison("vgg_ss", "corrected", 12, ("a_b", "<c>"), values, {}, {}, (), ())


def test_the_best_are_bold_by_the_digits_that_are_printed() -> None:
    text = format_paper_tables([comparison()], "md")
    row, other = (line for line in text.splitlines() if line.startswith(("| a_b", "| <c>")))
    assert "**51.2**" in row
    assert "**70.0**" in row
    assert "**70.0**" in other
    assert "| 40.0 |" in other
    assert "**30.0**" not in other


@pytest.mark.parametrize(
    ("style", "words"),
    [
        ("tex", (r"a\_b & ", r"\textbf{51.2}", r"\toprule", "-- ", r"% vgg_ss, 12 samples")),
        ("html", ("<b>51.2</b>", "&lt;c&gt;", "<caption>vgg_ss, 12 samples, protocol corrected</caption>")),
        ("csv", ("data set,model,", "vgg_ss,<c>,")),
    ],
)
def test_each_format_escapes_names(style, words) -> None:
    text = format_paper_tables([comparison()], style)
    assert all(word in text for word in words), text


def test_csv_is_read_again_as_a_table_and_all_formats_hold_the_same_numbers() -> None:
    head, *rows = csv.reader(StringIO(format_paper_tables([comparison()], "csv")))
    assert [len(row) for row in rows] == [len(head)] * 2
    numbers = {cell for row in rows for cell in row if cell.replace(".", "").isdigit()}
    assert len(numbers) == 4
    assert all(number in format_paper_tables([comparison()], style) for number in numbers for style in TABLE_FORMATS)
