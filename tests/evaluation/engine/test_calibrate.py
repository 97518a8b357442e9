"""One threshold, fitted where nothing is to be found, that travels with the model."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fake import Batched, Squares, deaf
from soundspot.config.presence_calibration import PresenceCalibration
from soundspot.config.upsampling import Upsampling
from soundspot.errors import DataError, RecipeError
from soundspot.evaluation.engine import codecs
from soundspot.evaluation.engine.calibrate import calibrate
from soundspot.evaluation.engine.evaluate import evaluate
from soundspot.evaluation.engine.items import index_samples
from soundspot.evaluation.engine.predict import encode_audio, iter_predictions
from soundspot.evaluation.metrics.registry import NEGATIVES
from soundspot.evaluation.protocols.presets import PROTOCOLS
from soundspot.evaluation.report.compare import compute_scores_from_samples
from soundspot.evaluation.report.html import render_page
from soundspot.evaluation.report.report import load_report

DATA = Squares(pictures=8)
SHARP = replace(PROTOCOLS["corrected"], upsampling=Upsampling("nearest"))


@pytest.fixture(autouse=True)
def _few_are_coded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What codecs do is the matter of test_codecs.py."""
    monkeypatch.setattr(codecs, "MAX_SAMPLES", 5)


def test_the_threshold_is_the_third_quartile_of_the_peaks() -> None:
    found = calibrate(deaf, DATA)
    assert found.threshold == 1  # it claims something whatever it hears
    assert found.false_positive_rate == found.true_positive_rate == 1
    assert found.num_maps == {"silence": 16, "noise": 16, "offscreen": 16}
    samples = index_samples(DATA, 0)
    audio = encode_audio(Batched(), DATA, samples, 4)
    peaks = [
        float(one.max())
        for answers in iter_predictions(Batched(), DATA, samples, audio, 4)
        for kind in NEGATIVES
        for one in answers.negatives[kind].values()
    ]
    found = calibrate(Batched(), DATA, batch_size=5)
    assert found.threshold == torch.tensor(peaks, dtype=torch.float64).quantile(0.75).item()
    assert calibrate(Batched(), DATA, rule="max").threshold == max(peaks)
    assert "third" not in found.format_summary()
    assert "48" not in found.format_summary()


def test_the_probability_is_fitted_on_the_same_peaks() -> None:
    """Maps that listen are sure of their sources; those that do not are at one half."""
    for kind in ("logistic", "isotonic"):
        fitted = calibrate(Batched(), DATA, presence=kind)
        calibration = PresenceCalibration.from_dict(fitted.presence)
        assert calibration.kind == kind
        assert calibration.probability_of(0.0) < 0.4 < 0.9 < calibration.probability_of(1.0)
        assert f"({kind})" in fitted.format_summary()
    alike = PresenceCalibration.from_dict(calibrate(deaf, DATA).presence)
    assert alike.probability_of(1.0) == pytest.approx(0.5, abs=0.02)


def test_a_report_says_whether_presence_is_told_and_how_surely(tmp_path: Path) -> None:
    listening, calibration = Batched(), PresenceCalibration("isotonic", peaks=(0.0, 1.0), probabilities=(0.0, 0.9))
    listening.calibration = calibration
    report = evaluate(listening, DATA, bootstraps=20, output=tmp_path / "report")
    for kind in NEGATIVES:
        score = report.model.metrics[f"presence_auroc_{kind}"]
        assert score.value == score.low == score.high == 1
        assert report[f"peak_{kind}"] == 0 < report["peak_own"] == 1
    assert report["presence_ece"] == pytest.approx(0.05)  # 0.9 for what is always right, 0 for what is never
    filled = [bin for bin in report.reliability if bin.share > 0]
    assert [(round(b.share, 9), b.frequency) for b in filled] == [(0.5, 0), (0.5, 1)]
    assert [b.probability for b in filled] == pytest.approx([0, 0.9])
    loaded = load_report(tmp_path / "report")
    assert loaded == report
    assert loaded.map_metadata()["presence"] == calibration.as_dict()
    assert (
        compute_scores_from_samples(loaded.samples, SHARP, calibration)["presence_ece"].value == report["presence_ece"]
    )
    assert "Is its probability right?" in render_page(report)
    assert report.select_metrics({"ciou"}).reliability == ()
    unable = evaluate(deaf, DATA, bootstraps=0)
    assert unable["presence_auroc_offscreen"] == 0.5
    assert unable.reliability == ()
    assert "presence_ece" not in unable.model.metrics


def test_who_claims_nothing_without_a_source_is_told_from_who_claims_all() -> None:
    quiet, loud = (evaluate(one, DATA, protocol=SHARP, threshold=0.5, bootstraps=0) for one in (Batched(), deaf))
    for kind in NEGATIVES:
        assert quiet[f"pia_{kind}"] == 0
        assert quiet[f"aucn_{kind}"] == 1
        assert loud[f"pia_{kind}"] > 0
        assert loud[f"aucn_{kind}"] < 1
    assert quiet["mean_iou_universal"] == 1
    assert quiet["f_loc"] == 1 > loud["f_loc"]
    assert quiet["f_auc"] == 1 > loud["f_auc"]


def test_without_a_threshold_nothing_is_said_of_negatives() -> None:
    report = evaluate(Batched(), DATA, bootstraps=0)
    assert not any(key.startswith(("pia_", "aucn_", "f_")) for key in report.model.metrics)
    assert any("soundspot calibrate" in note for note in report.notes)


def test_scoring_on_what_was_fitted_is_told() -> None:
    fitted = calibrate(Batched(), DATA)
    source = {"calibration": fitted.as_dict()}
    told = evaluate(Batched(), DATA, threshold=fitted.threshold, bootstraps=0, source=source)
    assert any("fitted on 16 of these very samples" in note for note in told.notes)
    assert "ids" not in told.source["calibration"]
    part = evaluate(Batched(), Squares(pictures=3), threshold=fitted.threshold, bootstraps=0, source=source)
    assert any("fitted on 6 of these very samples" in note for note in part.notes)

    class Elsewhere(Squares):
        def id(self, index: int) -> str:
            return f"elsewhere/{super().id(index)}"

    other = evaluate(Batched(), Elsewhere(), threshold=fitted.threshold, bootstraps=0, source=source)
    assert not any("very samples" in note for note in other.notes)


def test_a_set_without_sources_is_refused() -> None:
    class Empty(Squares):
        def ground_truth(self, index: int):
            return replace(super().ground_truth(index), present=False)

    with pytest.raises(DataError, match="no sample has its source"):
        calibrate(Batched(), Empty())


def test_nothing_is_fitted_on_a_test_set() -> None:
    from soundspot.config.frontend import InputSpec
    from soundspot.data.datasets.registry import fitting_options

    assert fitting_options("catalog", InputSpec(), {}) == {"split": "val"}
    with pytest.raises(RecipeError, match="nothing is fitted on a test set"):
        fitting_options("catalog", InputSpec(), {"split": "test"})
