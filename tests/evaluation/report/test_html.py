"""The report as a page: whole in one file, escaped, honest about what beats what, and cut to the samples there are."""

import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from markupsafe import escape
from PIL import Image

from soundspot.errors import DataError
from soundspot.evaluation.report import figures, gallery
from soundspot.evaluation.report.gallery import build_galleries, build_strips
from soundspot.evaluation.report.html import build_cards, flatten, render_page, write_html
from soundspot.evaluation.report.report import Interval, Report, ReportRow, SampleRow
from soundspot.evaluation.report.training_curves import read_train_logs
from soundspot.types import Audio, AudioVisualDataset, Box, GroundTruth

NAUGHTY = '<script>alert("x")</script> & "dog"'
LOW = Interval(0.15, 0.05, 0.25)
VOID = {"meta", "img", "br", "link"}


class Plates(AudioVisualDataset):
    """Eight plain pictures of different sizes, each asked with two sounds whose sources are on different sides."""

    name = "plates"

    def __len__(self) -> int:
        return 16

    def id(self, index: int) -> str:
        return f"plate{index // 2}_{index % 2}"

    def read_image(self, index: int) -> Image.Image:
        return Image.new("RGB", (80 + index // 2 * 40, 100), (20 * (index // 2), 90, 160))

    def read_audio(self, index: int) -> Audio:
        return Audio(torch.zeros(8), 8)

    def ground_truth(self, index: int) -> GroundTruth:
        half = 40.0 + index // 2 * 20
        left = 0.0 if index % 2 else half
        return GroundTruth(100, round(2 * half), (Box(left, 20.0, left + half, 80.0),))

    def group(self, index: int) -> str:
        return f"plate{index // 2}"

    def category(self, index: int) -> str:
        return NAUGHTY if index == 1 else "bird"

    def at_epoch(self, epoch: int) -> "Plates":
        return self


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch):
    monkeypatch.setattr(gallery, "FIGURE_SIZE", 60)


@pytest.fixture
def data() -> Plates:
    return Plates()


@pytest.fixture
def report(data) -> Report:
    ids = range(len(data))
    samples = tuple(
        SampleRow(
            data.id(i),
            data.group(i),
            data.category(i),
            True,
            {"iou": i / 20, "iou_adaptive": i / 16, "area": 0.3, "peak_own": i / 16, "peak_offscreen": 0.4 - i / 40},
        )
        for i in ids
    )
    absent = SampleRow("silent_0", "silent", "silence", False, {"area": 0.0, "peak_own": 0.2})
    metrics = {"ciou_adaptive": Interval(0.6, 0.5, 0.7), "iiou_adaptive": Interval(0.2, 0.1, 0.3)}
    rows = (
        ReportRow(
            NAUGHTY, "model", {**metrics, "recall_a2i@1": Interval(0.125, 0.1, 0.15), "alignment": Interval(0.412)}
        ),
        ReportRow(
            "centered box",
            "sound-blind",
            {"ciou_adaptive": Interval(0.3, 0.2, 0.4), "iiou_adaptive": Interval(0.15, 0.05, 0.25)},
        ),
        ReportRow("whole image", "sound-blind", {"ciou_adaptive": Interval(0.1, 0.05, 0.2)}),
        ReportRow("ceiling", "ceiling", {"ciou_adaptive": Interval(0.98, 0.97, 0.99)}),
        ReportRow("paper", "published", {"ciou_adaptive": Interval(0.41)}),
    )
    protocol = {"name": "corrected", "upsampling": {"mode": "bilinear"}, "size": 224, "tau": None}
    maps = {data.id(i): np.random.default_rng(i).random((7, 7), dtype=np.float32) for i in ids}
    return Report(data.name, protocol, 17, rows, (*samples, absent), maps, ("A note of the evaluation.",))


class Checked(HTMLParser):
    """Raises where tags do not nest; keeps attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_well_formed_escaped_and_fetches_nothing(report, data, tmp_path):
    write_html(report, tmp_path / "report.html", data)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    parsed = Checked(text)
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]
    assert not any(tag in ("script", "link", "iframe") for tag, _ in parsed.seen)
    assert NAUGHTY in parsed.text  # shown as it is, since it was escaped
    for found in re.findall(r'(?:src|href|xlink:href|url)\s*[=(]\s*"?([^")\s]+)', text):
        assert found.startswith("data:image/webp;base64,")
    assert "http" not in re.sub(r"base64,[^\"]+", "", text)
    assert len(text) < 3_000_000


def test_pictures_and_charts_say_what_they_show(report, data):
    parsed = Checked(render_page(report, data))
    pictures = [attributes for tag, attributes in parsed.seen if tag == "img"]
    charts = [attributes for tag, attributes in parsed.seen if tag == "svg"]
    assert len(pictures) >= 3 * 5
    assert all(attributes["alt"] for attributes in pictures)
    assert all(attributes["aria-label"] for attributes in charts)
    assert any("plate3_1" in (attributes["alt"] or "") for attributes in pictures)


def test_the_page_says_everything_able_to_move_a_number(report):
    text = Checked(render_page(report)).text
    for told in (
        "upsampling.mode",
        "bilinear",
        "corrected",
        "A note of the evaluation.",
        "torch",
        "centered box",
        "12.5",
    ):
        assert told in text
    assert "0.412" in text  # a cosine is no percentage
    assert "One image, its sounds" not in text  # no data set, no pictures


def test_headlines_are_held_against_the_best_row_that_hears_nothing(report):
    first, second, third = build_cards(report)
    assert (first.value, first.interval, first.is_better) == ("60.0", "50.0 – 70.0", True)
    assert first.verdict == "30.0 points above centered box, the best sound-blind row."
    assert not second.is_better
    assert second.verdict.endswith("their intervals overlap.")
    assert third.verdict == ""


def test_samples_shown_are_the_best_the_worst_and_a_draw_that_stays(report, data):
    best, drawn, worst = build_galleries(report, data)
    assert [figure.alt.split()[2] for figure in best.figures] == [
        f"plate{i // 2}_{i % 2}" for i in (15, 14, 13, 12, 11)
    ]
    assert [figure.alt.split()[2] for figure in worst.figures] == [f"plate{i // 2}_{i % 2}" for i in range(5)]
    assert build_galleries(report, data)[1] == drawn
    assert build_galleries(report, data, seed=1)[1] != drawn


@pytest.mark.parametrize("key", ["iou_adaptive", "iou"])
def test_samples_are_ranked_by_the_number_they_are_shown_with(report, data, key):
    """Adaptive IoU and IoU in opposite orders, many of them equal: one order by id, seen from its ends."""
    values = [
        {"iou": i // 4 / 4, "iou_adaptive": 1 - i // 4 / 4} if key == "iou_adaptive" else {"iou": 1 - i // 4 / 4}
        for i in range(len(data))
    ]
    samples = [replace(sample, values=of) for sample, of in zip(report.samples, values, strict=False)]
    rows = build_galleries(replace(report, samples=tuple(samples)), data)
    name = {"iou_adaptive": "adaptive IoU", "iou": "IoU"}[key]
    assert [row.note for row in rows][::2] == [f"the highest {name}", f"the lowest {name}"]
    shown = [[figure.alt.split()[2] for figure in row.figures] for row in rows]
    assert shown[0] == ["plate0_0", "plate0_1", "plate1_0", "plate1_1", "plate2_0"]
    assert shown[2] == ["plate7_1", "plate7_0", "plate6_1", "plate6_0", "plate5_1"]
    for row, percents in ((rows[0], [100] * 4 + [75]), (rows[2], [25] * 4 + [50])):
        wanted = [f"{name} {percent}\N{NO-BREAK SPACE}%" for percent in percents]
        assert [figure.details[0] for figure in row.figures] == wanted
        assert all(figure.alt.endswith(text) for figure, text in zip(row.figures, wanted, strict=True))
    assert build_galleries(replace(report, samples=tuple(samples[::-1])), data) == rows


def test_no_sample_is_both_the_best_and_the_worst_where_all_are_equal(report, data):
    samples = [replace(sample, values={"iou": 0.5}) for sample in report.samples]
    best, _, worst = build_galleries(replace(report, samples=tuple(samples)), data)
    shown = [figure.alt.split()[2] for figure in (*best.figures, *worst.figures)]
    assert len(set(shown)) == len(shown) == 10


def test_strips_show_a_picture_with_each_of_its_sounds(report, data):
    rows = build_strips(report, data, n=3)
    assert len(rows) == 3
    for row in rows:
        assert len(row.figures) == 3
        assert len({figure.uri for figure in row.figures}) == 3
        assert {figure.width for figure in row.figures} == {row.figures[0].width}


def test_a_report_without_samples_is_still_a_page(data):
    bare = Report("none", {}, 0, (ReportRow("model", "model", {}),))
    assert "model on none" in Checked(render_page(bare, data)).text


def test_curves_of_a_resumed_run_are_joined(report, tmp_path):
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    first.write_text("epoch,step,train/loss,val/loss,lr\n0,0,4.0,,0.1\n0,10,3.0,3.5,0.1\n0,20,9.0,,0.1\n")
    second.write_text("epoch,step,train/loss,val/loss,lr\n1,20,2.0,,0.1\n1,30,nan,2.5,0.1\n")
    curves = read_train_logs([first, second])
    assert sorted(curves) == ["train/loss", "val/loss"]  # what never moves is left out
    assert curves["train/loss"][0].tolist() == [0, 10, 20]
    assert curves["train/loss"][1].tolist() == [4, 3, 2]
    assert "val from 3.5 to 2.5" in render_page(report, train_logs=[first, second])


@pytest.mark.parametrize(("content", "message"), [(None, "no such file"), ("a,b\n1,2\n", "expected the `step`")])
def test_a_wrong_curves_file_is_named(tmp_path, content, message):
    path = tmp_path / "metrics.csv"
    if content:
        path.write_text(content)
    with pytest.raises(DataError, match=f"metrics.csv.*{message}"):
        read_train_logs([path])


def test_protocol_values_are_flattened_into_words():
    nested = {"cut": {"places": "half", "grid": (0.5, 1)}, "tau": None, "all": True}
    assert flatten(nested) == [("cut.places", "half"), ("cut.grid", "0.5, 1"), ("tau", "–"), ("all", "yes")]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.37, 0.81), (3e-5, 1e-4), (0.0, 4500.0)])
def test_ticks_are_round_and_inside(low, high):
    found = figures.compute_ticks(low, high)
    assert 3 <= len(found) <= 11
    assert low - 1e-9 <= found[0]
    assert found[-1] <= high * (1 + 1e-9)
    steps = {f"{b - a:.3g}" for a, b in itertools.pairwise(found)}
    assert len(steps) == 1
    assert steps.pop().strip("-0.").split("e")[0].rstrip("0.") in ("1", "2", "25", "2.5", "5")


def test_whiskers_place_values_on_their_axis():
    chart = figures.draw_whiskers([figures.Whisker("a <b>", "model", 0.5, 0.25, 1.7)], "t")
    frame = figures.PlotArea((0.0, 1.0), (0.0, 1.0), 340, left=128, right=52)
    assert f'cx="{float(frame.px(0.5)):.1f}"' in chart
    assert f"H{float(frame.px(1.0)):.1f}" in chart  # an interval past the axis ends at it
    assert "a &lt;b&gt;" in chart


def test_the_templates_are_part_of_the_package():
    folder = Path(figures.__file__).parent / "templates"
    assert {"report.html.j2", "page.css", "base.html.j2"} <= {file.name for file in folder.iterdir()}


def test_a_notebook_shows_the_verdict_first_and_a_table(report):
    page = report._repr_html_()
    assert page.count("<th>") == len(report.rows) + 1
    assert page.index(report.dataset) < page.index("<table>")
    verdict = report.sound_sensitivity.verdict if report.sound_sensitivity else report.dataset
    assert page.startswith(f"<p>{escape(verdict)}")
