"""The order of the samples of a run, and their batches: pure functions of the seed and the step."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from soundspot.config.schema import Recipe, TrainConfig
from soundspot.data.neighbors.table import NeighborTable
from soundspot.errors import DataError, RecipeError
from soundspot.training.clip_reader import SampleRequest
from soundspot.types import AudioVisualDataset
from soundspot.utils.distributed import rank, world_size
from soundspot.utils.hash_rng import Key, uniform

SHUFFLE_BUFFER = 8  # shards whose samples are shuffled among each other, where the order is that of shards


class ResumableBatchSampler:
    """Sampler of batches that are a pure function of the step.

    Every process gets its share of each batch, so that all of them learn from the samples that a single process would.
    The last incomplete batch of an epoch is dropped.

    Args:
        dataset_size: number n of samples.
        recipe: batch size, seed and neighbors.
        interval_steps: optimizer steps between two calls of `__iter__` (a checkpoint lies between).
        get_step: function that returns the optimizer step that the next batch is for.
        get_neighbors: function that returns the current table of neighbors, or None.
        shard_ids: (n,) number of the shard of each sample; None: `train.order` is another.
        get_categories: function that returns the category of each sample in an epoch, for `order: categories`.

    Raises:
        DataError: the data set has fewer samples than one optimizer step needs.
    """

    def __init__(
        self,
        dataset_size: int,
        recipe: Recipe,
        interval_steps: int,
        get_step: Callable[[], int],
        get_neighbors: Callable[[], NeighborTable | None],
        shard_ids: NDArray[np.int64] | None = None,
        get_categories: Callable[[int], Sequence[str]] | None = None,
    ) -> None:
        batch, accumulate = recipe.train.batch_size, recipe.train.accumulate
        if dataset_size < batch * accumulate:
            needed = f"{batch}" if accumulate == 1 else f"{accumulate} times {batch} (train.accumulate)"
            raise DataError(
                f"the training set has {dataset_size} samples and a batch {needed}; lower `train.batch_size`"
            )
        self.recipe, self.get_step, self.get_neighbors = recipe, get_step, get_neighbors
        self.dataset_size, self.shard_ids, self.get_categories = dataset_size, shard_ids, get_categories
        self.interval_batches = interval_steps * accumulate
        self.batches_per_epoch = dataset_size // (batch * accumulate) * accumulate

    def __len__(self) -> int:
        return self.interval_batches

    def __iter__(self) -> Iterator[list[SampleRequest]]:
        first = self.get_step() * self.recipe.train.accumulate
        for number in range(first, (first // self.interval_batches + 1) * self.interval_batches):
            requests = self.batch_requests(number)
            share = len(requests) // world_size()
            yield requests[rank() * share : (rank() + 1) * share]

    def batch_requests(self, batch_number: int) -> list[SampleRequest]:
        """List the samples of a batch, of all processes.

        Args:
            batch_number: number of the batch in the run, from 0 across epochs.

        Returns:
            `train.batch_size` requests, with the neighbors that are drawn for each sample.
        """
        epoch, position = divmod(batch_number, self.batches_per_epoch)
        b, seed, config = self.recipe.train.batch_size, self.recipe.train.seed, self.recipe.neighbors
        index = self._epoch_order(epoch)[position * b : (position + 1) * b]
        images, audio = index, index
        if (table := self.get_neighbors()) is not None:
            images = table.draw("images", (seed, epoch), index, config.k, config.sampling)
            audio = table.draw("audio", (seed, epoch), index, config.k, config.sampling)
        return [SampleRequest(epoch, int(i), int(j), int(k)) for i, j, k in zip(index, images, audio, strict=True)]

    @lru_cache(maxsize=2)  # noqa: B019 (lives as long as the run)
    def _epoch_order(self, epoch: int) -> NDArray[np.int64]:
        seed = self.recipe.train.seed
        if self.recipe.train.order == "categories":
            assert self.get_categories is not None
            return balanced_order(self.get_categories(epoch), seed, epoch)
        return epoch_order(self.dataset_size, seed, epoch, self.shard_ids)


def balanced_order(categories: Sequence[str], seed: int, epoch: int) -> NDArray[np.int64]:
    """Draw the samples of an epoch by turns from their categories.

    Args:
        categories: category of each of n samples.
        seed: seed of the run.
        epoch: number of the epoch.

    Returns:
        (n,) positions in the data set: in every k consecutive ones each of the k categories once, in random order, with
        a random sample of it; a pure function of the arguments.
    """
    names, labels = np.unique(np.asarray(categories), return_inverse=True)
    k, n = len(names), len(labels)
    turns = uniform((seed, epoch, Key.ORDER), list(range(-(-n // k) * k)), 2)
    drawn = np.argsort(turns[:, 0].reshape(-1, k), axis=1, kind="stable").reshape(-1)[:n]
    by_label = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    first = np.cumsum(counts) - counts
    return by_label[first[drawn] + (turns[:n, 1] * counts[drawn]).astype(np.int64)]


def epoch_order(
    num_samples: int,
    seed: int,
    epoch: int,
    shard_ids: NDArray[np.int64] | None = None,
    shuffle_buffer: int = SHUFFLE_BUFFER,
) -> NDArray[np.int64]:
    """Compute the order of the samples in an epoch: sorted by a random number of each.

    Args:
        num_samples: number n of samples of the data set.
        seed: seed of the run.
        epoch: number of the epoch.
        shard_ids: (n,) shard of each sample: the order of the shards is drawn first, and then the samples of each
            `shuffle_buffer` consecutive shards are shuffled together. None: all samples are shuffled.
        shuffle_buffer: number of consecutive shards whose samples are shuffled together.

    Returns:
        (n,) positions in the data set, each once; a pure function of the arguments.
    """
    draws = uniform((seed, epoch, Key.ORDER), list(range(num_samples)))[:, 0]
    if shard_ids is None:
        return np.argsort(draws, kind="stable")
    shard_draws = uniform((seed, epoch, Key.SHARDS), list(range(int(shard_ids.max()) + 1)))[:, 0]
    shard_position = np.argsort(np.argsort(shard_draws, kind="stable"), kind="stable")
    return np.lexsort((draws, shard_position[shard_ids] // shuffle_buffer))


def find_shard_ids(data: AudioVisualDataset, train: TrainConfig) -> NDArray[np.int64] | None:
    """Return the shard of each sample, where an epoch goes shard by shard.

    Args:
        data: training set of n samples.
        train: optimization options with the `order`.

    Returns:
        (n,) number of the shard of each sample for `order: shards`; None for other orders.

    Raises:
        RecipeError: `order` is `shards`, and the data set does not lie in shards.
    """
    if train.order != "shards":
        return None
    shard_ids = data.shard_ids()
    if shard_ids is None:
        raise RecipeError(
            f"train.order: shards, and {data.name} does not lie in shards. Write it as shards (`soundspot data "
            "to-shards`), or leave the order at `samples`"
        )
    return shard_ids


def list_categories(data: AudioVisualDataset) -> list[str]:
    """List the categories of a data set's samples, for `order: categories`.

    Args:
        data: data set at an epoch.

    Returns:
        Category of each sample.

    Raises:
        RecipeError: a sample has no category, so that it has no turn.
    """
    categories = [data.category(index) for index in range(len(data))]
    missing = [index for index, category in enumerate(categories) if not category]
    if missing:
        raise RecipeError(
            f"train.order: categories, and of {len(categories)} samples of {data.name} {len(missing)} have no category "
            f"(first: {data.id(missing[0])}), expected one of each. Take these samples out, or leave the order at "
            "`samples`"
        )
    return categories


def check_categories(data: AudioVisualDataset, train: TrainConfig) -> None:
    """Check that a training set has the categories that a recipe's order and false negatives go by.

    Args:
        data: training set.
        train: optimization options with `order` and `false_negatives`.

    Raises:
        RecipeError: `order` is `categories`, and a sample has none; or `false_negatives` goes by categories, and no
            sample has one.
    """
    if train.order == "categories":
        list_categories(data)
    if train.false_negatives != "none" and not any(data.category(index) for index in range(len(data))):
        raise RecipeError(
            f"train.false_negatives: {train.false_negatives}, and no sample of {data.name} has a category, so that no "
            "false negative is known. Give a data set with categories, or leave `train.false_negatives` at `none`"
        )
