"""From a data set to batches: workers read and cut, the device augments and makes spectrograms.

A worker gets tickets (epoch, sample, its neighbours) and answers with raw clips, so workers hold no state: what a clip
looks like depends on (seed, epoch, sample, view) alone, and a stopped run goes on where it was.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from whence.data.audio import cut, resample
from whence.data.augment import BANDS, DRAWS, augment, mask_bands
from whence.data.image import normalise, squash
from whence.data.neighbours import Neighbours
from whence.data.spectrogram import silence, spectrogram
from whence.errors import DataError
from whence.frontend import InputSpec
from whence.randomness import uniform
from whence.recipe import Recipe, Views
from whence.types import AudioVisualDataset, Batch


@dataclass(frozen=True)
class Ticket:
    """One clip of one epoch: whose picture and sound, and whose stand in as semantic neighbours."""

    epoch: int
    index: int
    near_image: int
    near_sound: int


@dataclass(frozen=True)
class RawBatch:
    """What workers answer with.

    Attributes:
        pictures: (p, b, 3, s, s) the clips' own and, if used, the neighbours'; s is a little more than the crop.
        waveforms: (u, b, t) one window for each view of the sound.
        index: (b,) samples; epoch: the same for all.
    """

    pictures: UInt8[Tensor, "p b 3 s s"]
    waveforms: Float[Tensor, "u b t"]
    index: Int[Tensor, " b"]
    epoch: int

    def to(self, device: torch.device, non_blocking: bool = False) -> "RawBatch":
        pictures, waveforms = (x.to(device, non_blocking=non_blocking) for x in (self.pictures, self.waveforms))
        return RawBatch(pictures, waveforms, self.index, self.epoch)


class Clips(Dataset):
    """Reads the clip of a ticket: each picture and each sound is decoded once, and only where a view needs it."""

    def __init__(self, data: AudioVisualDataset, front_end: InputSpec, views: Views, seed: int) -> None:
        self.data, self.front_end, self.views, self.seed = data, front_end, views, seed
        whole = views.plain == "whole" and "augmented" not in views.names("image")
        self.canvas = front_end.image.size if whole else round(front_end.image.size * 1.125)

    def __len__(self) -> int:
        return len(self.data)

    @lru_cache(maxsize=3)  # noqa: B019 (one per worker process, as long-lived as the worker)
    def _at(self, epoch: int) -> AudioVisualDataset:
        return self.data.at(epoch)

    def __getitem__(self, ticket: Ticket) -> tuple[UInt8[Tensor, "p 3 s s"], Float[Tensor, "u t"]]:
        data = self._at(ticket.epoch)
        pictures = [squash(data.read_image(ticket.index), self.canvas)]
        if "neighbour" in self.views.names("image"):
            pictures.append(squash(data.read_image(ticket.near_image), self.canvas))
        return torch.stack(pictures), torch.stack(self._windows(data, ticket))

    def _windows(self, data: AudioVisualDataset, ticket: Ticket) -> list[Float[Tensor, " t"]]:
        spec = self.front_end.audio
        rate = spec.rate or 16000
        seconds, views = spec.seconds, self.views
        place = uniform((self.seed, ticket.epoch, "window"), [ticket.index], 3)[0]
        own = resample(data.read_sound(ticket.index), rate)
        room = max(0.0, own.seconds - seconds)
        windows = []
        for view in views.names("sound"):
            if view == "neighbour":
                # A table of neighbours speaks of epoch 0's recordings, where a set is paired anew in each epoch.
                near = resample(self._at(0).read_sound(ticket.near_sound), rate)
                windows.append(cut(near, seconds, float(place[2]) * max(0.0, near.seconds - seconds)))
            elif view == "augmented":
                reach = room / 2 if views.shift is None else min(views.shift, room / 2)
                windows.append(cut(own, seconds, room / 2 + (2 * float(place[1]) - 1) * reach))
            else:
                windows.append(cut(own, seconds, None if views.plain_sound == "centre" else float(place[0]) * room))
        return windows


class Stream:
    """Batches of tickets, a pure function of the step: the loader asks where training stands and goes on from there.

    Args:
        size: of the data set. start: answers with the optimizer step that the next batch is for.
        leg: steps between two calls of `__iter__` (a checkpoint lies between).
        neighbours: answers with the table in force, or None.
    """

    def __init__(
        self,
        size: int,
        recipe: Recipe,
        leg: int,
        start: Callable[[], int],
        neighbours: Callable[[], Neighbours | None],
    ) -> None:
        batch = recipe.train.batch_size
        if size < batch:
            raise DataError(f"the training set has {size} clips and a batch {batch}; lower `train.batch_size`")
        self.size, self.recipe, self.leg, self.start, self.neighbours = size, recipe, leg, start, neighbours
        self.steps_per_epoch = size // batch

    def __len__(self) -> int:
        return self.leg

    def __iter__(self) -> Iterator[list[Ticket]]:
        first = self.start()
        for step in range(first, (first // self.leg + 1) * self.leg):
            yield self.batch(step)

    def batch(self, step: int) -> list[Ticket]:
        epoch, place = divmod(step, self.steps_per_epoch)
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
        """The epoch's order: samples sorted by a random number of their own."""
        chances = uniform((self.recipe.train.seed, epoch, "order"), list(range(self.size)))[:, 0]
        return np.argsort(chances, kind="stable")


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


