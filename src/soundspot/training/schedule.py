"""Callbacks that make something of the whole training set at given shares of a run, such as neighbors or clusters."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L

from soundspot.errors import RecipeError
from soundspot.inference.localizer import Localizer
from soundspot.methods.base import Method
from soundspot.types import AudioVisualDataset
from soundspot.utils.distributed import on_rank_zero

if TYPE_CHECKING:
    from soundspot.training.feature_embedder import FeatureEmbedder


class ScheduledCallback(L.Callback, ABC):
    """Base of callbacks that make a table of the training set with the model itself, at given steps.

    A table is stored in the run's folder under the step it was due at, so a resumed run loads the current table.

    Args:
        data: training set.
        folder: folder of the run.
        due_steps: optimizer steps at which tables are made, rising.

    Attributes:
        table_name: name of a table's folder, which is NAME-STEP.
        make_embedder: function of the method in training that returns what embeds the training set for a table: a
            localizer, or where features are stored what embeds these.
        due_steps: the steps, in order.
    """

    table_name = ""

    def __init__(self, data: AudioVisualDataset, folder: Path, due_steps: list[int]) -> None:
        self.data, self.folder, self.due_steps = data, folder, due_steps
        self.make_embedder: Callable[[Method], Localizer | FeatureEmbedder] = make_localizer

    def on_train_epoch_start(self, trainer: L.Trainer, module: Any) -> None:
        """Refresh the table before the batches of the next checkpoint interval are drawn.

        Args:
            trainer: Lightning's trainer.
            module: the `LocalizationModule` in training.
        """
        self.refresh(module.method, trainer.global_step)

    def refresh(self, method: Any, step: int) -> None:
        """Load the newest table that is due; the first process makes it if it does not exist, and the others wait.

        Args:
            method: method in training.
            step: number of the optimizer step that follows; nothing happens before the first due step.
        """
        due = [s for s in self.due_steps if s <= step]
        if due:
            folder = self.folder / f"{self.table_name}-{due[-1]:08d}"
            on_rank_zero(lambda: None if (folder / "meta.json").exists() else self.make_table(method, folder))
            self.load_table(method, folder, due[-1])

    @abstractmethod
    def make_table(self, method: Any, folder: Path) -> None:
        """Make the table with the method as it is now, and write it; called in the first process only.

        Args:
            method: method in training.
            folder: folder of the new table.
        """

    @abstractmethod
    def load_table(self, method: Any, folder: Path, step: int) -> None:
        """Load a table that was made; called in all processes.

        Args:
            method: method in training.
            folder: folder of the table.
            step: optimizer step that the table was due at.
        """


def make_localizer(method: Method) -> Localizer:
    """Make a localizer of a method in training.

    Args:
        method: the method, on any device.

    Returns:
        The localizer, on that device.
    """
    return Localizer(method, device=str(next(method.parameters()).device))


def schedule_to_steps(key: str, schedule: Sequence[float], num_intervals: int, interval_steps: int) -> list[int]:
    """Convert shares of a run to steps, each at the beginning of the next checkpoint interval.

    Args:
        key: key of the recipe, for messages.
        schedule: shares of the run, from 0 to below 1.
        num_intervals: number of checkpoint intervals of the run.
        interval_steps: optimizer steps of each.

    Returns:
        Optimizer steps, multiples of `interval_steps`, sorted.

    Raises:
        RecipeError: no interval begins after a share of the schedule.
    """
    steps = [math.ceil(share * num_intervals - 1e-9) * interval_steps for share in schedule]
    for share, step in zip(schedule, steps, strict=True):
        if step >= num_intervals * interval_steps:
            raise RecipeError(
                f"{key}: found {share}, and it is due at the next checkpoint, the last one but the end at "
                f"{(num_intervals - 1) / num_intervals:.3g} of the run; give no later one, or more checkpoints "
                f"(`train.checkpoint_every_n_steps`, now {interval_steps})"
            )
    return sorted(steps)


def check_fixed_dataset(data: AudioVisualDataset, feature: str) -> None:
    """Check that a data set has the same samples in each epoch.

    Args:
        data: training set.
        feature: plural noun for the message: the feature that needs the same samples.

    Raises:
        RecipeError: the data set is composed anew in each epoch.
    """
    if data.at_epoch(1).id(0) != data.id(0):
        raise RecipeError(
            f"{feature} need a data set that stays the same, and {data.name} is composed anew in each epoch; give its "
            f"option `regenerate: false`, or train without {feature}"
        )
