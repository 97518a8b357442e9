"""Two models on the same samples: differences where there are some, none where there are not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fake import Batched, Squares, deaf
from soundspot.config.upsampling import Upsampling
from soundspot.errors import DataError
from soundspot.evaluation.engine.evaluate import evaluate
from soundspot.evaluation.protocols.presets import PROTOCOLS
from soundspot.evaluation.report.compare import compare, compute_scores_from_samples
from soundspot.evaluation.report.compare_report import format_comparison, render_comparison
from soundspot.evaluation.report.paper_table import build_paper_table
from soundspot.evaluation.report.published import find_published_rows, list_differences
from soundspot.evaluation.report.report import Report, load_report

DATA = Squares(pictures=12)
SHARP = replace(PROTOCOLS["corrected"], upsampling=Upsampling("nearest"))


@pytest.fixture(scope="module")
def reports() -> list[Report]:
    return [evaluate(one, DATA, protocol=SHARP, threshold=0.5, bootstraps=100) for one in (Batched(), deaf)]


def test_a_model_that_listens_beats_one_that_does_not(reports: list[Report]) -> None:
    (found,) = compare(reports, bootstraps=500)
    assert found.names == ("listener", "deaf")
    (gap,) = found.differences["iiou_adaptive"]
    assert gap is not None
    assert gap.difference.value == -1
    assert gap.p_value < 0.01
    assert found.values["iiou_adaptive"][0] == reports[0].model.metrics["iiou_adaptive"]
    assert found.differences["recall_a2i@1"] == (None,)  # samples alone do not give it
    assert set(found.model_free) == {"whole image", "centered box", "ceiling", "chance"}


def test_a_model_does_not_differ_from_itself(reports: list[Report]) -> None:
    (found,) = compare([reports[0], reports[0]], bootstraps=100)
    assert found.names == ("listener #1", "listener #2")
    known = [gap for gaps in found.differences.values() for gap in gaps if gap is not None]
    assert len(known) > 10
    assert all(gap.p_value == 1 and gap.difference.value == 0 for gap in known)


def test_p_values_of_equal_models_are_seldom_small(reports: list[Report]) -> None:
    rng = np.random.default_rng(0)
    first = reports[0]
    below = 0
    for _ in range(40):
        a, b = (
            replace(
                first,
                samples=tuple(
                    replace(s, values=s.values | {"iou_adaptive": float(x)})
                    for s, x in zip(first.samples, xs, strict=True)
                ),
            )
            for xs in rng.random((2, len(first.samples)))
        )
        (found,) = compare([a, b], bootstraps=200)
        gap = found.differences["mean_iou_adaptive"][0]
        assert gap is not None
        below += gap.p_value < 0.2
    assert below <= 16  # 8 of 40 are expected below 0.2; more than 16 one time in a thousand


def test_samples_give_the_scores_of_the_report(reports: list[Report]) -> None:
    data = Squares(silence=True)
    for report in (*reports, evaluate(Batched(), data, protocol=SHARP, threshold=0.5, bootstraps=0)):
        found = compute_scores_from_samples(report.samples, SHARP)
        assert len(found) > 10
        for key, made in found.items():
            assert made.value == pytest.approx(report[key], abs=1e-9), key


def test_different_items_are_refused_unless_intersected(reports: list[Report]) -> None:
    fewer = replace(reports[1], samples=reports[1].samples[2:], n=22)
    with pytest.raises(DataError, match=r"different samples \(listener 24, deaf 22.*--intersect"):
        compare([reports[0], fewer])
    (found,) = compare([reports[0], fewer], intersect=True, bootstraps=50)
    assert found.n == 22
    assert "listener has 2 samples that not all reports have" in found.notes[0]
    kept = compute_scores_from_samples(reports[0].samples[2:], SHARP)
    assert found.values["mean_iou"][0].value == pytest.approx(kept["mean_iou"].value)
    assert not found.model_free
    none = replace(reports[1], samples=tuple(replace(s, id=f"other {s.id}") for s in reports[1].samples))
    with pytest.raises(DataError, match="have no common sample"):
        compare([reports[0], none], intersect=True)


def test_different_protocols_are_refused(reports: list[Report]) -> None:
    other = evaluate(deaf, DATA, protocol="lvs", bootstraps=0)
    with pytest.raises(DataError, match=r"'corrected' and deaf under 'lvs'"):
        compare([reports[0], other])


def test_sets_are_compared_each_by_itself(reports: list[Report]) -> None:
    elsewhere = [replace(report, dataset="elsewhere") for report in reports]
    found = compare([reports[0], elsewhere[0], reports[1], elsewhere[1]], bootstraps=20)
    assert [(one.dataset, one.names) for one in found] == [
        ("squares", ("listener", "deaf")),
        ("elsewhere", ("listener", "deaf")),
    ]


def test_published_rows_stand_beside_and_say_in_what_they_differ(reports: list[Report]) -> None:
    ours = [replace(report, source={"data": "vggss"}) for report in reports]
    (found,) = compare(ours, bootstraps=20)
    assert not found.published  # these truths are masks, and VGG-SS has boxes
    rows = find_published_rows("vggss")
    table = {row.name: dict(row.metrics) for row in rows if row.table == "II"}
    assert table["lvs, trained on vggsound144k"]["ciou"] == pytest.approx(0.344)
    assert all(0 <= value <= 1 for row in rows for value in row.metrics.values())
    assert list_differences(rows[0], "alignment-vggss", 4655) == ("may be copied from that method's own paper",)
    assert len(list_differences(rows[0], "corrected", 5158)) == 3
    boxed = [replace(one, rows=tuple(_without_masks(row) for row in one.rows)) for one in ours]
    (found,) = compare(boxed, bootstraps=20)
    assert len(found.published) == len(rows)
    (single,) = compare(boxed[:1], bootstraps=20)
    assert (single.names, len(single.published)) == (("listener",), len(rows))
    assert "lvs, trained on vggsound144k" in format_comparison([single])
    (chosen,) = compare(boxed[:1], bootstraps=20, published=["ezvsl", "slavc"])
    assert [row for row, _ in chosen.published] == [row for row in rows if row.method in ("ezvsl", "slavc")]
    assert not compare(boxed, bootstraps=20, published=[])[0].published
    with pytest.raises(DataError, match=r"ezvsll: no published rows.*Did you mean 'ezvsl'"):
        compare(boxed, bootstraps=20, published=["ezvsll"])
    with pytest.raises(DataError, match=r"no published rows of it by dmc are known"):
        compare(boxed[:1], bootstraps=20, published=["dmc"])
    for made in (format_comparison([found]), format_comparison([found], markdown=True), render_comparison([found])):
        assert "34.4" in made
        assert "rules: published under other than" in made


def test_one_report_without_published_rows_stands_beside_those_that_need_no_model(reports: list[Report]) -> None:
    found = compare(reports[:1], bootstraps=20)
    _, *rows = build_paper_table(found[0], False, "<{}>".format)[0]
    assert [row[0] for row in rows] == [*found[0].model_free, "listener"]
    assert "centered box" in found[0].model_free
    assert "<" not in str(rows)  # there is no best of one
    with pytest.raises(DataError, match=r"by ezvsl are known, and one report is nothing to compare. Leave --published"):
        compare(reports[:1], bootstraps=20, published=["ezvsl"])


def _without_masks(row):
    return replace(row, metrics={k: v for k, v in row.metrics.items() if k not in ("miou", "fscore")})


def test_every_figure_of_the_paper_is_read_once() -> None:
    tests = {"vggss", "flickr", "is3", "vpo_ss", "vpo_ms", "avsbench_s4", "avsbench_ms3", "extended_vggss"}
    tests |= {"extended_flickr", "vggsound_train", "vggsound144k"}
    rows = [row for test in tests for truth in ("box", "mask", "pair") for row in find_published_rows(test, truth)]
    assert sum(len(row.metrics) for row in rows) == 901


def test_comparisons_are_written_as_pages_and_tables(reports: list[Report], tmp_path: Path) -> None:
    reports[0].save(tmp_path / "a")
    reports[1].save(tmp_path / "b", maps=False)
    found = compare(
        [load_report(tmp_path / "a", maps=False), load_report(tmp_path / "b")], ["<mine>", "theirs"], bootstraps=50
    )
    shown = render_comparison(found)
    assert "&lt;mine&gt;" in shown
    assert "<mine>" not in shown
    assert "| theirs - <mine> |" in format_comparison(found, markdown=True)
    with pytest.raises(DataError, match="1 names were given for 2 reports"):
        compare(reports, ["one"])


def test_lists_of_one_set_are_one_set(reports: list[Report]) -> None:
    whole = replace(reports[0], dataset="vggss/5158")
    part = replace(reports[1], dataset="vggss/4655", samples=reports[1].samples[4:], n=20)
    with pytest.raises(DataError, match="different samples"):
        compare([whole, part])
    (found,) = compare([whole, part], intersect=True, bootstraps=20)
    assert found.n == 20
    assert found.differences["mean_iou"][0] is not None
    with pytest.raises(DataError, match="elsewhere: there is one report of it"):
        compare([*reports, replace(reports[0], dataset="elsewhere")])


def test_other_truths_under_the_same_ids_are_refused(reports: list[Report]) -> None:
    other = tuple(replace(sample, values=sample.values | {"area": sample["area"] / 2}) for sample in reports[1].samples)
    with pytest.raises(DataError, match=r"different ground truths for 24 samples"):
        compare([reports[0], replace(reports[1], samples=other)])
