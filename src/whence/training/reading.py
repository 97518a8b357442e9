"""The clips of a batch: pictures and sounds are decoded once, where a view needs them, and straight into the batch.

What a clip looks like depends on (seed, epoch, sample, view) alone, so whoever reads it holds no state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from whence.data.audio import Recording, cut, resample
from whence.data.beside import flow_of, vector_of
from whence.data.flow import flow_picture
from whence.data.image import fitted
from whence.errors import RecipeError
from whence.frontend import InputSpec
from whence.randomness import uniform
from whence.recipe import Views
from whence.types import AudioVisualDataset, Sound

UNMARKED = 255  # throughout the plane of a truth: nobody marked this picture; where one did, 254 is 1


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
            the data set offers truths to a method that can be taught. In memory a pixel's planes lie together.
        waveforms: (u, b, t) one window for each view of the sound, or the vector in its place.
        index: (b,) samples; epoch: the same for all.
    """

    pictures: UInt8[Tensor, "p b i s s"]
    waveforms: Float[Tensor, "u b t"]
    index: Int[Tensor, " b"]
    epoch: int

    def to(self, device: torch.device, non_blocking: bool = False) -> "RawBatch":
        """Itself on a device; from pinned memory without waiting for it."""
        apart = non_blocking or self.pictures.is_pinned()
        pictures, waveforms = (x.to(device, non_blocking=apart) for x in (self.pictures, self.waveforms))
        return RawBatch(pictures, waveforms, self.index, self.epoch)

    def pin_memory(self) -> "RawBatch":
        """Itself in memory that a GPU can fetch by itself; the loader asks for it."""
        return RawBatch(self.pictures.pin_memory(), self.waveforms.pin_memory(), self.index, self.epoch)


class Clips:
    """Reads the clips of tickets: each picture and each sound is decoded once, and only where a view needs it.

    Args:
        truths: also read where the source is (`whence.training.feed.teaching`).

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

    def read(self, tickets: Sequence[Ticket]) -> RawBatch:
        """The clips of one epoch as a batch."""
        names, audio, b = self.views.names, self.front_end.audio, len(tickets)
        p = 2 if "neighbour" in names("image") else 1
        planes = self.front_end.image.planes + self.truths
        length = audio.vector or max(1, round(audio.seconds * (audio.rate or 16000)))
        pictures = np.empty((p, b, self.canvas, self.canvas, planes), np.uint8)
        waveforms = np.empty((len(names("sound")), b, length), np.float32)
        index, epoch = [ticket.index for ticket in tickets], tickets[0].epoch
        data, chances = self._at(epoch), uniform((self.seed, epoch, "window"), index, 3).tolist()
        for place, ticket in enumerate(tickets):
            for one, whose in enumerate((ticket.index, ticket.near_image)[:p]):
                self._draw(data, whose, pictures[one, place])
            sounds = self._vectors(data, ticket) if audio.vector else self._windows(data, ticket, *chances[place])
            for one, sound in enumerate(sounds):
                waveforms[one, place] = sound.numpy()
        planar = torch.from_numpy(pictures).permute(0, 1, 4, 2, 3)
        return RawBatch(planar, torch.from_numpy(waveforms), torch.tensor(index), epoch)

    def _draw(self, data: AudioVisualDataset, index: int, onto: UInt8[np.ndarray, "s s i"]) -> None:
        """Colours, flow and truth of one picture, all of them squashed alike."""
        onto[..., :3] = fitted(data.read_image(index), self.canvas)
        if self.front_end.image.flow:
            onto[..., 3:5] = fitted(flow_picture(flow_of(data, index)), self.canvas)[..., :2]
        if self.truths:
            truth = data.read_truth(index)  # type: ignore[attr-defined]  # `teaching` says that it is there
            marked = None if truth is None else truth.map(self.canvas, self.canvas) * (UNMARKED - 1)
            onto[..., -1] = UNMARKED if marked is None else marked.round().numpy()

    def _vectors(self, data: AudioVisualDataset, ticket: Ticket) -> list[Float[Tensor, " t"]]:
        """The same vector in every view, but for the neighbour's."""
        whose = dict.fromkeys(self.views.names("sound"), ticket.index)
        if "neighbour" in whose:
            whose["neighbour"] = ticket.near_sound
        return [vector_of(data, i, self.front_end.audio.vector) for i in whose.values()]

    def _windows(
        self, data: AudioVisualDataset, ticket: Ticket, plain: float, shifted: float, near: float
    ) -> list[Float[Tensor, " t"]]:
        """The windows of the views; numbers in [0, 1) place them."""
        spec, views = self.front_end.audio, self.views
        seconds, rate = spec.seconds, spec.rate or 16000
        own = heard(data, ticket.index, rate)
        room = max(0.0, own.seconds - seconds)
        windows = []
        for view in views.names("sound"):
            if view == "neighbour":
                # A table of neighbours speaks of epoch 0's recordings, where a set is paired anew in each epoch.
                other = heard(self._at(0), ticket.near_sound, rate)
                windows.append(cut(other, seconds, near * max(0.0, other.seconds - seconds)))
            elif view == "augmented":
                reach = room / 2 if views.shift is None else min(views.shift, room / 2)
                windows.append(cut(own, seconds, room / 2 + (2 * shifted - 1) * reach))
            else:
                windows.append(cut(own, seconds, None if views.plain_sound == "centre" else plain * room))
        return windows


def heard(data: Any, index: int, rate: int) -> Sound | Recording:
    """The sound of a clip at `rate`; not decoded yet if the data set can open it (`open_sound`) and has that rate."""
    if hasattr(data, "open_sound"):
        opened: Sound | Recording = data.open_sound(index)
        if opened.rate == rate:
            return opened
        return resample(opened if isinstance(opened, Sound) else opened.part(), rate)
    return resample(data.read_sound(index), rate)
