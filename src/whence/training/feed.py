"""From a data set to batches: workers read and cut, the device augments and makes spectrograms.

A worker gets tickets (epoch, sample, its neighbours) and answers with raw clips (`whence.training.reading`), so a
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

from whence.data.augment import BANDS, DRAWS, augmented, mask_bands
from whence.data.image import normalise
from whence.data.neighbours import Neighbours
from whence.data.spectrogram import silence, spectrogram
from whence.errors import DataError, RecipeError, WhenceError
from whence.frontend import ImageSpec, InputSpec
from whence.methods.base import Method
from whence.processes import rank, world
from whence.randomness import uniform
from whence.recipe import Recipe, Train, Views
from whence.training.reading import UNMARKED, Clips, RawBatch, Ticket
from whence.types import AudioVisualDataset, Batch

MIXED = 8  # shards whose samples are shuffled among each other, where the order is that of shards


def teaching(method: Method, data: AudioVisualDataset) -> bool:
    """Whether the data set offers truths to learn from (`whence.data.beside`).

    Raises:
        RecipeError: it does, and the method cannot be taught.
    """
    offered = getattr(data, "truths", None) is not None
    if offered and not method.taught:
        raise RecipeError(
            f"data.options.truths: method {method.name!r} cannot be taught by truths; leave them out, or train one "
            "that can (attention10k)"
        )
    return offered


class Stream:
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
        size: int,
        recipe: Recipe,
        leg: int,
        start: Callable[[], int],
        neighbours: Callable[[], Neighbours | None],
        blocks: NDArray[np.int64] | None = None,
    ) -> None:
        batch, self.parts = recipe.train.batch_size, recipe.train.accumulate
        if size < batch * self.parts:
            found = f"{batch}" if self.parts == 1 else f"{self.parts} times {batch} (train.accumulate)"
            raise DataError(f"the training set has {size} clips and a batch {found}; lower `train.batch_size`")
        self.size, self.recipe, self.leg, self.start, self.neighbours = size, recipe, leg, start, neighbours
        self.batches_per_epoch = size // (batch * self.parts) * self.parts
        self.blocks = blocks

    def __len__(self) -> int:
        return self.leg * self.parts

    def __iter__(self) -> Iterator[list[Ticket]]:
        first = self.start()
        for number in range(first * self.parts, (first // self.leg + 1) * self.leg * self.parts):
            whole = self.batch(number)
            share = len(whole) // world()
            yield whole[rank() * share : (rank() + 1) * share]

    def batch(self, number: int) -> list[Ticket]:
        """All clips of a batch, by its number in the run."""
        epoch, place = divmod(number, self.batches_per_epoch)
        b, seed, near = self.recipe.train.batch_size, self.recipe.train.seed, self.recipe.neighbours
        index = self._order(epoch)[place * b : (place + 1) * b]
        image, sound = index, index
        table = self.neighbours()
        if table is not None:
            image = table.draw("images", (seed, epoch), index, near.k, near.sampling)
            sound = table.draw("sounds", (seed, epoch), index, near.k, near.sampling)
        return [Ticket(epoch, int(i), int(j), int(k)) for i, j, k in zip(index, image, sound, strict=True)]

    @lru_cache(maxsize=2)  # noqa: B019 (lives as long as the run)
    def _order(self, epoch: int) -> NDArray[np.int64]:
        return order(self.size, self.recipe.train.seed, epoch, self.blocks)


def order(
    size: int, seed: int, epoch: int, blocks: NDArray[np.int64] | None = None, mixed: int = MIXED
) -> NDArray[np.int64]:
    """An epoch's order of `size` samples: sorted by a random number of their own.

    Args:
        blocks: (size,) whose number each sample has; blocks are then shuffled first, likewise, and the samples of
            `mixed` blocks in a row among each other.
    """
    chances = uniform((seed, epoch, "order"), list(range(size)))[:, 0]
    if blocks is None:
        return np.argsort(chances, kind="stable")
    of_blocks = uniform((seed, epoch, "shards"), list(range(int(blocks.max()) + 1)))[:, 0]
    place = np.argsort(np.argsort(of_blocks, kind="stable"), kind="stable")
    return np.lexsort((chances, place[blocks] // mixed))


def blocks_of(data: AudioVisualDataset, train: Train) -> NDArray[np.int64] | None:
    """Which samples lie together, as `train.order` wants it (see `Stream`).

    Raises:
        RecipeError: samples of this data set lie each for itself.
    """
    if train.order == "samples":
        return None
    if not hasattr(data, "blocks"):
        raise RecipeError(
            f"train.order: shards, and {data.name} does not lie in shards. Pack it (`whence data pack`), or leave the "
            "order at `samples`"
        )
    found: NDArray[np.int64] = data.blocks
    return found


class Alike:
    """Which sounds of a batch would do for which pictures as well as their own, as the recipe tells it."""

    def __init__(self, data: AudioVisualDataset, recipe: Recipe, neighbours: Callable[[], Neighbours | None]) -> None:
        self.data, self.among, self.neighbours = data, recipe.neighbours.alike, neighbours
        self.by_category = recipe.train.alike == "category"

    def __call__(self, index: NDArray[np.int64], epoch: int) -> Bool[Tensor, "b b"] | None:
        """(b, b), see `whence.types.Batch.alike`; None where nothing is known."""
        masks = []
        if self.by_category:
            data = self.data.at(epoch)  # composed anew in each epoch, a sample has another category there
            names = np.array([data.category(int(i)) for i in index])
            masks.append(names[:, None] == names[None])
        table = self.neighbours()
        if table is not None and self.among:
            masks.append(table.alike(index, self.among))
        return torch.from_numpy(np.logical_or.reduce(masks)) if masks else None


class Loader(DataLoader):
    """Batches of a stream's clips; what a worker found wrong with the data is raised here, in its own words."""

    def __iter__(self) -> Iterator[RawBatch]:  # type: ignore[override]  # torch's own iterator stays inside
        for batch in super().__iter__():
            if isinstance(batch, WhenceError):
                raise batch
            yield batch


