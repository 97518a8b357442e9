"""`evaluate` end to end on a set in memory: who listens scores the ceiling, who does not cannot."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fake import Batched, Squares, deaf, listener
from soundspot.config.upsampling import Upsampling
from soundspot.errors import DataError, InputError, OutputError, RecipeError
from soundspot.evaluation.engine.evaluate import evaluate
from soundspot.evaluation.engine.items import NUM_NOISES, draw_offscreen
from soundspot.evaluation.metrics.registry import METRICS, register_metric
from soundspot.evaluation.protocols.presets import PROTOCOLS
from soundspot.evaluation.report.report import Report, load_report
from soundspot.types import Audio

DATA = Squares()
SHARP = replace(PROTOCOLS["corrected"], upsampling=Upsampling("nearest"))  # a listener of this size finds edges exactly


@pytest.fixture(scope="module")
def report() -> Report:
    return evaluate(Batched(), DATA, protocol=SHARP, bootstraps=200)


def row(report: Report, name: str) -> dict[str, float]:
    return {key: cell.value for row in report.rows if row.name == name for key, cell in row.metrics.items()}


def test_a_perfect_listener_scores_the_ceiling(report: Report) -> None:
    ceiling = row(report, "ceiling")
    for key in ("ciou_adaptive", "auc_adaptive", "iiou_adaptive", "iauc_adaptive"):
        assert report[key] == ceiling[key] == 1
    assert report["recall_a2i_category@1"] == 1 > row(report, "chance")["recall_a2i_category@1"]
    assert 1 > report["recall_a2i@1"] > row(report, "chance")["recall_a2i@1"]  # pictures of one colour are equal to it


def test_a_report_has_the_draws_of_its_intervals(report: Report) -> None:
    for key, score in report.model.metrics.items():
        if np.isfinite(score.low):
            low, high = np.nanquantile(report.draws[key].astype(float), [0.025, 0.975])
            assert (low, high) == pytest.approx((score.low, score.high), abs=1e-6), key
    assert {len(drawn) for drawn in report.draws.values()} == {200}


def test_who_does_not_listen_cannot_be_right_for_each_sound(report: Report) -> None:
    assert evaluate(deaf, DATA, protocol=SHARP, bootstraps=0)["iiou_adaptive"] == 0
    assert row(report, "object saliency")["iiou_adaptive"] == 0
    assert row(report, "centered box")["iiou_adaptive"] == 0
    assert {row.kind for row in report.rows} == {"model", "sound-blind", "ceiling"}


def test_batches_and_single_questions_give_the_same_report(report: Report) -> None:
    one, seven = (evaluate(Batched(), DATA, protocol=SHARP, batch_size=b, bootstraps=200) for b in (1, 7))
    assert one == seven == report
    single = evaluate(listener, DATA, protocol=SHARP, bootstraps=200)
    assert str(single.samples) == str(report.samples)  # nan is not equal to itself
    assert [single[key] for key in ("ciou", "iauc", "mean_iou")] == [
        report[key] for key in ("ciou", "iauc", "mean_iou")
    ]


def test_each_picture_and_each_sound_is_encoded_once() -> None:
    localizer = Batched()
    evaluate(localizer, DATA, batch_size=4, bootstraps=0)
    assert (localizer.pictures, localizer.sounds) == (DATA.pictures, len(DATA) + 1 + NUM_NOISES)


def test_samples_tell_own_sound_from_foreign(report: Report) -> None:
    assert [sample.id for sample in report.samples] == [DATA.id(i) for i in range(len(DATA))]
    for sample in report.samples:
        assert sample["peak_own"] == 1
        assert sample["peak_offscreen"] == 0
        assert 0 < sample["area"] < 0.25
        assert report.maps[sample.id].shape == (32, 32)


def test_items_without_a_source_are_told_apart_but_not_localised() -> None:
    data = Squares(silence=True)
    report = evaluate(Batched(), data, protocol=SHARP, bootstraps=50)
    assert report.n == len(data)
    assert report["presence_auroc"] == 1
    assert report["ciou_adaptive"] == 1
    absent = [sample for sample in report.samples if not sample.present]
    assert len(absent) == data.pictures
    assert all(np.isnan(sample["iou"]) and sample["area"] == 0 for sample in absent)
    assert any("no source" in note for note in report.notes)


def test_published_protocols_run_on_the_same_set() -> None:
    for name, protocol in PROTOCOLS.items():
        report = evaluate(Batched(), DATA, protocol=name, bootstraps=0)
        assert report.protocol["name"] == name
        assert ("ciou_adaptive" in report.model.metrics) == (protocol.adaptive_rule is not None)
        assert 0 < report["auc"] <= 1


def test_a_set_asked_with_one_sound_per_picture_has_no_interactive_scores() -> None:
    class Single(Squares):
        def group(self, index: int) -> str:
            return f"picture/{index}"

    metrics = evaluate(listener, Single(), bootstraps=0).model.metrics
    assert "ciou" in metrics
    assert "iiou" not in metrics


def test_a_registered_metric_is_in_every_row_and_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pointing game: a metric of a user's file is one function."""
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS))

    def pointing(maps: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        best = maps.flatten(1).argmax(dim=1, keepdim=True)
        return target.flatten(1).gather(1, best)[:, 0]

    register_metric("pointing", "Where", "pointing game", "highest pixel on the object")(pointing)
    report = evaluate(Batched(), DATA, protocol=[SHARP, "alignment"], bootstraps=50)
    assert report["pointing"] == row(report, "ceiling")["pointing"] == 1
    assert row(report, "muted")["pointing"] < 1
    assert row(report, "whole image")["pointing"] < 1
    assert all(sample["pointing"] == 1 for sample in report.samples)
    assert "pointing game" in report.table()
    assert report.other_protocols[0].rows[0].metrics["pointing"].value == 1
    with pytest.raises(RecipeError, match="two metrics are named 'pointing'"):
        register_metric("pointing", "Where", "again", "")(pointing)


def test_metrics_are_chosen_by_name(report: Report) -> None:
    chosen = evaluate(Batched(), DATA, protocol=SHARP, bootstraps=200, metrics=["ciou", "recall_a2i@1"])
    assert set(chosen.model.metrics) == {"ciou", "ciou_adaptive", "recall_a2i@1"}
    assert all(chosen.model.metrics[key] == report.model.metrics[key] for key in chosen.model.metrics)
    with pytest.raises(RecipeError, match="Did you mean 'ciou'"):
        evaluate(Batched(), DATA, metrics=["cious"])


def test_foreign_sounds_are_of_another_picture_and_category() -> None:
    group = torch.arange(8) // 2
    categories = ["a", "b", "b", "c", "c", "a", "d", "e"]
    present = [True] * 7 + [False]
    chosen = draw_offscreen(group, categories, present, seed=3)
    assert chosen == draw_offscreen(group, categories, present, seed=3)
    for i, j in enumerate(chosen):
        assert present[j]
        assert categories[j] not in {categories[k] for k in range(8) if group[k] == group[i]}
    assert draw_offscreen(torch.zeros(2, dtype=torch.int64), ["a", "b"], [True, True]) == [-1, -1]


def test_a_report_is_saved_whole_and_read_back_the_same(report: Report, tmp_path: Path) -> None:
    report.save(tmp_path / "run")
    assert load_report(tmp_path / "run") == report
    with pytest.raises(OutputError, match="exists already"):
        evaluate(Batched(), DATA, output=tmp_path / "run", bootstraps=0)
    again = evaluate(Batched(), DATA, protocol="alignment", output=tmp_path / "run", overwrite=True, bootstraps=0)
    assert load_report(tmp_path / "run") == again != report
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_report_of_an_earlier_version_says_how_to_make_it_anew(report: Report, tmp_path: Path) -> None:
    report.save(tmp_path / "run")
    path = tmp_path / "run" / "report.json"
    path.write_text(path.read_text().replace('"soundspot": ', '"whence": '))
    with pytest.raises(DataError, match=r"report of an earlier version.*`soundspot evaluate-maps`"):
        load_report(tmp_path / "run")


def test_the_json_has_the_agreed_keys(report: Report) -> None:
    content = report.to_json()
    assert list(content)[:5] == ["dataset", "protocol", "n", "soundspot", "rows"]
    assert list(content["rows"][0]) == ["name", "kind", "metrics"]
    assert list(content["rows"][0]["metrics"]["ciou"]) == ["value", "low", "high"]
    table = report.table()
    assert "squares: 12 samples" in table
    assert "100.0 [100.0, 100.0]" in table
    with pytest.raises(KeyError, match="Did you mean 'ciou'"):
        report["cious"]


def test_mistakes_are_told() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'alignment'"):
        evaluate(listener, DATA, protocol="alignmet")
    with pytest.raises(RecipeError, match="scenes"):
        evaluate(listener, "scense")

    def broken(picture: Image.Image, sound: Audio) -> torch.Tensor:
        return torch.full((4, 4), torch.nan)

    with pytest.raises(InputError, match="sample picture/0-0 holds 16 values that are not finite"):
        evaluate(broken, DATA)
    with pytest.raises(RecipeError, match="found batch_size 0 and bootstraps 1000, expected at least 1 and 0"):
        evaluate(listener, DATA, batch_size=0)
    with pytest.raises(RecipeError, match="bootstraps -1"):
        evaluate(listener, DATA, bootstraps=-1)
    with pytest.raises(InputError, match="cannot evaluate a int"):
        evaluate(3, DATA)
