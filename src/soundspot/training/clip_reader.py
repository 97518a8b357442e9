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

from soundspot.config.frontend import InputSpec
from soundspot.config.schema import ViewsConfig
from soundspot.data.datasets.auxiliary import read_audio_embedding, read_flow
from soundspot.data.media.audio import AudioFile, crop_or_tile, resample
from soundspot.data.media.image import fast_squash
from soundspot.data.media.optical_flow import flow_to_image
from soundspot.errors import RecipeError
from soundspot.types import Audio, AudioVisualDataset
from soundspot.utils.hash_rng import uniform

UNANNOTATED = 255  # throughout the plane of a truth: nobody marked this picture; where one did, 254 is 1


@dataclass(frozen=True)
class SampleRequest:
    """One clip of one epoch: whose picture and sound, and whose stand in as semantic neighbours."""

    epoch: int
    index: int
    neighbor_image: int
    neighbor_audio: int


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

    images: UInt8[Tensor, "p b i s s"]
    waveforms: Float[Tensor, "u b t"]
    index: Int[Tensor, " b"]
    epoch: int

    def to(self, device: torch.device, non_blocking: bool = False) -> "RawBatch":
        """Itself on a device; from pinned memory without waiting for it."""
        apart = non_blocking or self.images.is_pinned()
        pictures, waveforms = (x.to(device, non_blocking=apart) for x in (self.images, self.waveforms))
        return RawBatch(pictures, waveforms, self.index, self.epoch)

    def pin_memory(self) -> "RawBatch":
        """Itself in memory that a GPU can fetch by itself; the loader asks for it."""
        return RawBatch(self.images.pin_memory(), self.waveforms.pin_memory(), self.index, self.epoch)


class ClipReader:
    """Reads the clips of tickets: each picture and each sound is decoded once, and only where a view needs it.

    Args:
        truths: also read where the source is (`soundspot.training.datamodule.teaching`).

    Raises:
        RecipeError: bands of vectors are to be masked.
    """

    def __init__(
        self,
        data: AudioVisualDataset,
        front_end: InputSpec,
        views: ViewsConfig,
        seed: int,
        with_ground_truth: bool = False,
    ) -> None:
        if front_end.audio.embedding_dim and views.spec_augment != "none":
            raise RecipeError(
                f"views.bands: found {views.spec_augment!r} where sounds are vectors, expected none: a vector has no bands"
            )
        self.data, self.front_end, self.views, self.seed = data, front_end, views, seed
        self.with_ground_truth = with_ground_truth
        whole = views.base_view == "whole" and "augmented" not in views.view_names("image")
        self.canvas = front_end.image.size if whole else round(front_end.image.size * 1.125)

    def __len__(self) -> int:
        return len(self.data)

    @lru_cache(maxsize=3)  # noqa: B019 (one per worker process, as long-lived as the worker)
    def _at(self, epoch: int) -> AudioVisualDataset:
        return self.data.at_epoch(epoch)

    def read(self, requests: Sequence[SampleRequest]) -> RawBatch:
        """The clips of one epoch as a batch."""
        names, audio, b = self.views.view_names, self.front_end.audio, len(requests)
        p = 2 if "neighbour" in names("image") else 1
        planes = self.front_end.image.num_channels + self.with_ground_truth
        length = audio.embedding_dim or max(1, round(audio.seconds * (audio.rate or 16000)))
        pictures = np.empty((p, b, self.canvas, self.canvas, planes), np.uint8)
        waveforms = np.empty((len(names("sound")), b, length), np.float32)
        index, epoch = [ticket.index for ticket in requests], requests[0].epoch
        data, chances = self._at(epoch), uniform((self.seed, epoch, "window"), index, 3).tolist()
        for place, ticket in enumerate(requests):
            for one, whose in enumerate((ticket.index, ticket.neighbor_image)[:p]):
                self._draw(data, whose, pictures[one, place])
            sounds = (
                self._vectors(data, ticket) if audio.embedding_dim else self._windows(data, ticket, *chances[place])
            )
            for one, sound in enumerate(sounds):
                waveforms[one, place] = sound.numpy()
        planar = torch.from_numpy(pictures).permute(0, 1, 4, 2, 3)
        return RawBatch(planar, torch.from_numpy(waveforms), torch.tensor(index), epoch)

    def _draw(self, data: AudioVisualDataset, index: int, onto: UInt8[np.ndarray, "s s i"]) -> None:
        """Colours, flow and truth of one picture, all of them squashed alike."""
        onto[..., :3] = fast_squash(data.read_image(index), self.canvas)
        if self.front_end.image.flow:
            onto[..., 3:5] = fast_squash(flow_to_image(read_flow(data, index)), self.canvas)[..., :2]
        if self.with_ground_truth:
            truth = data.read_truth(index)  # type: ignore[attr-defined]  # `teaching` says that it is there
            marked = None if truth is None else truth.map(self.canvas, self.canvas) * (UNANNOTATED - 1)
            onto[..., -1] = UNANNOTATED if marked is None else marked.round().numpy()

    def _vectors(self, data: AudioVisualDataset, ticket: SampleRequest) -> list[Float[Tensor, " t"]]:
        """The same vector in every view, but for the neighbour's."""
        whose = dict.fromkeys(self.views.view_names("sound"), ticket.index)
        if "neighbour" in whose:
            whose["neighbour"] = ticket.neighbor_audio
        return [read_audio_embedding(data, i, self.front_end.audio.embedding_dim) for i in whose.values()]

    def _windows(
        self, data: AudioVisualDataset, ticket: SampleRequest, plain: float, shifted: float, near: float
    ) -> list[Float[Tensor, " t"]]:
        """The windows of the views; numbers in [0, 1) place them."""
        spec, views = self.front_end.audio, self.views
        seconds, rate = spec.seconds, spec.rate or 16000
        own = open_audio_at_rate(data, ticket.index, rate)
        room = max(0.0, own.seconds - seconds)
        windows = []
        for view in views.view_names("sound"):
            if view == "neighbour":
                # A table of neighbours speaks of epoch 0's recordings, where a set is paired anew in each epoch.
                other = open_audio_at_rate(self._at(0), ticket.neighbor_audio, rate)
                windows.append(crop_or_tile(other, seconds, near * max(0.0, other.seconds - seconds)))
            elif view == "augmented":
                reach = room / 2 if views.max_time_shift is None else min(views.max_time_shift, room / 2)
                windows.append(crop_or_tile(own, seconds, room / 2 + (2 * shifted - 1) * reach))
            else:
                windows.append(
                    crop_or_tile(own, seconds, None if views.base_audio_window == "center" else plain * room)
                )
        return windows


def open_audio_at_rate(data: Any, index: int, rate: int) -> Audio | AudioFile:
    """The sound of a clip at `rate`; not decoded yet if the data set can open it (`open_sound`) and has that rate."""
    if hasattr(data, "open_sound"):
        opened: Audio | AudioFile = data.open_sound(index)
        if opened.rate == rate:
            return opened
        return resample(opened if isinstance(opened, Audio) else opened.read_segment(), rate)
    return resample(data.read_sound(index), rate)