def loader(clips: Clips, stream: Stream, workers: int) -> Loader:
    """Reads the stream's clips in worker processes (none: in this one), into pinned memory where there is a GPU."""
    return Loader(
        Told(clips),
        batch_sampler=stream,  # type: ignore[arg-type]  # tickets where torch's stubs expect int
        num_workers=workers,
        collate_fn=itself,
        persistent_workers=workers > 0,
        prefetch_factor=2 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )


class Told(Dataset):
    """Clips of which a mistake in the data is an answer, since torch would raise it with a traceback in its message."""

    def __init__(self, clips: Clips) -> None:
        self.clips = clips

    def __len__(self) -> int:
        return len(self.clips)

    def __getitems__(self, tickets: list[Ticket]) -> RawBatch | WhenceError:
        try:
            return self.clips.read(tickets)
        except WhenceError as error:
            return error


def itself(batch: Any) -> Any:
    """What `Told` answers with is a batch already."""
    return batch


def prepare(
    raw: RawBatch,
    front_end: InputSpec,
    views: Views,
    seed: int,
    alike: Bool[Tensor, "b b"] | None = None,
    labels: Float[Tensor, "2 b k"] | None = None,
) -> Batch:
    """Augments and normalises the pictures, and makes the spectrograms, all at once on the device of `raw`.

    Flow and truths are cropped and mirrored as their pictures are.

    In single precision whatever the training's: eight bits of mantissa would be seen in a picture.
    """
    device, samples = raw.pictures.device, raw.index.cpu().numpy()
    with torch.autocast(device.type, enabled=False):
        images, truths = _augmented(raw, front_end.image, views, seed, samples)
        sounds = raw.waveforms.flatten(0, 1)
        if front_end.audio.vector:
            flat = sounds[:, None, :, None]
        else:
            flat = spectrogram(sounds, front_end.audio, front_end.audio.rate or 16000)
        if views.bands != "none":
            names = views.names("sound")
            rows = [uniform((seed, raw.epoch, "bands", view), samples, 5) for view in names]
            chances = torch.cat([torch.from_numpy(row) for row in rows]).to(device)
            flat = mask_bands(flat, chances, BANDS[views.bands], silence(front_end.audio))
    sounds = flat.unflatten(0, raw.waveforms.shape[:2])
    return Batch(images, sounds, raw.index, alike, truths, labels)


def _augmented(
    raw: RawBatch, spec: ImageSpec, views: Views, seed: int, samples: NDArray[np.int64]
) -> tuple[Float[Tensor, "v b i h w"], Float[Tensor, "v b y x"] | None]:
    """The views of the pictures, normalised, and their truths, where they have some."""
    names, size, shown = views.names("image"), spec.size, spec.planes
    whose = [raw.pictures[-1 if view == "neighbour" else 0] for view in names]
    images = torch.empty((len(names), len(samples), shown, size, size), device=raw.pictures.device)
    truths = images[:, :, 0].clone() if raw.pictures.shape[2] > shown else None
    for place, (view, pictures) in enumerate(zip(names, whose, strict=True)):
        how = views.augmentation if view == "augmented" else views.plain_augmentation
        draws = torch.from_numpy(uniform((seed, raw.epoch, "augment", view), samples, DRAWS)).to(images.device)
        for part, planes in augmented(pictures, size, how, draws):
            normalise(planes[:, :shown], spec, out=images[place, part])
            if truths is not None:
                truths[place, part] = marked(planes[:, -1], pictures[part, -1])
    return images, truths


def marked(planes: Float[Tensor, "b y x"], stored: UInt8[Tensor, "b s s"]) -> Float[Tensor, "b y x"]:
    """The truths of cropped planes, in [0, 1]; not a number throughout where nobody marked the picture."""
    nobody = stored.flatten(1).amin(dim=-1) == UNMARKED  # before anything was resampled
    truths = (planes * UNMARKED / (UNMARKED - 1)).clamp(0, 1)
    return truths.masked_fill(nobody[:, None, None], torch.nan)
