"""A comparison as papers print it."""

import csv
import io

import pytest

from soundspot.errors import DataError
from soundspot.evaluation.metrics.bootstrap import Interval
from soundspot.evaluation.report.compare import Comparison
from soundspot.evaluation.report.paper_table import build_paper_table, find_paper_format, format_paper_tables
from soundspot.evaluation.report.published import PublishedRow

NUMBERS = {"ciou": (0.5004, 0.5), "auc": (0.25, 0.75), "ciou_adaptive": (None, None)}
PUBLISHED = PublishedRow("II", "lvs", "", "", "144k", "vggss", "box", {"ciou": 0.344})


def comparison(**changes: object) -> Comparison:
    values = {
        key: tuple(None if score is None else Interval(score, 0.1, 0.9) for score in scores)
        for key, scores in NUMBERS.items()
    }
    made = {"dataset": "vggss", "protocol": "corrected", "n": 4, "names": ("a_b", "<c>"), "values": values}
    made |= {"differences": {}, "model_free": {}, "published": ((PUBLISHED, ("other rules",)),), "notes": ()}
    return Comparison(**{**made, **changes})  # type: ignore[arg-type]


def test_the_best_as_printed_is_bold_and_a_column_without_numbers_is_left_out() -> None:
    lines = format_paper_tables([comparison()], "md").splitlines()
    assert lines[2].count("|") == 4
    assert lines[4] == "| lvs, trained on 144k [1] | 34.4 | - |"
    assert lines[5:7] == ["| a_b | **50.0** | 25.0 |", "| <c> | **50.0** | **75.0** |"]
    assert lines[-1] == "[1] other rules"
    assert "[10.0, 90.0]" in format_paper_tables([comparison()], "md", intervals=True)


def test_tex_and_html_escape_names_and_csv_holds_plain_numbers() -> None:
    tex = format_paper_tables([comparison()], "tex").splitlines()
    assert tex[1:4] == [r"% needs \usepackage{booktabs}", r"\begin{tabular}{lrr}", r"\toprule"]
    assert tex[-1] == r"\end{tabular}"  # the notes are printed, in the table
    assert tex[-2].startswith(r"\multicolumn{3}{l}{\footnotesize [")
    assert r"a\_b & \textbf{50.0} & 25.0 \\" in tex
    assert tex.count(r"\midrule") == 2  # published rows stand by themselves
    assert format_paper_tables([comparison(published=())], "tex").count(r"\midrule") == 1
    html = format_paper_tables([comparison()], "html")
    assert "<tr><td>&lt;c&gt;</td><td><b>50.0</b></td><td><b>75.0</b></td></tr>" in html
    rows = list(csv.reader(io.StringIO(format_paper_tables([comparison()], "csv"))))
    assert rows[1] == ["lvs, trained on 144k [1]", "34.4", ""]
    assert rows[3] == ["<c>", "50.0", "75.0"]


def test_a_format_is_named_or_follows_from_the_file() -> None:
    assert [find_paper_format(None, suffix) for suffix in (".tex", ".csv", ".md", "")] == ["tex", "csv", None, None]
    assert find_paper_format("md", ".md") == "md"
    for name, suffix in (("pdf", ""), ("md", ".tex")):
        with pytest.raises(DataError, match="--format"):
            find_paper_format(name, suffix)


def test_names_of_metrics_are_set_by_any_tex_and_marks_of_a_row_rise() -> None:
    arrow = {"values": {"recall_a2i@1": (Interval(0.5, 0.4, 0.6), Interval(0.25, 0.2, 0.3))}, "published": ()}
    assert r"recall audio $\to$ image @1" in format_paper_tables([comparison(**arrow)], "tex")
    table, _ = build_paper_table(comparison(published=((PUBLISHED, ("a", "b")), (PUBLISHED, ("c", "a")))), False, str)
    assert [row[0][-7:] for row in table[1:3]] == ["[1] [2]", "[1] [3]"]
