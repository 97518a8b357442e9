"""From a data set to batches: workers read and cut, the device augments and makes spectrograms.

A worker gets tickets (epoch, sample, its neighbours) and answers with raw clips (`soundspot.training.clip_reader`), so a
stopped run goes on where it was.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from soundspot.config.frontend import ImageSpec, InputSpec
from soundspot.config.schema import Recipe, TrainConfig, ViewsConfig
from soundspot.data.media.image import normalize
from soundspot.data.neighbors.table import NeighborTable
from soundspot.data.transforms.augment import BAND_MASKING, NUM_DRAWS, iter_augmented, mask_bands
from soundspot.data.transforms.spectrogram import silence_value, spectrogram
from soundspot.errors import DataError, RecipeError, SoundspotError
from soundspot.methods.base import Method
from soundspot.training.clip_reader import UNANNOTATED, ClipReader, RawBatch, SampleRequest
from soundspot.types import AudioVisualDataset, Batch
from soundspot.utils.distributed import rank, world_size
from soundspot.utils.hash_rng import uniform

SHARDS_SHUFFLED_TOGETHER = 8  # shards whose samples are shuffled among each other, where the order is that of shards


def uses_ground_truth(method: Method, data: AudioVisualDataset) -> bool:
    """Whether the data set offers truths to learn from (`soundspot.data.datasets.auxiliary`).

    Raises:
        RecipeError: it does, and the method cannot be taught.
    """
    offered = getattr(data, "truths", None) is not None
    if offered and not method.supports_ground_truth:
        raise RecipeError(
            f"data.options.truths: method {method.name!r} cannot be taught by truths; leave them out, or train one "
            "that can (attention10k)"
        )
    return offered


class ResumableBatchSampler:
    """Batches of tickets, a pure function of the step: the loader asks where training stands and goes on from there.

    Every process has its share of each batch, so that together they learn from the clips that one alone would.

    Args:
        size: of the data set. start: answers with the optimizer step that the next batch is for.
        leg: steps between two calls of `__iter__` (a checkpoint lies between).
        neighbours: answers with the table in force, or None.
        blocks: of the samples that lie together, whose number each has (`blocks_of`); None: order `samples`.
    """

    def __init__(
        self,
        dataset_size: int,
        recipe: Recipe,
        interval_steps: int,
        get_step: Callable[[], int],
        get_neighbors: Callable[[], NeighborTable | None],
        shard_of_samples: NDArray[np.int64] | None = None,
    ) -> None:
        batch, self.accumulate = recipe.train.batch_size, recipe.train.accumulate
        if dataset_size < batch * self.accumulate:
            found = f"{batch}" if self.accumulate == 1 else f"{self.accumulate} times {batch} (train.accumulate)"
            raise DataError(f"the training set has {dataset_size} clips and a batch {found}; lower `train.batch_size`")
        self.dataset_size, self.recipe, self.interval_steps, self.get_step, self.get_neighbors = (
            dataset_size,
            recipe,
            interval_steps,
            get_step,
            get_neighbors,
        )
        self.batches_per_epoch = dataset_size // (batch * self.accumulate) * self.accumulate
        self.shard_of_samples = shard_of_samples

    def __len__(self) -> int:
        return self.interval_steps * self.accumulate

    def __iter__(self) -> Iterator[list[SampleRequest]]:
        first = self.get_step()
        for number in range(
            first * self.accumulate, (first // self.interval_steps + 1) * self.interval_steps * self.accumulate
        ):
            whole = self.batch_requests(number)
            share = len(whole) // world_size()
            yield whole[rank() * share : (rank() + 1) * share]

    def batch_requests(self, batch_number: int) -> list[SampleRequest]:
        """All clips of a batch, by its number in the run."""
        epoch, place = divmod(batch_number, self.batches_per_epoch)
        b, seed, near = self.recipe.train.batch_size, self.recipe.train.seed, self.recipe.neighbors
        index = self._order(epoch)[place * b : (place + 1) * b]
        image, sound = index, index
        table = self.get_neighbors()
        if table is not None:
            image = table.draw("images", (seed, epoch), index, near.k, near.sampling)
            sound = table.draw("sounds", (seed, epoch), index, near.k, near.sampling)
        return [SampleRequest(epoch, int(i), int(j), int(k)) for i, j, k in zip(index, image, sound, strict=True)]

    @lru_cache(maxsize=2)  # noqa: B019 (lives as long as the run)
    def _order(self, epoch: int) -> NDArray[np.int64]:
        return epoch_order(self.dataset_size, self.recipe.train.seed, epoch, self.shard_of_samples)


def epoch_order(
    num_samples: int,
    seed: int,
    epoch: int,
    shard_of_samples: NDArray[np.int64] | None = None,
    shards_shuffled_together: int = SHARDS_SHUFFLED_TOGETHER,
) -> NDArray[np.int64]:
    """An epoch's order of `size` samples: sorted by a random number of their own.

    Args:
        blocks: (size,) whose number each sample has; blocks are then shuffled first, likewise, and the samples of
            `mixed` blocks in a row among each other.
    """
    chances = uniform((seed, epoch, "order"), list(range(num_samples)))[:, 0]
    if shard_of_samples is None:
        return np.argsort(chances, kind="stable")
    of_blocks = uniform((seed, epoch, "shards"), list(range(int(shard_of_samples.max()) + 1)))[:, 0]
    place = np.argsort(np.argsort(of_blocks, kind="stable"), kind="stable")
    return np.lexsort((chances, place[shard_of_samples] // shards_shuffled_together))


def shard_of_samples(data: AudioVisualDataset, train: TrainConfig) -> NDArray[np.int64] | None:
    """Which samples lie together, as `train.order` wants it (see `Stream`).

    Raises:
        RecipeError: samples of this data set lie each for itself.
    """
    if train.order == "samples":
        return None
    if not hasattr(data, "blocks"):
        raise RecipeError(
            f"train.order: shards, and {data.name} does not lie in shards. Pack it (`soundspot data pack`), or leave the "
            "order at `samples`"
        )
    found: NDArray[np.int64] = data.blocks
    return found


class FalseNegativeMask:
    """Which sounds of a batch would do for which pictures as well as their own, as the recipe tells it."""

    def __init__(
        self, data: AudioVisualDataset, recipe: Recipe, get_neighbors: Callable[[], NeighborTable | None]
    ) -> None:
        self.data, self.top_k, self.get_neighbors = data, recipe.neighbors.false_negatives_from_neighbors, get_neighbors
        self.uses_category = recipe.train.false_negatives == "category"

    def __call__(self, index: NDArray[np.int64], epoch: int) -> Bool[Tensor, "b b"] | None:
        """(b, b), see `soundspot.types.Batch.alike`; None where nothing is known."""
        masks = []
        if self.uses_category:
            data = self.data.at_epoch(epoch)  # composed anew in each epoch, a sample has another category there
            names = np.array([data.category(int(i)) for i in index])
            masks.append(names[:, None] == names[None])
        table = self.get_neighbors()
        if table is not None and self.top_k:
            masks.append(table.false_negative_mask(index, self.top_k))
        return torch.from_numpy(np.logical_or.reduce(masks)) if masks else None


class RawBatchLoader(DataLoader):
    """Batches of a stream's clips; what a worker found wrong with the data is raised here, in its own words."""

    def __iter__(self) -> Iterator[RawBatch]:  # type: ignore[override]  # torch's own iterator stays inside
        for batch in super().__iter__():
            if isinstance(batch, SoundspotError):
                raise batch
            yield batch


