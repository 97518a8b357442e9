"""What happens between two legs of a run: mine neighbours, look at held-out data, write checkpoints."""

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
from soundspot.training.labels import LabelFunction, check_fixed_dataset, schedule_to_steps
from soundspot.types import AudioVisualDataset
from soundspot.utils.atomic_io import atomic_write
from soundspot.utils.distributed import is_rank_zero, on_rank_zero


class NeighborMiningCallback(L.Callback):
    """The table of neighbours in force: given by the recipe, or mined with the model itself at given shares of the run.

    A mined table is kept in the run's folder under the step it was mined at, so a resumed run finds the one in force.
    """

    def __init__(
        self, data: AudioVisualDataset, recipe: Recipe, folder: Path, num_intervals: int, interval_steps: int
    ) -> None:
        self.data, self.config, self.folder = data, recipe.neighbors, folder
        self.due_steps = schedule_to_steps(
            "neighbours.mine_at", self.config.mining_schedule, num_intervals, interval_steps
        )
        self.table: NeighborTable | None = None
        if self.config.table or self.due_steps:
            check_fixed_dataset(data, "neighbours")
        if self.config.table:
            self.table = NeighborTable.load(Path(self.config.table), fingerprint_dataset(data))
        most = len(data) - 1 if self.table is None else self.table.images.shape[1]
        if (self.due_steps or self.table is not None) and self.config.required_k > most:
            raise DataError(
                f"the recipe asks for {self.config.required_k} neighbours (neighbours.k, .alike), and each sample has {most}; "
                "lower it, or mine a deeper table"
            )

    def current_table(self) -> NeighborTable | None:
        return self.table

    def update_neighbors(self, method: Any, step: int) -> None:
        """Puts in force the newest table that is due at `step`, mining it where the folder does not have it."""
        due = [s for s in self.due_steps if s <= step]
        if not due:
            return
        folder = self.folder / f"neighbours-{due[-1]:08d}"

        def make() -> None:
            if not (folder / "meta.json").exists():
                localizer = Localizer(method, device=str(next(method.parameters()).device))
                mine_neighbors(localizer, self.data, folder, MiningOptions(self.config.required_k), overwrite=True)

        on_rank_zero(make)
        self.table = NeighborTable.load(folder, fingerprint_dataset(self.data))


class ValidationCallback(L.Callback):
    """Looks at held-out data every few legs and remembers the best; never sees a test set."""

    def __init__(self, data: AudioVisualDataset, recipe: Recipe, labels: LabelFunction) -> None:
        self.data, self.recipe, self.labels = data, recipe, labels
        self.metric = recipe.validation.metric
        self.sign = -1.0 if self.metric == "loss" else 1.0
        self.best = -math.inf
        self.improved = False

    def on_train_epoch_end(self, trainer: L.Trainer, module: Any) -> None:
        self.improved = False
        if (
            trainer.current_epoch + 1
        ) % self.recipe.validation.every_n_checkpoints and trainer.global_step < module.steps:
            return
        scores = on_rank_zero(lambda: self.compute_metrics(module))
        if self.metric not in scores:
            raise RecipeError(f"select.metric: no score {self.metric!r} of this set{did_you_mean(self.metric, scores)}")
        module.log_dict({f"probe/{key}": value for key, value in scores.items()})
        module.log(self.metric, scores[self.metric], prog_bar=True, logger=False)
        score = self.sign * scores[self.metric]
        self.improved = score > self.best
        self.best = max(self.best, score)

    def compute_metrics(self, module: Any) -> dict[str, float]:
        """Of the held-out set, by name."""
        was_training = module.method.training
        module.method.eval()
        with torch.no_grad():
            found = (
                {"loss": self.compute_loss(module)} if self.metric == "loss" else self.compute_report_metrics(module)
            )
        module.method.train(was_training)
        return found

    def compute_report_metrics(self, module: Any) -> dict[str, float]:
        from soundspot.evaluation.engine.evaluate import evaluate

        report = evaluate(Localizer(module.method, device=str(module.device)), self.data, negatives=(), bootstraps=0)
        return {key: interval.value for key, interval in report.model.metrics.items()}

    def compute_loss(self, module: Any) -> float:
        """The training loss of the held-out clips, in batches of the training's size, always in the same order."""
        truths = uses_ground_truth(module.method, self.data)
        clips = ClipReader(self.data, module.method.front_end, self.recipe.views, self.recipe.train.seed, truths)
        batch = min(self.recipe.train.batch_size, len(self.data))
        total = 0.0
        starts = range(0, len(self.data) - batch + 1, batch)
        for start in starts:
            tickets = [SampleRequest(0, i, i, i) for i in range(start, start + batch)]
            raw = clips.read(tickets).to(module.device)
            with module.trainer.precision_plugin.forward_context():
                total += float(sum(module.terms(raw, self.labels).values()))
        return total / len(starts)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]


class CheckpointCallback(L.Callback):
    """Writes `last.safetensors`, `best.safetensors` and, last of all, `resume.ckpt`; each whole or not at all.

    A run killed at any moment goes on from `resume.ckpt`, and what lies beside it is written again by the leg that
    is run again.
    """

    def __init__(
        self, folder: Path, recipe: Recipe, validation: ValidationCallback | None, class_names: Sequence[str] = ()
    ) -> None:
        self.folder, self.recipe, self.validation, self.class_names = folder, recipe, validation, list(class_names)

    def on_train_epoch_end(self, trainer: L.Trainer, module: Any) -> None:
        extras: dict[str, Any] = {"recipe": self.recipe.as_dict(), "step": trainer.global_step}
        if self.class_names:
            extras["classes"] = self.class_names
        if self.validation is not None and math.isfinite(self.validation.best):
            extras["selected"] = {"metric": self.validation.metric, "best": self.validation.sign * self.validation.best}
        if is_rank_zero():
            save_checkpoint(module.method, self.folder / "last.safetensors", **extras)
            if self.validation is None or self.validation.improved:
                save_checkpoint(module.method, self.folder / "best.safetensors", **extras)
        path = self.folder / "resume.ckpt"
        with atomic_write(path) if is_rank_zero() else nullcontext(path) as draft:
            trainer.save_checkpoint(draft)  # all of them put in, the first one writes
