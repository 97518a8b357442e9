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

from whence.data.clusters import Clusters, clusters_of
from whence.data.labels import class_table, read_labels
from whence.errors import DataError, RecipeError, did_you_mean
from whence.inference.embed import embed_objects, identity
from whence.inference.localizer import Localizer
from whence.processes import once
from whence.recipe import Labels, Recipe
from whence.types import AudioVisualDataset

WORDS = ("none", "category", "clusters")
"""What `labels.source` can be besides a table's path."""

Labelling = Callable[[NDArray[np.int64], int], Float[Tensor, "2 b k"] | None]
"""(samples, epoch) -> `whence.types.Batch.labels`; None where nothing is known."""


class Labeller(L.Callback):
    """Labels of the training set, called with samples and their epoch.

    Clusters are made at given shares of the run and kept in its folder under the step they were made at, so a resumed
    run finds those in force; the state says which of them the method has taken.

    Attributes:
        names: of the classes, where they have names.
        count: how many classes there are; 0 without labels.
    """

    def __init__(self, data: AudioVisualDataset, recipe: Recipe, folder: Path, legs: int, leg: int) -> None:
        self.data, self.recipe, self.folder = data, recipe.labels, folder
        self.seed = recipe.train.seed
        self.due = due_steps("labels.at", self.recipe.at, legs, leg)
        self.clusters: Clusters | None = None
        self.taken = -1
        if self.is_table and not Path(self.recipe.source).exists():
            raise RecipeError(
                f"labels.source: found {self.recipe.source!r}, which is no file, expected a table that is there, or "
                f"one of {', '.join(WORDS)}{did_you_mean(self.recipe.source, WORDS)}"
            )
        if self.due or self.is_table:
            refuse_fresh(data, "clusters" if self.due else "a table of labels")
        self.names = self._names()
        self.count = self.recipe.clusters if self.due else len(self.names)
        self.own = self.over(data)
        if self.due and self.count > len(data):
            raise DataError(f"{self.count} clusters were asked of {len(data)} samples; lower `labels.clusters`")

    def suit(self, method: Any, steps: int) -> None:
        """Raise RecipeError where the method cannot learn from these labels, or not when they come."""
        late = [step for step in self.due if step > method.last_clusters * steps]
        if late:
            raise RecipeError(
                f"labels.at: clusters would be made at step {late[0]} of {steps}, where the leg begins that follows "
                f"the share, and {method.name} takes none after {method.last_clusters:g} of the run (method.second); "
                "make them sooner, or begin its second stage later"
            )
        if method.matches_classes and self.is_table:
            kinds: dict[str, set[str]] = {"image": set(), "sound": set()}
            for row in self.rows:
                for kind in kinds if row.modality == "both" else (row.modality,):
                    kinds[kind].add(row.name)
            if not kinds["image"] & kinds["sound"]:
                raise RecipeError(
                    f"labels.source: in {self.recipe.source} pictures and sounds have no class in common, and "
                    f"{method.name} matches the same class of both; map both classifiers' classes to groups "
                    "(`whence label ... --groups GROUPS.csv`)"
                )

    @property
    def is_table(self) -> bool:
        return self.recipe.source not in WORDS

    def _names(self) -> tuple[str, ...]:
        if self.is_table:
            self.rows = read_labels(Path(self.recipe.source))
            return tuple(sorted({row.name for row in self.rows}))
        return names_of(self.data) if self.recipe.source == "category" else ()

    def over(self, data: AudioVisualDataset) -> Labelling:
        """Labels of the same classes for a data set; clusters are known of the training set alone."""
        if self.is_table:
            ids = [data.id(i) for i in range(len(data))]
            table = class_table(self.rows, ids, self.recipe.source, self.recipe.missing == "unknown")
            return lambda index, _: table.of(index)
        if self.recipe.source == "category":
            return Categories(data, self.names, self.recipe)
        return lambda index, _: self.clusters.of(index) if self.clusters and data is self.data else None

    def __call__(self, index: NDArray[np.int64], epoch: int) -> Float[Tensor, "2 b k"] | None:
        return self.own(index, epoch)

    def bring(self, method: Any, step: int) -> None:
        """Puts in force the newest clusters that are due at `step`, making them where the folder does not have them."""
        due = [s for s in self.due if s <= step]
        if not due:
            return
        folder = self.folder / f"clusters-{due[-1]:08d}"

        def make() -> None:
            if not (folder / "meta.json").exists():
                localizer = Localizer(method, device=str(next(method.parameters()).device))
                vectors = embed_objects(localizer, self.data)
                clusters_of(vectors, self.recipe.clusters, identity(self.data), self.seed).save(folder)

        once(make)
        self.clusters = Clusters.load(folder, identity(self.data))
        if self.taken != due[-1]:
            method.take_clusters(torch.from_numpy(self.clusters.centres))
            self.taken = due[-1]

    def state_dict(self) -> dict[str, Any]:
        return {"taken": self.taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.taken = state["taken"]


class Categories:
    """The data set's own categories as labels of both modalities; not a number where nobody said.

    Raises:
        DataError: a category is not known and the recipe refuses that.
    """

    def __init__(self, data: AudioVisualDataset, names: tuple[str, ...], labels: Labels) -> None:
        self.data, self.codes = data, {name: code for code, name in enumerate(names)}
        self.refuse = labels.missing == "refuse"

    def __call__(self, index: NDArray[np.int64], epoch: int) -> Float[Tensor, "2 b k"]:
        data = self.data.at(epoch)  # composed anew in each epoch, a sample has another category there
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


def names_of(data: AudioVisualDataset) -> tuple[str, ...]:
    """The categories of a data set, sorted, with those that it says it can have."""
    names = {data.category(i) for i in range(len(data))} | set(getattr(data, "categories", ()))
    if len(names - {""}) < 2:
        raise DataError(
            f"{data.name}: its clips have no two categories, and `labels.source: category` learns to tell them apart; "
            "give a table in its place (`labels.source: labels.csv`, see `whence label`)"
        )
    return tuple(sorted(names - {""}))


def due_steps(key: str, shares: Sequence[float], legs: int, leg: int) -> list[int]:
    """The steps at which something is made, of shares of a run: each at the beginning of the next leg.

    Raises:
        RecipeError: no leg begins after one of them.
    """
    steps = [math.ceil(share * legs - 1e-9) * leg for share in shares]
    for share, step in zip(shares, steps, strict=True):
        if step >= legs * leg:
            raise RecipeError(
                f"{key}: found {share}, and it is due when a leg begins, the last one at "
                f"{(legs - 1) / legs:.3g} of the run; give no later one, or shorter legs (`train.leg`, now {leg} steps)"
            )
    return sorted(steps)


def refuse_fresh(data: AudioVisualDataset, what: str) -> None:
    """Raise RecipeError where a data set is another one in each epoch."""
    if data.at(1).id(0) != data.id(0):
        raise RecipeError(
            f"{what} need a data set that stays the same, and {data.name} is composed anew in each epoch; give its "
            f"option `fresh: false`, or do without {what}"
        )
