"""One threshold, fitted where nothing is to be found, that travels with the model."""

from dataclasses import replace

import pytest
import torch

from fake import Batched, Squares, deaf
from soundspot.config.upsampling import Upsampling
from soundspot.errors import DataError, RecipeError
from soundspot.evaluation.engine import codecs
from soundspot.evaluation.engine.calibrate import calibrate
from soundspot.evaluation.engine.evaluate import evaluate
from soundspot.evaluation.engine.items import index_samples
from soundspot.evaluation.engine.predict import encode_audio, iter_predictions
from soundspot.evaluation.metrics.registry import NEGATIVES
from soundspot.evaluation.protocols.presets import PROTOCOLS

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
