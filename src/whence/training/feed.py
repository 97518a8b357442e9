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
from whence.data.beside import flow_of, vector_of
from whence.data.flow import flow_picture
from whence.data.image import normalise, squash
from whence.data.neighbours import Neighbours
from whence.data.spectrogram import silence, spectrogram
from whence.errors import DataError, RecipeError
from whence.frontend import InputSpec
from whence.methods.base import Method
from whence.processes import rank, world
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
        pictures: (p, b, i, s, s) the clips' own and, if used, the neighbours'; s is a little more than the crop. After
            the three planes of colour come two of optical flow, where the front end has it, and one of the truth, where
            the data set offers truths to a method that can be taught.
        waveforms: (u, b, t) one window for each view of the sound, or the vector in its place.
        index: (b,) samples; epoch: the same for all.
    """

    pictures: UInt8[Tensor, "p b i s s"]
    waveforms: Float[Tensor, "u b t"]
    index: Int[Tensor, " b"]
    epoch: int

    def to(self, device: torch.device, non_blocking: bool = False) -> "RawBatch":
        pictures, waveforms = (x.to(device, non_blocking=non_blocking) for x in (self.pictures, self.waveforms))
        return RawBatch(pictures, waveforms, self.index, self.epoch)


UNMARKED = 255  # throughout the plane of a truth: nobody marked this picture; where one did, 254 is 1


class Clips(Dataset):
    """Reads the clip of a ticket: each picture and each sound is decoded once, and only where a view needs it.

    Args:
        truths: also read where the source is (`teaching`).

    Raises:
        RecipeError: bands of vectors are to be masked.
    """

    def __init__(
        self, data: AudioVisualDataset, front_end: InputSpec, views: Views, seed: int, truths: bool = False
    ) -> None:
        if front_end.audio.vector and views.bands != "none":
            raise RecipeError(
                f"views.bands: found {views.bands!r} where sounds are vectors, expected none: a vector has no bands"
            )
        self.data, self.front_end, self.views, self.seed = data, front_end, views, seed
        self.truths = truths
        whole = views.plain == "whole" and "augmented" not in views.names("image")
        self.canvas = front_end.image.size if whole else round(front_end.image.size * 1.125)

    def __len__(self) -> int:
        return len(self.data)

    @lru_cache(maxsize=3)  # noqa: B019 (one per worker process, as long-lived as the worker)
    def _at(self, epoch: int) -> AudioVisualDataset:
        return self.data.at(epoch)

    def __getitem__(self, ticket: Ticket) -> tuple[UInt8[Tensor, "p i s s"], Float[Tensor, "u t"]]:
        data = self._at(ticket.epoch)
        pictures = [self._planes(data, ticket.index)]
        if "neighbour" in self.views.names("image"):
            pictures.append(self._planes(data, ticket.near_image))
        sounds = self._vectors(data, ticket) if self.front_end.audio.vector else self._windows(data, ticket)
        return torch.stack(pictures), torch.stack(sounds)

    def _planes(self, data: AudioVisualDataset, index: int) -> UInt8[Tensor, "i s s"]:
        """Colours, flow and truth of one picture, all of them squashed alike."""
        planes = [squash(data.read_image(index), self.canvas)]
        if self.front_end.image.flow:
            planes.append(squash(flow_picture(flow_of(data, index)), self.canvas)[:2])
        if self.truths:
            truth = data.read_truth(index)  # type: ignore[attr-defined]  # `teaching` says that it is there
            unmarked = torch.full((1, self.canvas, self.canvas), UNMARKED, dtype=torch.uint8)
            marked = None if truth is None else truth.map(self.canvas, self.canvas) * (UNMARKED - 1)
            planes.append(unmarked if marked is None else marked.round().to(torch.uint8)[None])
        return torch.cat(planes)

    def _vectors(self, data: AudioVisualDataset, ticket: Ticket) -> list[Float[Tensor, " t"]]:
        """The same vector in every view, but for the neighbour's."""
        whose = dict.fromkeys(self.views.names("sound"), ticket.index)
        if "neighbour" in whose:
            whose["neighbour"] = ticket.near_sound
        return [vector_of(data, i, self.front_end.audio.vector) for i in whose.values()]

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
    """

    def __init__(
        self,
        size: int,
        recipe: Recipe,
        leg: int,
        start: Callable[[], int],
        neighbours: Callable[[], Neighbours | None],
    ) -> None:
        batch, self.parts = recipe.train.batch_size, recipe.train.accumulate
        if size < batch * self.parts:
            found = f"{batch}" if self.parts == 1 else f"{self.parts} times {batch} (train.accumulate)"
            raise DataError(f"the training set has {size} clips and a batch {found}; lower `train.batch_size`")
        self.size, self.recipe, self.leg, self.start, self.neighbours = size, recipe, leg, start, neighbours
        self.batches_per_epoch = size // (batch * self.parts) * self.parts

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

    Flow and truths are cropped and mirrored as their pictures are.

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
        planes, shown = torch.stack(grids), 5 if front_end.image.flow else 3
        images = normalise(planes[:, :, :shown], front_end.image)
        truths = None if planes.shape[2] == shown else marked(planes[:, :, -1], raw, views)
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


def marked(planes: Float[Tensor, "v b y x"], raw: RawBatch, views: Views) -> Float[Tensor, "v b y x"]:
    """The truths of cropped planes, in [0, 1]; not a number throughout where nobody marked the picture."""
    nobody = raw.pictures[:, :, -1].flatten(2).amin(dim=-1) == UNMARKED  # (p, b), before anything was resampled
    of_view = torch.stack([nobody[-1 if view == "neighbour" else 0] for view in views.names("image")])
    truths = (planes * UNMARKED / (UNMARKED - 1)).clamp(0, 1)
    return truths.masked_fill(of_view[..., None, None], torch.nan)
