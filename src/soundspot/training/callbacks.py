"""Callbacks at the checkpoints of a run: mine neighbors, validate on held-out data, write checkpoints."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import torch

from soundspot.config.checkpoint import save_checkpoint
from soundspot.config.schema import Recipe
from soundspot.data.neighbors.table import NeighborTable
from soundspot.errors import DataError, RecipeError, did_you_mean
from soundspot.inference.localizer import Localizer
from soundspot.inference.mining.embed import fingerprint_dataset
from soundspot.inference.mining.mine import MiningOptions, mine_neighbors
from soundspot.training.clip_reader import ClipReader, SampleRequest
from soundspot.training.datamodule import uses_ground_truth
from soundspot.training.labels import LabelFunction
from soundspot.training.schedule import ScheduledCallback, check_fixed_dataset, schedule_to_steps
from soundspot.types import AudioVisualDataset
from soundspot.utils.atomic_io import atomic_write
from soundspot.utils.distributed import is_rank_zero, on_rank_zero


class NeighborMiningCallback(ScheduledCallback):
    """Table of neighbors: given by the recipe, or mined with the model itself on schedule.

    Args:
        data: training set of n samples.
        recipe: recipe of the run.
        folder: folder of the run, in which mined tables are stored.
        num_intervals: number of checkpoint intervals of the run.
        interval_steps: optimizer steps of each.

    Raises:
        RecipeError: mining is due after the last interval has begun, or the data set has other samples in each epoch.
        DataError: the table belongs to another data set, or each sample has fewer neighbors than the recipe needs.
    """

    table_name = "neighbors"

    def __init__(
        self, data: AudioVisualDataset, recipe: Recipe, folder: Path, num_intervals: int, interval_steps: int
    ) -> None:
        self.config = recipe.neighbors
        schedule = self.config.mining_schedule
        super().__init__(
            data, folder, schedule_to_steps("neighbors.mining_schedule", schedule, num_intervals, interval_steps)
        )
        self.table: NeighborTable | None = None
        if self.config.table or self.due_steps:
            check_fixed_dataset(data, "neighbors")
        if self.config.table:
            self.table = NeighborTable.load(Path(self.config.table), fingerprint_dataset(data))
        available = len(data) - 1 if self.table is None else self.table.images.shape[1]
        if (self.due_steps or self.table is not None) and self.config.required_k > available:
            raise DataError(
                f"the recipe asks for {self.config.required_k} neighbors (neighbors.k, "
                f".false_negatives_from_neighbors), and each sample has {available}; lower it, or mine more of them"
            )

    def current_table(self) -> NeighborTable | None:
        """Return the table that neighbors are drawn from at present.

        Returns:
            The table; None before the first is mined, or where the recipe has no neighbors.
        """
        return self.table

    def make_table(self, method: Any, folder: Path) -> None:
        """Mine the neighbors of the training set with the method as it is now, and write them.

        Args:
            method: method in training.
            folder: folder of the new table; an existing folder is replaced.
        """
        options = MiningOptions(self.config.required_k, overwrite=True)
        mine_neighbors(self.make_embedder(method), self.data, folder, options)

    def load_table(self, method: Any, folder: Path, step: int) -> None:
        """Load a table of neighbors in place of the current table.

        Args:
            method: method in training, unchanged.
            folder: folder of the table.
            step: optimizer step that the table was due at, unused.

        Raises:
            DataError: the table is damaged or belongs to another data set.
        """
        self.table = NeighborTable.load(folder, fingerprint_dataset(self.data))


class ValidationCallback(L.Callback):
    """Scores of held-out data every few checkpoints, and the best so far; never of a test set.

    Args:
        data: held-out data set.
        recipe: recipe of the run.
        labels: function that returns the class labels of held-out samples.

    Attributes:
        metric: score that the best checkpoint is selected by; `sign` is -1 where less is better (the loss).
        best: best score so far, times `sign`; -inf before the first.
        improved: whether the last checkpoint is the best so far.
    """

    def __init__(self, data: AudioVisualDataset, recipe: Recipe, labels: LabelFunction) -> None:
        self.data, self.recipe, self.labels = data, recipe, labels
        self.metric = recipe.validation.metric
        self.sign = -1.0 if self.metric == "loss" else 1.0
        self.best = -math.inf
        self.improved = False

    def on_train_epoch_end(self, trainer: L.Trainer, module: Any) -> None:
        """Score the held-out data where that is due (every n-th checkpoint, and the last), and log the scores.

        Args:
            trainer: Lightning's trainer.
            module: the `LocalizationModule` in training.

        Raises:
            RecipeError: no score is called `validation.metric`.
        """
        self.improved = False
        is_skipped = (trainer.current_epoch + 1) % self.recipe.validation.every_n_checkpoints
        if is_skipped and trainer.global_step < module.total_steps:
            return
        scores = on_rank_zero(lambda: self.compute_metrics(module))
        if self.metric not in scores:
            hint = did_you_mean(self.metric, scores)
            raise RecipeError(f"validation.metric: no score {self.metric!r} of this data set{hint}")
        module.log_dict({f"validation/{key}": value for key, value in scores.items()})
        module.log(self.metric, scores[self.metric], prog_bar=True, logger=False)
        score = self.sign * scores[self.metric]
        self.improved = score > self.best
        self.best = max(self.best, score)

    def compute_metrics(self, module: Any) -> dict[str, float]:
        """Compute the scores of the held-out data, in evaluation mode without gradients.

        Args:
            module: the `LocalizationModule` in training; its training mode is restored.

        Returns:
            Score by name: `loss` alone where that is the metric, else those of a report.
        """
        was_training = module.method.training
        module.method.eval()
        with torch.no_grad():
            scores = {"loss": self.compute_loss(module)} if self.metric == "loss" else self.evaluate(module)
        module.method.train(was_training)
        return scores

    def evaluate(self, module: Any) -> dict[str, float]:
        """Compute the metrics of a report on the held-out data, without negatives and confidence intervals.

        Args:
            module: the `LocalizationModule` in training.

        Returns:
            Value by name of the metric.
        """
        from soundspot.evaluation.engine.evaluate import evaluate

        report = evaluate(Localizer(module.method, device=str(module.device)), self.data, negatives=(), bootstraps=0)
        return {key: interval.value for key, interval in report.model.metrics.items()}

    def compute_loss(self, module: Any) -> float:
        """Compute the mean training loss of the held-out data, in a fixed order, without a mask of false negatives.

        Batches have the size of the training's, or of the data set if that is smaller; an incomplete last batch is left
        out.

        Args:
            module: the `LocalizationModule` in training.

        Returns:
            Mean over batches of the sum of all loss terms.
        """
        reader = ClipReader(
            self.data,
            module.method.front_end,
            self.recipe.views,
            self.recipe.train.seed,
            uses_ground_truth(module.method, self.data),
        )
        batch = min(self.recipe.train.batch_size, len(self.data))
        starts = range(0, len(self.data) - batch + 1, batch)
        total = 0.0
        for start in starts:
            raw_batch = reader.read([SampleRequest(0, i, i, i) for i in range(start, start + batch)]).to(module.device)
            with module.trainer.precision_plugin.forward_context():
                total += float(sum(module.compute_losses(raw_batch, self.labels).values()))
        return total / len(starts)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the callback for `resume.ckpt`.

        Returns:
            `best`, the best score so far, times `sign`.
        """
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the best score so far, so that a resumed run selects the same best checkpoint as an undisturbed run.

        Args:
            state: state by `state_dict`: `best`, the best score so far, times `sign`.
        """
        self.best = state["best"]


class CheckpointCallback(L.Callback):
    """Writer of `last.safetensors`, `best.safetensors` and, at the end, `resume.ckpt`; each complete or not at all.

    A run killed at any moment continues from `resume.ckpt`, and the other files are written again by the interval that
    is run again.

    Args:
        folder: folder of the run.
        recipe: recipe of the run, for the header.
        validation: callback that selects the best checkpoint; None: the best is the last.
        class_names: names of the classes that are learned, for the header.
    """

    def __init__(
        self, folder: Path, recipe: Recipe, validation: ValidationCallback | None, class_names: Sequence[str] = ()
    ) -> None:
        self.folder, self.recipe, self.validation, self.class_names = folder, recipe, validation, list(class_names)

    def on_train_epoch_end(self, trainer: L.Trainer, module: Any) -> None:
        """Write the checkpoints at the end of a checkpoint interval.

        `best.safetensors` is written where validation improved, and always in a run without validation.

        Args:
            trainer: Lightning's trainer.
            module: the `LocalizationModule` in training.
        """
        header: dict[str, Any] = {"recipe": self.recipe.as_dict(), "step": trainer.global_step}
        if self.class_names:
            header["classes"] = self.class_names
        if self.validation is not None and math.isfinite(self.validation.best):
            header["selected"] = {"metric": self.validation.metric, "best": self.validation.sign * self.validation.best}
        if is_rank_zero():
            save_checkpoint(module.method, self.folder / "last.safetensors", **header)
            if self.validation is None or self.validation.improved:
                save_checkpoint(module.method, self.folder / "best.safetensors", **header)
        path = self.folder / "resume.ckpt"
        with atomic_write(path) if is_rank_zero() else nullcontext(path) as draft:
            trainer.save_checkpoint(draft)  # all processes contribute, the first one writes
