"""What a worker of a study does: start weights, features, one training, or one score, each with its cost."""

import shutil
import time
import traceback
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F

from soundspot.config.checkpoint import describe_checkpoint
from soundspot.config.schema import Recipe
from soundspot.data.datasets.registry import open_dataset, scoring_options
from soundspot.data.media.image import normalize, squash
from soundspot.errors import OutputError, SoundspotError
from soundspot.evaluation.engine.evaluate import evaluate
from soundspot.evaluation.metrics.registry import NEGATIVES
from soundspot.evaluation.report.report import Report
from soundspot.inference.localizer import Localizer
from soundspot.inference.render import draw_outline, make_contact_sheet
from soundspot.models.encoders import build_encoder
from soundspot.models.folding import prepare_for_inference
from soundspot.models.frozen_outputs import use_frozen_outputs
from soundspot.models.heads import mean_pool
from soundspot.study.schema import StartConfig, StudyData
from soundspot.training.clip_reader import ClipReader
from soundspot.training.datamodule import uses_ground_truth
from soundspot.training.feature_cache import cache_features
from soundspot.training.feature_plan import RepeatedEpochs
from soundspot.training.fit import build_method, open_recipe_dataset, train
from soundspot.types import AudioVisualDataset
from soundspot.utils.atomic_io import DISK_FULL, DiskFullError, atomic_write
from soundspot.utils.memory import peak_memory, reset_peak_memory

EXAMPLE_HEIGHT = 112
BEST = "best.safetensors"


@runtime_checkable
class Task(Protocol):
    """Task of a worker."""

    def run(self) -> dict[str, Any]:
        """Do it.

        Returns:
            What the journal is to have of it, as JSON can hold it.
        """


@dataclass(frozen=True)
class StartTask:
    """Training of start weights for image encoders.

    Attributes:
        config: data and steps.
        recipe: recipe whose image encoder and front end they are for.
        output: file of the weights.
    """

    config: StartConfig
    recipe: Recipe
    output: Path

    def run(self) -> dict[str, Any]:
        """Train the encoder and write its weights.

        Returns:
            Accuracy of the last steps.
        """
        return {"accuracy": train_start(self.config, self.recipe, self.output)}


@dataclass(frozen=True)
class FeatureTask:
    """Features of the frozen stages of a recipe's encoders.

    Attributes:
        recipe: recipe with the folder of features.
    """

    recipe: Recipe

    def run(self) -> dict[str, Any]:
        """Compute what is missing.

        Returns:
            Nothing but the cost.
        """
        recipe = self.recipe
        data = RepeatedEpochs(open_recipe_dataset(recipe.data), recipe.feature_cache.epochs)  # type: ignore[abstract]
        method = build_method(recipe, 0)
        reader = ClipReader(data, method.front_end, recipe.views, recipe.train.seed, uses_ground_truth(method, data))
        cache_features(method, reader, recipe, progress=False)
        return {}


@dataclass(frozen=True)
class ScoringFeatureTask:
    """Outputs of frozen stages for the images and sounds of a test set, negatives and mixtures included.

    Attributes:
        recipe: recipe with the frozen encoders.
        test: the test set, with the folder it lies in.
        folder: folder of the outputs.
    """

    recipe: Recipe
    test: StudyData
    folder: Path

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
        evaluate(localizer, data, negatives=NEGATIVES if self.test.negatives else (), bootstraps=0)
        return {}


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
class TrainTask:
    """Training of one arm with one seed.

    Attributes:
        recipe: recipe with its seed.
        folder: folder of the run; what is there of a killed one is continued.
    """

    recipe: Recipe
    folder: Path

    def run(self) -> dict[str, Any]:
        """Train.

        Returns:
            Number of weights that learn, whether a killed run was continued, and hash of the checkpoint.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        is_resumed = (self.folder / "resume.ckpt").exists()
        try:
            best = train(self.recipe, self.folder, resume=True, progress=False)
        except DiskFullError:
            raise
        except OutputError:  # what is there is of other paths, or was killed before it was a run
            shutil.rmtree(self.folder)
            best = train(self.recipe, self.folder, progress=False)
        (self.folder / "resume.ckpt").unlink(missing_ok=True)
        method = Localizer.load(best, device="cpu").method
        weights = sum(p.numel() for p in method.parameters() if p.requires_grad)
        return {"weights": weights, "resumed": is_resumed, "sha256": describe_checkpoint(best)["sha256"]}


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


@dataclass(frozen=True)
class Outcome:
    """Outcome of a task and its cost.

    Attributes:
        facts: what the task returned; empty after an error.
        error: message of what went wrong; empty where nothing did.
        is_disk_full: whether the disk was full, which is no failure of the task: it is to be done again.
        seconds: duration.
        cpu_seconds: time of the processor, which other work on the machine does not change.
        peak_mb: largest resident memory of the process in MB, mapped files included; 0 where it is not known.
    """

    facts: dict[str, Any]
    error: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: int = 0
    is_disk_full: bool = False


def perform(task: Task) -> Outcome:
    """Do a task; whatever it raises is a failure of this task.

    Args:
        task: the task.

    Returns:
        Its outcome.
    """
    began, cpu_began = time.perf_counter(), time.process_time()
    facts: dict[str, Any] = {}
    error, is_disk_full = "", False
    reset_peak_memory()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            facts = task.run()
        except DiskFullError as failure:
            error, is_disk_full = str(failure), True
        except SoundspotError as failure:
            error = str(failure)
        except Exception as failure:  # of torch, a decoder or a method of the user's
            is_disk_full = isinstance(failure, OSError) and failure.errno in DISK_FULL
            where = traceback.extract_tb(failure.__traceback__)[-1]
            error = f"{type(failure).__name__}: {failure} ({Path(where.filename).name}:{where.lineno})"
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    return Outcome(facts, error, round(seconds, 2), round(cpu_seconds, 2), peak_memory() // 1_000_000, is_disk_full)


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


def train_start(config: StartConfig, recipe: Recipe, output: Path) -> float:
    """Train an image encoder to name what images show, as published methods begin with ImageNet's.

    Args:
        config: data and steps.
        recipe: recipe whose image encoder and front end it is.
        output: file of the weights.

    Returns:
        Share of the images of the last ten steps that are named rightly.
    """
    spec = recipe.front_end.build().image
    data = open_dataset(config.data, **config.options)
    images = torch.stack([squash(data.read_image(i), spec.size) for i in range(len(data))])
    names = sorted({data.category(i) for i in range(len(data))})
    labels = torch.tensor([names.index(data.category(i)) for i in range(len(data))])
    torch.manual_seed(config.seed)
    encoder: torch.nn.Module = build_encoder(recipe.image, in_channels=3)
    encoder = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    head = torch.nn.Linear(cast(int, encoder.channels), len(names))
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=config.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=config.steps)
    accuracies: list[float] = []
    for _ in range(config.steps):
        rows = torch.randint(0, len(data), (config.batch_size,))
        logits = head(mean_pool(encoder(normalize(images[rows], spec))))
        loss = F.cross_entropy(logits, labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        accuracies.append(float((logits.argmax(1) == labels[rows]).float().mean()))
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(output) as draft:
        torch.save(encoder.state_dict(), draft)
    return round(sum(accuracies[-10:]) / len(accuracies[-10:]), 4)
