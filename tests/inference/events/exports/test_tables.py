"""Tables: what stands in each column, and what a name may not do to a row."""

import csv
import io

import pytest

from made_events import VIDEO, event, other_video, table
from soundspot.inference.events.exports.tables import format_audacity, format_csv, format_raven, format_rttm

NASTY = 'a, "b"\t<i>c</i>\nd; -->'


def test_csv_has_a_row_for_each_event_and_survives_any_label() -> None:
    text = format_csv(table(event(0.5, 1.25, NASTY), event(2.0, 3.0)))
    rows = [*csv.DictReader(io.StringIO(text, newline=""))]
    assert [row["label"] for row in rows] == [NASTY, "source 1"]
    assert (rows[0]["start"], rows[0]["end"], rows[0]["video"]) == ("0.500", "1.250", "clip.mp4")
    assert [rows[0][key] for key in ("x0", "y0", "x1", "y1", "peak_x", "peak_y")] == ["0", "2", "8", "12", "4", "6"]


def test_audacity_labels_are_three_cells_a_line() -> None:
    text = format_audacity(table(event(0.5, 1.25, "dog"), event(1.0, 3.0, NASTY), event(4.0, 5.0, '"x"')))
    rows = [line.split("\t") for line in text.splitlines()]
    assert rows == [
        ["0.500000", "1.250000", "dog"],
        ["1.000000", "3.000000", 'a, "b" <i>c</i> d; -->'],
        ["4.000000", "5.000000", "'x\""],
    ]


def test_raven_times_run_on_over_the_videos() -> None:
    second = other_video()
    events = table(event(0.5, 1.25, NASTY), event(1.0, 2.0, video=second), videos=(VIDEO, second))
    text = format_raven(events)
    rows = [*csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)]
    assert [row["Selection"] for row in rows] == ["1", "2"]
    assert [row["Begin Time (s)"] for row in rows] == ["0.500", "9.000"]
    assert [row["File Offset (s)"] for row in rows] == ["0.500", "1.000"]
    assert [row["Begin File"] for row in rows] == ["clip.mp4", "other clip.mp4"]
    assert (rows[0]["Low Freq (Hz)"], rows[0]["High Freq (Hz)"]) == ("0.0", "8000.0")  # with a point, or readers refuse
    assert rows[0]["Annotation"] == "a, 'b' <i>c</i> d; -->"


def test_rttm_has_a_duration_and_no_spaces_in_its_fields() -> None:
    text = format_rttm(
        table(event(0.5, 1.25, NASTY), event(2.0, 2.0001, video=other_video()), videos=(VIDEO, other_video()))
    )
    rows = [line.split(" ") for line in text.splitlines()]
    assert all(len(row) == 10 for row in rows)
    assert rows[0][:5] == ["SPEAKER", "clip", "1", "0.500", "0.750"]
    assert rows[0][7:9] == ["a,_'b'_<i>c</i>_d;_-->", "0.9000"]
    assert (rows[1][1], rows[1][4]) == ("other_clip", "0.001")  # zero length would be dropped by readers


@pytest.mark.parametrize("label", ["NA", "None", "null", "nan", " ", "\t"])
def test_a_label_never_looks_like_a_missing_value(label: str) -> None:
    row = format_rttm(table(event(0.5, 1.0, label))).split(" ")
    assert row[7].startswith("_")


def test_times_are_rounded_once() -> None:
    assert format_audacity(table(event(1.001, 1.9996))).startswith("1.001000\t2.000000\t")
