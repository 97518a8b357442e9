"""What happens between two legs of a run: mine neighbours, look at held-out data, write checkpoints."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import torch

from whence.checkpoint import save_method
from whence.data.neighbours import Neighbours
from whence.errors import DataError, RecipeError, did_you_mean
from whence.inference.embed import identity
from whence.inference.localizer import Localizer
from whence.inference.mining import Mining, mine
from whence.output import whole_file
from whence.processes import is_first, once
from whence.recipe import Recipe
from whence.training.feed import teaching
from whence.training.labels import Labelling, due_steps, refuse_fresh
from whence.training.reading import Clips, Ticket
from whence.types import AudioVisualDataset


class Miner(L.Callback):
    """The table of neighbours in force: given by the recipe, or mined with the model itself at given shares of the run.

    A mined table is kept in the run's folder under the step it was mined at, so a resumed run finds the one in force.
    """

    def __init__(self, data: AudioVisualDataset, recipe: Recipe, folder: Path, legs: int, leg: int) -> None:
        self.data, self.near, self.folder = data, recipe.neighbours, folder
        self.due = due_steps("neighbours.mine_at", self.near.mine_at, legs, leg)
        self.table: Neighbours | None = None
        if self.near.table or self.due:
            refuse_fresh(data, "neighbours")
        if self.near.table:
            self.table = Neighbours.load(Path(self.near.table), identity(data))
        most = len(data) - 1 if self.table is None else self.table.images.shape[1]
        if (self.due or self.table is not None) and self.near.depth > most:
            raise DataError(
                f"the recipe asks for {self.near.depth} neighbours (neighbours.k, .alike), and each sample has {most}; "
                "lower it, or mine a deeper table"
            )

    def current(self) -> Neighbours | None:
        return self.table

    def bring(self, method: Any, step: int) -> None:
        """Puts in force the newest table that is due at `step`, mining it where the folder does not have it."""
        due = [s for s in self.due if s <= step]
        if not due:
            return
        folder = self.folder / f"neighbours-{due[-1]:08d}"

        def make() -> None:
            if not (folder / "meta.json").exists():
                localizer = Localizer(method, device=str(next(method.parameters()).device))
                mine(localizer, self.data, folder, Mining(self.near.depth), overwrite=True)

        once(make)
        self.table = Neighbours.load(folder, identity(self.data))


class Selector(L.Callback):
    """Looks at held-out data every few legs and remembers the best; never sees a test set."""

    def __init__(self, data: AudioVisualDataset, recipe: Recipe, labels: Labelling) -> None:
        self.data, self.recipe, self.labels = data, recipe, labels
        self.metric = recipe.select.metric
        self.sign = -1.0 if self.metric == "loss" else 1.0
        self.best = -math.inf
        self.improved = False

    def on_train_epoch_end(self, trainer: L.Trainer, task: Any) -> None:
        self.improved = False
        if (trainer.current_epoch + 1) % self.recipe.select.every and trainer.global_step < task.steps:
            return
        scores = once(lambda: self.scores(task))
        if self.metric not in scores:
            raise RecipeError(f"select.metric: no score {self.metric!r} of this set{did_you_mean(self.metric, scores)}")
        task.log_dict({f"probe/{key}": value for key, value in scores.items()})
        task.log(self.metric, scores[self.metric], prog_bar=True, logger=False)
        score = self.sign * scores[self.metric]
        self.improved = score > self.best
        self.best = max(self.best, score)

    def scores(self, task: Any) -> dict[str, float]:
        """Of the held-out set, by name."""
        was_training = task.method.training
        task.method.eval()
        with torch.no_grad():
            found = {"loss": self.loss(task)} if self.metric == "loss" else self.report(task)
        task.method.train(was_training)
        return found

    def report(self, task: Any) -> dict[str, float]:
        from whence.evaluation.evaluate import evaluate

        report = evaluate(Localizer(task.method, device=str(task.device)), self.data, negatives=(), bootstraps=0)
        return {key: interval.value for key, interval in report.model.metrics.items()}

    def loss(self, task: Any) -> float:
        """The training loss of the held-out clips, in batches of the training's size, always in the same order."""
        truths = teaching(task.method, self.data)
        clips = Clips(self.data, task.method.front_end, self.recipe.views, self.recipe.train.seed, truths)
        batch = min(self.recipe.train.batch_size, len(self.data))
        total = 0.0
        starts = range(0, len(self.data) - batch + 1, batch)
        for start in starts:
            tickets = [Ticket(0, i, i, i) for i in range(start, start + batch)]
            raw = clips.read(tickets).to(task.device)
            with task.trainer.precision_plugin.forward_context():
                total += float(sum(task.terms(raw, self.labels).values()))
        return total / len(starts)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]


class Keeper(L.Callback):
    """Writes `last.safetensors`, `best.safetensors` and, last of all, `resume.ckpt`; each whole or not at all.

    A run killed at any moment goes on from `resume.ckpt`, and what lies beside it is written again by the leg that
    is run again.
    """

    def __init__(self, folder: Path, recipe: Recipe, selector: Selector | None, classes: Sequence[str] = ()) -> None:
        self.folder, self.recipe, self.selector, self.classes = folder, recipe, selector, list(classes)

    def on_train_epoch_end(self, trainer: L.Trainer, task: Any) -> None:
        extras: dict[str, Any] = {"recipe": self.recipe.as_dict(), "step": trainer.global_step}
        if self.classes:
            extras["classes"] = self.classes
        if self.selector is not None and math.isfinite(self.selector.best):
            extras["selected"] = {"metric": self.selector.metric, "best": self.selector.sign * self.selector.best}
        if is_first():
            save_method(task.method, self.folder / "last.safetensors", **extras)
            if self.selector is None or self.selector.improved:
                save_method(task.method, self.folder / "best.safetensors", **extras)
        path = self.folder / "resume.ckpt"
        with whole_file(path) if is_first() else nullcontext(path) as draft:
            trainer.save_checkpoint(draft)  # all of them put in, the first one writes
