"""One score of a study: what frozen stages make of its test set, the report, and drawn examples."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from soundspot.config.checkpoint import describe_checkpoint, update_header
from soundspot.config.schema import Recipe
from soundspot.data.datasets.registry import open_dataset, scoring_options
from soundspot.evaluation.engine.calibrate import calibrate
from soundspot.evaluation.engine.evaluate import evaluate
from soundspot.evaluation.metrics.registry import NEGATIVES
from soundspot.evaluation.report.report import Report
from soundspot.inference.localizer import Localizer
from soundspot.inference.render import draw_outline, make_contact_sheet
from soundspot.models.folding import prepare_for_inference
from soundspot.models.frozen_outputs import use_frozen_outputs
from soundspot.study.schema import StudyData
from soundspot.training.fit import build_method
from soundspot.types import AudioVisualDataset
from soundspot.utils.atomic_io import atomic_write

EXAMPLE_HEIGHT = 112


@dataclass(frozen=True)
class ScoringFeatureTask:
    """Outputs of frozen stages for the images and sounds of a test set, negatives and mixtures included.

    Attributes:
        recipe: recipe with the frozen encoders.
        test: the test set, with the folder it lies in.
        folder: folder of the outputs.
        is_fitted: whether models are calibrated on the data, not scored.
    """

    recipe: Recipe
    test: StudyData
    folder: Path
    is_fitted: bool = False

    def run(self) -> dict[str, Any]:
        """Score an untrained model, and keep what its frozen stages gave.

        Returns:
            Nothing but the cost.
        """
        method = build_method(self.recipe, 0).eval()
        prepare_for_inference(method)  # as loading does
        use_frozen_outputs(method, self.folder, is_written=True)
        localizer = Localizer(method)
        data, _ = open_test(self.test, localizer)
        if self.is_fitted:
            calibrate(localizer, data)
        else:
            evaluate(localizer, data, negatives=NEGATIVES if self.test.negatives else (), bootstraps=0)
        return {}


def calibrate_checkpoint(checkpoint: Path, held_out: StudyData, features: Path | None) -> None:
    """Fit the threshold and the probability of presence of a checkpoint, and store both in its header.

    Args:
        checkpoint: path of the weights.
        held_out: the data, with the folder they lie in.
        features: folder of what frozen stages make of them; None: it is computed.
    """
    localizer = Localizer.load(checkpoint, device="cpu")
    if features:
        use_frozen_outputs(localizer.method, features)
    data, options = open_test(held_out, localizer)
    fitted = calibrate(localizer, data)
    stored = fitted.as_dict() | {"data": held_out.name, "options": options}
    update_header(checkpoint, threshold=fitted.threshold, calibration=stored)


def open_test(test: StudyData, localizer: Localizer) -> tuple[AudioVisualDataset, dict[str, Any]]:
    """Open a test set for a model.

    Args:
        test: the test set, with the folder it lies in.
        localizer: the model; scenes are composed at the size and duration of its inputs.

    Returns:
        The data set and all of its options.
    """
    options = scoring_options(test.name, localizer.method.front_end) | test.options
    return open_dataset(test.name, test.root, **options), options


@dataclass(frozen=True)
class ScoreTask:
    """Scoring of a checkpoint on a test set.

    Attributes:
        checkpoint: path of the weights.
        name: name of the model in the report.
        test: the test set, with the folder it lies in.
        keys: report keys of which the journal has intervals, and `draws` the bootstrap draws.
        report: folder of the report.
        draws: file of the bootstrap draws.
        examples: image of drawn maps; None: none are drawn.
        features: folder of what frozen stages make of the test set; None: they are computed.
    """

    checkpoint: Path
    name: str
    test: StudyData
    keys: tuple[str, ...]
    report: Path
    draws: Path
    examples: Path | None
    features: Path | None = None

    def run(self) -> dict[str, Any]:
        """Score, and write the report without its maps.

        Returns:
            `n` samples, `samples` (their hash), `rows` (row -> report key -> value and interval) and `verdict`.
        """
        localizer = Localizer.load(self.checkpoint, device="cpu")
        if self.features:
            use_frozen_outputs(localizer.method, self.features)
        data, options = open_test(self.test, localizer)
        source = {**describe_checkpoint(self.checkpoint), "data": self.test.name, "options": options}
        negatives = NEGATIVES if self.test.negatives else ()
        report = evaluate(localizer, data, negatives=negatives, source=source)
        rows = tuple(replace(row, name=self.name) if row.kind == "model" else row for row in report.rows)
        report = replace(report, rows=rows)
        for folder in (self.report.parent, self.draws.parent):
            folder.mkdir(parents=True, exist_ok=True)
        report.save(self.report, overwrite=True, maps=False)
        with atomic_write(self.draws) as draft:
            drawn: dict[str, Any] = {key: report.draws[key] for key in self.keys if key in report.draws}
            np.savez_compressed(draft, **drawn)
        if self.examples:
            draw_examples(localizer, data, self.test.examples, self.examples)
            draw_examples(None, data, self.test.examples, source_images_path(self.examples))
        return summarize_scores(report, self.keys)


def summarize_scores(report: Report, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return what the journal has of a report.

    Args:
        report: report of one model.
        keys: report keys.

    Returns:
        `n`, `samples`, `rows` and `verdict`, as JSON can hold them.
    """
    rows: dict[str, dict[str, list[float | None]]] = {}
    for row in report.rows:
        scores = {key: row.metrics[key] for key in keys if key in row.metrics}
        name = "model" if row.kind == "model" else row.name
        rows[name] = {
            key: [round(x, 6) if x == x else None for x in (score.value, score.low, score.high)]
            for key, score in scores.items()
        }
    verdict = report.sound_sensitivity.verdict if report.sound_sensitivity else ""
    return {"n": report.n, "samples": report.source["samples"], "rows": rows, "verdict": verdict}


def source_images_path(examples: Path) -> Path:
    """Return the file of the images whose maps are in another.

    Args:
        examples: file of maps, `KEY-TEST.jpg`.

    Returns:
        `images-TEST.jpg` beside it.
    """
    return examples.with_name(f"images-{examples.name.partition('-')[2]}")


def draw_examples(
    localizer: Localizer | None, data: AudioVisualDataset, indices: tuple[int, ...], output: Path
) -> None:
    """Draw maps of samples over their images, with the outline of the ground truth, in one row.

    Args:
        localizer: the model; None: the images are drawn without maps.
        data: the test set.
        indices: positions of the samples.
        output: file of the image.
    """
    overlays = []
    for index in indices:
        image = data.read_image(index)
        overlay = localizer.locate(image, data.read_audio(index)).overlay() if localizer else image
        mask = data.ground_truth(index).to_map(*image.size[::-1]).numpy() > 0
        overlays.append(draw_outline(overlay, mask))
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(output) as draft:
        make_contact_sheet([overlays], height=EXAMPLE_HEIGHT).save(draft, quality=88)
