"""The class labels in force in a run: the data set's own, a table's, or clusters of the model's own features."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from soundspot.config.schema import LabelsConfig, Recipe
from soundspot.data.datasets.labels import build_class_table, read_labels
from soundspot.data.neighbors.kmeans import Clusters, fit_kmeans
from soundspot.errors import DataError, RecipeError, did_you_mean
from soundspot.inference.localizer import Localizer
from soundspot.inference.mining.embed import embed_objects, fingerprint_dataset
from soundspot.types import AudioVisualDataset
from soundspot.utils.distributed import on_rank_zero

LABEL_SOURCES = ("none", "category", "clusters")
"""What `labels.source` can be besides a table's path."""

LabelFunction = Callable[[NDArray[np.int64], int], Float[Tensor, "2 b k"] | None]
"""(samples, epoch) -> `soundspot.types.Batch.labels`; None where nothing is known."""


class LabelCallback(L.Callback):
    """Labels of the training set, called with samples and their epoch.

    Clusters are made at given shares of the run and kept in its folder under the step they were made at, so a resumed
    run finds those in force; the state says which of them the method has taken.

    Attributes:
        names: of the classes, where they have names.
        count: how many classes there are; 0 without labels.
    """

    def __init__(
        self, data: AudioVisualDataset, recipe: Recipe, folder: Path, num_intervals: int, interval_steps: int
    ) -> None:
        self.data, self.config, self.folder = data, recipe.labels, folder
        self.seed = recipe.train.seed
        self.due_steps = schedule_to_steps("labels.at", self.config.cluster_schedule, num_intervals, interval_steps)
        self.clusters: Clusters | None = None
        self.applied_step = -1
        if self.is_table and not Path(self.config.source).exists():
            raise RecipeError(
                f"labels.source: found {self.config.source!r}, which is no file, expected a table that is there, or "
                f"one of {', '.join(LABEL_SOURCES)}{did_you_mean(self.config.source, LABEL_SOURCES)}"
            )
        if self.due_steps or self.is_table:
            check_fixed_dataset(data, "clusters" if self.due_steps else "a table of labels")
        self.class_names = self._names()
        self.num_classes = self.config.num_clusters if self.due_steps else len(self.class_names)
        self.training_labels = self.for_dataset(data)
        if self.due_steps and self.num_classes > len(data):
            raise DataError(f"{self.num_classes} clusters were asked of {len(data)} samples; lower `labels.clusters`")

    def check_compatible(self, method: Any, total_steps: int) -> None:
        """Raise RecipeError where the method cannot learn from these labels, or not when they come."""
        late = [step for step in self.due_steps if step > method.last_clusters * total_steps]
        if late:
            raise RecipeError(
                f"labels.at: clusters would be made at step {late[0]} of {total_steps}, where the leg begins that follows "
                f"the share, and {method.name} takes none after {method.last_clusters:g} of the run (method.second); "
                "make them sooner, or begin its second stage later"
            )
        if method.matches_classes and self.is_table:
            kinds: dict[str, set[str]] = {"image": set(), "sound": set()}
            for row in self.rows:
                for kind in kinds if row.modality == "both" else (row.modality,):
                    kinds[kind].add(row.class_name)
            if not kinds["image"] & kinds["sound"]:
                raise RecipeError(
                    f"labels.source: in {self.config.source} pictures and sounds have no class in common, and "
                    f"{method.name} matches the same class of both; map both classifiers' classes to groups "
                    "(`soundspot label ... --groups GROUPS.csv`)"
                )

    @property
    def is_table(self) -> bool:
        return self.config.source not in LABEL_SOURCES

    def _names(self) -> tuple[str, ...]:
        if self.is_table:
            self.rows = read_labels(Path(self.config.source))
            return tuple(sorted({row.class_name for row in self.rows}))
        return category_names(self.data) if self.config.source == "category" else ()

    def for_dataset(self, data: AudioVisualDataset) -> LabelFunction:
        """Labels of the same classes for a data set; clusters are known of the training set alone."""
        if self.is_table:
            ids = [data.id(i) for i in range(len(data))]
            table = build_class_table(self.rows, ids, self.config.source, self.config.missing == "unknown")
            return lambda index, _: table.to_dense(index)
        if self.config.source == "category":
            return CategoryLabels(data, self.class_names, self.config)
        return lambda index, _: self.clusters.one_hot(index) if self.clusters and data is self.data else None

    def __call__(self, index: NDArray[np.int64], epoch: int) -> Float[Tensor, "2 b k"] | None:
        return self.training_labels(index, epoch)

    def update_clusters(self, method: Any, step: int) -> None:
        """Puts in force the newest clusters that are due at `step`, making them where the folder does not have them."""
        due = [s for s in self.due_steps if s <= step]
        if not due:
            return
        folder = self.folder / f"clusters-{due[-1]:08d}"

        def make() -> None:
            if not (folder / "meta.json").exists():
                localizer = Localizer(method, device=str(next(method.parameters()).device))
                vectors = embed_objects(localizer, self.data)
                fit_kmeans(vectors, self.config.num_clusters, fingerprint_dataset(self.data), self.seed).save(folder)

        on_rank_zero(make)
        self.clusters = Clusters.load(folder, fingerprint_dataset(self.data))
        if self.applied_step != due[-1]:
            method.take_clusters(torch.from_numpy(self.clusters.centers))
            self.applied_step = due[-1]

    def state_dict(self) -> dict[str, Any]:
        return {"taken": self.applied_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.applied_step = state["taken"]


class CategoryLabels:
    """The data set's own categories as labels of both modalities; not a number where nobody said.

    Raises:
        DataError: a category is not known and the recipe refuses that.
    """

    def __init__(self, data: AudioVisualDataset, class_names: tuple[str, ...], config: LabelsConfig) -> None:
        self.data, self.codes = data, {name: code for code, name in enumerate(class_names)}
        self.refuse = config.missing == "refuse"

    def __call__(self, index: NDArray[np.int64], epoch: int) -> Float[Tensor, "2 b k"]:
        data = self.data.at_epoch(epoch)  # composed anew in each epoch, a sample has another category there
        found = [data.category(int(i)) for i in index]
        rows = torch.zeros(len(found), len(self.codes))
        for row, name, i in zip(rows, found, index, strict=True):
            if name in self.codes:
                row[self.codes[name]] = 1
            elif self.refuse:
                raise DataError(
                    f"{data.name}: {data.id(int(i))} is of the category {name!r}, and the {len(self.codes)} that are "
                    "trained on do not have it; go on without it by `labels.missing: unknown`"
                )
            else:
                row[:] = torch.nan
        return rows.expand(2, -1, -1)


def category_names(data: AudioVisualDataset) -> tuple[str, ...]:
    """The categories of a data set, sorted, with those that it says it can have."""
    names = {data.category(i) for i in range(len(data))} | set(getattr(data, "categories", ()))
    if len(names - {""}) < 2:
        raise DataError(
            f"{data.name}: its clips have no two categories, and `labels.source: category` learns to tell them apart; "
            "give a table in its place (`labels.source: labels.csv`, see `soundspot label`)"
        )
    return tuple(sorted(names - {""}))


def schedule_to_steps(key: str, schedule: Sequence[float], num_intervals: int, interval_steps: int) -> list[int]:
    """The steps at which something is made, of shares of a run: each at the beginning of the next leg.

    Raises:
        RecipeError: no leg begins after one of them.
    """
    steps = [math.ceil(share * num_intervals - 1e-9) * interval_steps for share in schedule]
    for share, step in zip(schedule, steps, strict=True):
        if step >= num_intervals * interval_steps:
            raise RecipeError(
                f"{key}: found {share}, and it is due when a leg begins, the last one at "
                f"{(num_intervals - 1) / num_intervals:.3g} of the run; give no later one, or shorter legs (`train.leg`, now {interval_steps} steps)"
            )
    return sorted(steps)


def check_fixed_dataset(data: AudioVisualDataset, feature: str) -> None:
    """Raise RecipeError where a data set is another one in each epoch."""
    if data.at_epoch(1).id(0) != data.id(0):
        raise RecipeError(
            f"{feature} need a data set that stays the same, and {data.name} is composed anew in each epoch; give its "
            f"option `fresh: false`, or do without {feature}"
        )