def build_dataloader(reader: ClipReader, sampler: ResumableBatchSampler, num_workers: int) -> RawBatchLoader:
    """Reads the stream's clips in worker processes (none: in this one), into pinned memory where there is a GPU."""
    return RawBatchLoader(
        SafeDataset(reader),
        batch_sampler=sampler,  # type: ignore[arg-type]  # tickets where torch's stubs expect int
        num_workers=num_workers,
        collate_fn=identity_collate,
        persistent_workers=num_workers > 0,
        prefetch_factor=2 if num_workers else None,
        pin_memory=torch.cuda.is_available(),
    )


class SafeDataset(Dataset):
    """Clips of which a mistake in the data is an answer, since torch would raise it with a traceback in its message."""

    def __init__(self, reader: ClipReader) -> None:
        self.reader = reader

    def __len__(self) -> int:
        return len(self.reader)

    def __getitems__(self, requests: list[SampleRequest]) -> RawBatch | SoundspotError:
        try:
            return self.reader.read(requests)
        except SoundspotError as error:
            return error


def identity_collate(batch: Any) -> Any:
    """What `Told` answers with is a batch already."""
    return batch


def build_batch(
    raw_batch: RawBatch,
    front_end: InputSpec,
    views: ViewsConfig,
    seed: int,
    false_negatives: Bool[Tensor, "b b"] | None = None,
    labels: Float[Tensor, "2 b k"] | None = None,
) -> Batch:
    """Augments and normalises the pictures, and makes the spectrograms, all at once on the device of `raw`.

    Flow and truths are cropped and mirrored as their pictures are.

    In single precision whatever the training's: eight bits of mantissa would be seen in a picture.
    """
    device, samples = raw_batch.images.device, raw_batch.index.cpu().numpy()
    with torch.autocast(device.type, enabled=False):
        images, truths = _augmented(raw_batch, front_end.image, views, seed, samples)
        sounds = raw_batch.waveforms.flatten(0, 1)
        if front_end.audio.embedding_dim:
            flat = sounds[:, None, :, None]
        else:
            flat = spectrogram(sounds, front_end.audio, front_end.audio.rate or 16000)
        if views.spec_augment != "none":
            names = views.view_names("sound")
            rows = [uniform((seed, raw_batch.epoch, "bands", view), samples, 5) for view in names]
            chances = torch.cat([torch.from_numpy(row) for row in rows]).to(device)
            flat = mask_bands(flat, chances, BAND_MASKING[views.spec_augment], silence_value(front_end.audio))
    sounds = flat.unflatten(0, raw_batch.waveforms.shape[:2])
    return Batch(images, sounds, raw_batch.index, false_negatives, truths, labels)