def loader(clips: Clips, stream: Stream, workers: int) -> DataLoader:
    """Reads the stream's clips in worker processes (none: in this one)."""
    return DataLoader(
        Ticketed(clips),
        batch_sampler=stream,  # type: ignore[arg-type]  # tickets where torch's stubs expect int
        num_workers=workers,
        collate_fn=stack,
        persistent_workers=workers > 0,
        prefetch_factor=2 if workers else None,
    )


class Ticketed(Dataset):
    """Hands each clip back with its ticket, so that the batch knows what it is made of."""

    def __init__(self, clips: Clips) -> None:
        self.clips = clips

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, ticket: Ticket) -> tuple[Tensor, Tensor, Ticket]:
        return (*self.clips[ticket], ticket)


def stack(items: list[tuple[Tensor, Tensor, Ticket]]) -> RawBatch:
    """Clips of one epoch as a batch; views come first."""
    pictures, waveforms, tickets = zip(*items, strict=True)
    index = torch.tensor([t.index for t in tickets])
    return RawBatch(torch.stack(pictures, 1), torch.stack(waveforms, 1), index, tickets[0].epoch)


def prepare(
    raw: RawBatch,
    front_end: InputSpec,
    views: Views,
    seed: int,
    alike: Bool[Tensor, "b b"] | None = None,
    labels: Float[Tensor, "2 b k"] | None = None,
) -> Batch:
    """Augments and normalises the pictures, and makes the spectrograms, all at once on the device of `raw`.

    In single precision whatever the training's: eight bits of mantissa would be seen in a picture.
    """
    size, device = front_end.image.size, raw.pictures.device
    samples = raw.index.cpu().numpy()
    grids = []
    with torch.autocast(device.type, enabled=False):
        for view in views.names("image"):
            how = views.augmentation if view == "augmented" else views.plain_augmentation
            pictures = raw.pictures[-1 if view == "neighbour" else 0]
            draws = torch.from_numpy(uniform((seed, raw.epoch, "augment", view), samples, DRAWS)).to(device)
            grids.append(augment(pictures, size, how, draws))
        images = normalise(torch.stack(grids), front_end.image)
        flat = spectrogram(raw.waveforms.flatten(0, 1), front_end.audio, front_end.audio.rate or 16000)
        if views.bands != "none":
            names = views.names("sound")
            rows = [uniform((seed, raw.epoch, "bands", view), samples, 5) for view in names]
            chances = torch.cat([torch.from_numpy(row) for row in rows]).to(device)
            flat = mask_bands(flat, chances, BANDS[views.bands], silence(front_end.audio))
    sounds = flat.unflatten(0, raw.waveforms.shape[:2])
    return Batch(images, sounds, raw.index, alike, labels=labels)
