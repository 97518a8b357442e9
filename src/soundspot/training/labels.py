"""Class labels of a run: the data set's own, a table's, or clusters of the model's own features."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from soundspot.config.schema import LabelsConfig, Recipe
from soundspot.data.datasets.labels import Label, build_class_table, read_labels
from soundspot.data.neighbors.kmeans import Clusters, fit_kmeans
from soundspot.errors import DataError, RecipeError, did_you_mean
from soundspot.inference.mining.embed import embed_objects, fingerprint_dataset
from soundspot.training.schedule import ScheduledCallback, check_fixed_dataset, schedule_to_steps
from soundspot.types import AudioVisualDataset

LABEL_SOURCES = ("none", "category", "clusters")
"""Values of `labels.source` besides the path of a table."""

LabelFunction = Callable[[NDArray[np.int64], int], Float[Tensor, "2 b k"] | None]
"""(samples, epoch) -> `soundspot.types.Batch.labels`; None where nothing is known."""


class LabelCallback(ScheduledCallback):
    """Labels of the training set, called with samples and their epoch; clusters are made anew on schedule.

    Args:
        data: training set.
        recipe: recipe with the source of the labels.
        folder: folder of the run, in which clusters are stored.
        num_intervals: number of checkpoint intervals of the run.
        interval_steps: optimizer steps of each.

    Attributes:
        class_names: names of the classes, where they have names.
        num_classes: number of classes; 0 without labels.

    Raises:
        RecipeError: `labels.source` names no file, a table or clusters are for a data set that has other samples in
            each epoch, or clusters are due after the last interval has begun.
        DataError: the table is wrong, the data set has fewer than two categories, or fewer samples than clusters.
    """

    table_name = "clusters"

    def __init__(
        self, data: AudioVisualDataset, recipe: Recipe, folder: Path, num_intervals: int, interval_steps: int
    ) -> None:
        self.config, self.seed = recipe.labels, recipe.train.seed
        schedule = self.config.cluster_schedule
        super().__init__(
            data, folder, schedule_to_steps("labels.cluster_schedule", schedule, num_intervals, interval_steps)
        )
        self.clusters: Clusters | None = None
        self.applied_step = -1
        source = self.config.source
        self.rows: list[Label] | None = None
        if source not in LABEL_SOURCES:
            if not Path(source).exists():
                raise RecipeError(
                    f"labels.source: found {source!r}, which is no file, expected an existing table, or one of "
                    f"{', '.join(LABEL_SOURCES)}{did_you_mean(source, LABEL_SOURCES)}"
                )
            self.rows = read_labels(Path(source))
        if self.due_steps or self.rows is not None:
            check_fixed_dataset(data, "clusters" if self.due_steps else "a table of labels")
        self.class_names: tuple[str, ...] = category_names(data) if source == "category" else ()
        if self.rows is not None:
            self.class_names = tuple(sorted({row.class_name for row in self.rows}))
        self.num_classes = self.config.num_clusters if self.due_steps else len(self.class_names)
        self.training_labels = self.for_dataset(data)
        if self.due_steps and self.num_classes > len(data):
            raise DataError(
                f"found {len(data)} samples for {self.num_classes} clusters, expected at least as many; lower "
                "`labels.num_clusters`"
            )

    def check_compatible(self, method: Any, total_steps: int) -> None:
        """Check that the method can learn from these labels, at the times when they are made.

        Args:
            method: method to be trained.
            total_steps: optimizer steps of the run.

        Raises:
            RecipeError: clusters are made after the method's last use of them, or images and audio have no class in
                common though the method matches classes.
        """
        late = [step for step in self.due_steps if step > method.last_clustering * total_steps]
        if late:
            raise RecipeError(
                f"labels.cluster_schedule: clusters would be made at step {late[0]} of {total_steps}, the first "
                f"checkpoint after the share, and {method.name} takes none after {method.last_clustering:g} of the run "
                "(method.second_stage_start); make them sooner, or begin its second stage later"
            )
        if method.matches_classes and self.rows is not None:
            images = {row.class_name for row in self.rows if row.modality in ("image", "both")}
            audio = {row.class_name for row in self.rows if row.modality != "image"}
            if not images & audio:
                raise RecipeError(
                    f"labels.source: in {self.config.source} images and sounds have no class in common, and "
                    f"{method.name} matches the same class of both; map both classifiers' classes to groups "
                    "(`soundspot pseudo-label ... --groups GROUPS.csv`)"
                )

    def for_dataset(self, data: AudioVisualDataset) -> LabelFunction:
        """Return the labels of a data set by the same classes.

        Args:
            data: training set or held-out data set; clusters are known of the training set only.

        Returns:
            Function from the positions (b,) of samples and their epoch to labels (2, b, k) of images and of audio; 1
            for the class of a sample, else 0, nan where it is unknown. It returns None where there are no labels (yet).

        Raises:
            DataError: a table lacks a sample, and `labels.missing` is `error`.
        """
        if self.rows is not None:
            ids = [data.id(i) for i in range(len(data))]
            table = build_class_table(self.rows, ids, self.config.source, self.config.missing == "unknown")
            return lambda index, _: table.to_dense(index)
        if self.config.source == "category":
            return CategoryLabels(data, self.class_names, self.config)
        return lambda index, _: self.clusters.one_hot(index) if self.clusters and data is self.data else None

    def __call__(self, index: NDArray[np.int64], epoch: int) -> Float[Tensor, "2 b k"] | None:
        """Return the labels of samples of the training set.

        Args:
            index: (b,) positions of the samples.
            epoch: number of their epoch.

        Returns:
            (2, b, k) labels of images and of audio; None where nothing is known.
        """
        return self.training_labels(index, epoch)

    def make_table(self, method: Any, folder: Path) -> None:
        """Cluster the samples by `Method.object_embedding` (k-means), and write the clusters.

        Args:
            method: method in training, as it is now.
            folder: folder of the new clusters; an existing folder is replaced.
        """
        embeddings = embed_objects(self.make_embedder(method), self.data)
        fit_kmeans(embeddings, self.config.num_clusters, fingerprint_dataset(self.data), self.seed).save(folder)

    def load_table(self, method: Any, folder: Path, step: int) -> None:
        """Load clusters; the method takes their centers, unless it did before the run was resumed.

        Args:
            method: method in training.
            folder: folder of the clusters.
            step: optimizer step that they were due at.

        Raises:
            DataError: the clusters are damaged or belong to another data set.
        """
        self.clusters = Clusters.load(folder, fingerprint_dataset(self.data))
        if self.applied_step != step:
            method.set_cluster_centers(torch.from_numpy(self.clusters.centers))
            self.applied_step = step

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the callback for `resume.ckpt`.

        Returns:
            `applied_step`, the step whose cluster centers the method took last; -1 before the first.
        """
        return {"applied_step": self.applied_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of a resumed run, so that its method does not take the current cluster centers twice.

        Args:
            state: state by `state_dict`: `applied_step`, the step whose cluster centers the method took last.
        """
        self.applied_step = state["applied_step"]


class CategoryLabels:
    """Categories of a data set as labels of both modalities.

    Args:
        data: data set of the samples.
        class_names: names of the k classes, in the order of the labels.
        config: label options, of which `missing` says what an unknown category is.
    """

    def __init__(self, data: AudioVisualDataset, class_names: tuple[str, ...], config: LabelsConfig) -> None:
        self.data, self.class_indices = data, {name: i for i, name in enumerate(class_names)}
        self.allow_unknown = config.missing == "unknown"

    def __call__(self, index: NDArray[np.int64], epoch: int) -> Float[Tensor, "2 b k"]:
        """Return the labels of samples of an epoch.

        Args:
            index: (b,) positions of the samples.
            epoch: number of the epoch, in which a data set that is composed anew has other categories.

        Returns:
            (2, b, k) one-hot labels, the same for images and audio; nan in all classes where a category is not known.

        Raises:
            DataError: a category is not known, and `labels.missing` is `error`.
        """
        data = self.data.at_epoch(epoch)  # composed anew in each epoch, a sample has another category there
        labels = torch.zeros(len(index), len(self.class_indices))
        for row, i in zip(labels, index.tolist(), strict=True):
            name = data.category(i)
            if name in self.class_indices:
                row[self.class_indices[name]] = 1
            elif self.allow_unknown:
                row[:] = torch.nan
            else:
                raise DataError(
                    f"{data.name}: {data.id(i)} is of the category {name!r}, which is none of the "
                    f"{len(self.class_indices)} that are trained on; continue without it by `labels.missing: unknown`"
                )
        return labels.expand(2, -1, -1)


def category_names(data: AudioVisualDataset) -> tuple[str, ...]:
    """List the categories of a data set: those of its samples and those that it declares.

    Args:
        data: data set of the samples.

    Returns:
        Names, each once, sorted, without the empty name.

    Raises:
        DataError: the data set has fewer than two categories.
    """
    names = {data.category(i) for i in range(len(data))} | set(data.categories)
    if len(names - {""}) < 2:
        raise DataError(
            f"{data.name}: its samples have no two categories, and `labels.source: category` learns to tell them "
            "apart; give a table instead (`labels.source: labels.csv`, see `soundspot pseudo-label`)"
        )
    return tuple(sorted(names - {""}))