def _augmented(
    raw: RawBatch, spec: ImageSpec, views: ViewsConfig, seed: int, samples: NDArray[np.int64]
) -> tuple[Float[Tensor, "v b i h w"], Float[Tensor, "v b y x"] | None]:
    """The views of the pictures, normalised, and their truths, where they have some."""
    names, size, shown = views.view_names("image"), spec.size, spec.num_channels
    whose = [raw.images[-1 if view == "neighbour" else 0] for view in names]
    images = torch.empty((len(names), len(samples), shown, size, size), device=raw.images.device)
    truths = images[:, :, 0].clone() if raw.images.shape[2] > shown else None
    for place, (view, pictures) in enumerate(zip(names, whose, strict=True)):
        how = views.augmentation if view == "augmented" else views.base_augmentation
        draws = torch.from_numpy(uniform((seed, raw.epoch, "augment", view), samples, NUM_DRAWS)).to(images.device)
        for part, planes in iter_augmented(pictures, size, how, draws):
            normalize(planes[:, :shown], spec, out=images[place, part])
            if truths is not None:
                truths[place, part] = decode_ground_truth(planes[:, -1], pictures[part, -1])
    return images, truths


def decode_ground_truth(planes: Float[Tensor, "b y x"], stored: UInt8[Tensor, "b s s"]) -> Float[Tensor, "b y x"]:
    """The truths of cropped planes, in [0, 1]; not a number throughout where nobody marked the picture."""
    nobody = stored.flatten(1).amin(dim=-1) == UNANNOTATED  # before anything was resampled
    truths = (planes * UNANNOTATED / (UNANNOTATED - 1)).clamp(0, 1)
    return truths.masked_fill(nobody[:, None, None], torch.nan)
