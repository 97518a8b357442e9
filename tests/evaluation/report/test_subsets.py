"""Scores by attributes of the samples: each is that of the samples alone."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fake import Batched, Squares, deaf
from schemas import check_output
from soundspot.data.datasets.wrapper import SampleForwarder
from soundspot.errors import RecipeError
from soundspot.evaluation.engine.evaluate import evaluate, evaluate_maps
from soundspot.evaluation.metrics.bootstrap import Interval
from soundspot.evaluation.report.html import render_page
from soundspot.evaluation.report.report import Report, ReportRow, SubsetRows, load_report
from soundspot.evaluation.report.tables import build_subset_tables
from soundspot.types import AudioVisualDataset


class Lit(Squares):
    """Squares of which every third image was taken at night."""

    def attributes(self, index: int) -> Mapping[str, str]:
        return {"light": "<night>" if int(self.group(index).rpartition("/")[2]) % 3 == 0 else "day"}


class Selected(SampleForwarder):
    """Some samples of a data set."""

    name = "selected"

    def __init__(self, data: AudioVisualDataset, indices: list[int]) -> None:
        self.data, self.indices = data, indices

    def __len__(self) -> int:
        return len(self.indices)

    def locate(self, index: int) -> tuple[AudioVisualDataset, int]:
        return self.data, self.indices[index]


def test_each_subset_scores_as_it_does_alone(tmp_path: Path) -> None:
    data = Lit()
    report = evaluate(deaf, data, group_by=["light", "category"], bootstraps=20, output=tmp_path / "report")
    assert report == load_report(tmp_path / "report")
    check_output(report.to_json(), "report")
    rows = {row.value: row for row in report.subsets if row.attribute == "light"}
    for value, row in rows.items():
        alone = Selected(data, [i for i in range(len(data)) if data.attributes(i)["light"] == value])
        expected = {of.name: of.metrics for of in evaluate(deaf, alone, negatives=(), bootstraps=0).rows}
        assert row.n == len(alone)
        for of in row.rows:
            if of.name in expected:  # negative sounds of the others may be of other samples
                for key, score in of.metrics.items():
                    assert score.value == expected[of.name][key].value, (of.name, key)
        assert {"deaf", "centered box", "ceiling", "swapped audio"} <= {of.name for of in row.rows}
    assert {"ciou", "iiou", "ciou_adaptive"} <= rows["day"].rows[0].metrics.keys()
    categories = {row.value for row in report.subsets if row.attribute == "category"}
    assert categories == {*map(data.category, range(len(data)))}
    assert report.table().count("By light:") == 1
    assert "&lt;night&gt;" in render_page(report)
    again = evaluate_maps(tmp_path / "report" / "maps", data, group_by=["light"], bootstraps=20)
    assert [row.rows[0] for row in again.subsets] == [row.rows[0] for row in rows.values()]
    assert {key for row in report.select_metrics({"ciou"}).subsets[0].rows for key in row.metrics} == {"ciou"}


def test_an_unknown_attribute_is_named_before_the_work() -> None:
    with pytest.raises(RecipeError, match=r"found 'lights', expected 'category' or 'light'.*Did you mean 'light'"):
        evaluate(Batched(), Lit(), group_by=["lights"])


def test_a_score_that_a_subset_lacks_leaves_its_cell_empty() -> None:
    def subset(value: str, **scores: float) -> SubsetRows:
        row = ReportRow("model", "model", {key: Interval(score) for key, score in scores.items()})
        return SubsetRows("light", value, 5, (row,))

    model = subset("", ciou=0.5, iiou=0.25, presence_auroc=0.5).rows[0]
    report = Report("squares", {"name": "corrected"}, 5, (model,), subsets=(subset("day", ciou=0.75),))
    several = replace(report, subsets=(*report.subsets, subset("night", ciou=0.25, iiou=0.125), subset("dusk")))
    table = build_subset_tables(several)["light"]
    assert [dict(zip(table[0], line, strict=True)) for line in table[1:]] == [
        {"": "day", "samples": "5", "cIoU": "75.0", "IIoU": "-"},
        {"": "night", "samples": "5", "cIoU": "25.0", "IIoU": "12.5"},
        {"": "dusk", "samples": "5", "cIoU": "-", "IIoU": "-"},
    ]
    assert "By light" not in report.select_metrics({"presence_auroc"}).table()
