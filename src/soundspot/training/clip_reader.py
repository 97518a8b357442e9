"""Read the samples of a batch: images and sounds are decoded once, where a view needs them, and into the batch.

What a sample looks like depends on (seed, epoch, sample, view) alone, so a reader holds no state.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from soundspot.config.frontend import InputSpec
from soundspot.config.schema import ViewsConfig
from soundspot.data.datasets.auxiliary import read_audio_embedding
from soundspot.data.media.audio import AudioFile, crop_or_tile, resample
from soundspot.data.media.image import fast_squash
from soundspot.data.media.optical_flow import flow_to_image
from soundspot.errors import RecipeError, SoundspotError
from soundspot.types import Audio, AudioVisualDataset
from soundspot.utils.hash_rng import Key, uniform

UNANNOTATED = 255  # throughout the ground-truth plane of an image that nobody annotated; in an annotated one 254 is 1


@dataclass(frozen=True)
class SampleRequest:
    """Request of one sample of one epoch.

    Attributes:
        epoch: number of the epoch, which data sets that compose or pair anew depend on.
        index: position of the sample in the data set.
        neighbor_image: position of the sample whose image is its semantic neighbor; its own without neighbors.
        neighbor_audio: position of the sample whose sound is its semantic neighbor; its own without neighbors.
    """

    epoch: int
    index: int
    neighbor_image: int
    neighbor_audio: int


@dataclass(frozen=True)
class RawBatch:
    """Samples as they are read, before augmentation and spectrograms.

    Attributes:
        images: (p, b, i, s, s) the samples' own images and, if used, the neighbors' (p is 1 or 2); s is the input's
            side, times 1.125 where images are cropped. The three color planes are followed by two of optical flow,
            where the front end has it, and by one of ground truth, where the data set offers it to the method. In
            memory a pixel's planes are adjacent.
        waveforms: (u, b, t) float32, one window for each of u views of the sound, or its embedding of t values instead.
        index: (b,) positions of the samples.
        epoch: number of the epoch of all samples.
    """

    images: UInt8[Tensor, "p b i s s"]
    waveforms: Float[Tensor, "u b t"]
    index: Int[Tensor, " b"]
    epoch: int

    def to(self, device: torch.device, non_blocking: bool = False) -> "RawBatch":
        """Copy images and waveforms to a device; positions stay on the CPU.

        Args:
            device: target of the copy.
            non_blocking: whether the copy is asynchronous; always, where the tensors are in pinned memory.

        Returns:
            Batch with the copied images and waveforms.
        """
        non_blocking = non_blocking or self.images.is_pinned()
        images, waveforms = (x.to(device, non_blocking=non_blocking) for x in (self.images, self.waveforms))
        return replace(self, images=images, waveforms=waveforms)

    def pin_memory(self) -> "RawBatch":
        """Copy images and waveforms to pinned memory; torch's loader calls this.

        Returns:
            Batch with the copied images and waveforms.
        """
        return replace(self, images=self.images.pin_memory(), waveforms=self.waveforms.pin_memory())


class ClipReader(Dataset[RawBatch]):
    """Reader of the samples that are requested: each image and each sound is decoded once, and only if a view needs it.

    Args:
        data: data set to read from.
        front_end: sizes and rates of the method's inputs.
        views: views of each sample that are read.
        seed: seed of the random windows of sounds.
        with_ground_truth: whether to read the ground truth too (`soundspot.training.datamodule.uses_ground_truth`).

    Raises:
        RecipeError: bands of embeddings are to be masked.
    """

    reads_media = True  # whether images or sounds are decoded, which takes processes of their own

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
                f"views.spec_augment: found {views.spec_augment!r} where sounds are embeddings, expected none: an "
                "embedding has no bands"
            )
        self.data, self.front_end, self.views, self.seed = data, front_end, views, seed
        self.with_ground_truth = with_ground_truth
        is_uncropped = views.base_view == "unaugmented" and Key.AUGMENTED_VIEW not in views.view_names("image")
        self.image_side = front_end.image.size if is_uncropped else round(front_end.image.size * 1.125)

    def __len__(self) -> int:
        return len(self.data)

    @lru_cache(maxsize=3)  # noqa: B019 (one per worker process, as long-lived as the worker)
    def epoch_data(self, epoch: int) -> AudioVisualDataset:
        """Return the data set with the samples of an epoch; those of three epochs are held.

        Args:
            epoch: number of the epoch.

        Returns:
            Data set of the same length.
        """
        return self.data.at_epoch(epoch)

    def read(self, requests: Sequence[SampleRequest]) -> RawBatch:
        """Read samples of one epoch, without augmentation; windows of sounds are drawn by (seed, epoch, sample).

        Images are resized to a square (bicubic, aspect ratio not preserved); sounds are resampled to the front end's
        rate, and those shorter than its window are repeated.

        Args:
            requests: b samples, not empty, all of the epoch of the first.

        Returns:
            Images and waveforms of the b samples, on the CPU.

        Raises:
            InputError: an image or a sound cannot be read.
        """
        index = torch.tensor([request.index for request in requests])
        return RawBatch(self.read_images(requests), self.read_waveforms(requests), index, requests[0].epoch)

    def read_images(self, requests: Sequence[SampleRequest]) -> UInt8[Tensor, "p b i s s"]:
        """Read the images of samples of one epoch.

        Args:
            requests: b samples, not empty, all of the epoch of the first.

        Returns:
            (p, b, i, s, s) images as a `RawBatch` has them.

        Raises:
            InputError: an image cannot be read.
        """
        p = 2 if Key.NEIGHBOR_VIEW in self.views.view_names("image") else 1
        images, data = self.empty_images(p, len(requests)), self.epoch_data(requests[0].epoch)
        for i, request in enumerate(requests):
            for k, source in enumerate((request.index, request.neighbor_image)[:p]):
                self.read_image(data, source, images[k, i])
        return torch.from_numpy(images).permute(0, 1, 4, 2, 3)

    def read_waveforms(self, requests: Sequence[SampleRequest]) -> Float[Tensor, "u b t"]:
        """Read the sounds of samples of one epoch; their windows are drawn by (seed, epoch, sample).

        Args:
            requests: b samples, not empty, all of the epoch of the first.

        Returns:
            (u, b, t) waveforms or embeddings as a `RawBatch` has them.

        Raises:
            InputError: a sound cannot be read.
        """
        spec, b, epoch = self.front_end.audio, len(requests), requests[0].epoch
        length = spec.embedding_dim or max(1, round(spec.seconds * (spec.rate or 16000)))
        waveforms = np.empty((len(self.views.view_names("audio")), b, length), np.float32)
        index = [request.index for request in requests]
        data, draws = self.epoch_data(epoch), uniform((self.seed, epoch, Key.AUDIO_WINDOW), index, 3).tolist()
        for i, request in enumerate(requests):
            read_audio = self._read_embeddings if spec.embedding_dim else self._read_windows
            for u, waveform in enumerate(read_audio(data, request, draws[i])):
                waveforms[u, i] = waveform.numpy()
        return torch.from_numpy(waveforms)

    def __getitems__(self, requests: list[SampleRequest]) -> RawBatch | SoundspotError:
        """Read samples for a loader; an error is returned, as torch would put a worker's traceback in its message.

        Args:
            requests: b samples of one epoch.

        Returns:
            The batch, or the SoundspotError of a sample that cannot be read.
        """
        try:
            return self.read(requests)
        except SoundspotError as error:
            return error

    def empty_images(self, *shape: int) -> UInt8[np.ndarray, "..."]:
        """Return memory for images.

        Args:
            shape: sizes of the axes before those of an image.

        Returns:
            (*shape, s, s, i) for the planes that `read_image` writes, not initialized.
        """
        planes = self.front_end.image.num_channels + self.with_ground_truth
        return np.empty((*shape, self.image_side, self.image_side, planes), np.uint8)

    def read_image(self, data: AudioVisualDataset, index: int, out: UInt8[np.ndarray, "s s i"]) -> None:
        """Read color, flow and ground truth of one image, all squashed in the same way.

        Args:
            data: data set of the epoch.
            index: position of the sample.
            out: (s, s, i) memory for them.

        Raises:
            InputError: the image cannot be read.
        """
        out[..., :3] = fast_squash(data.read_image(index), self.image_side)
        if self.front_end.image.flow:
            out[..., 3:5] = fast_squash(flow_to_image(data.read_flow(index)), self.image_side)[..., :2]
        if self.with_ground_truth:
            ground_truth = data.read_train_ground_truth(index)
            side = self.image_side
            out[..., -1] = (
                UNANNOTATED
                if ground_truth is None
                else (ground_truth.to_map(side, side) * (UNANNOTATED - 1)).round().numpy()
            )

    def _read_embeddings(
        self, data: AudioVisualDataset, request: SampleRequest, draws: Sequence[float]
    ) -> list[Float[Tensor, " t"]]:
        """Return the sample's embedding for every view but the neighbor's, which has its own."""
        sources = dict.fromkeys(self.views.view_names("audio"), request.index)
        if Key.NEIGHBOR_VIEW in sources:
            sources[Key.NEIGHBOR_VIEW] = request.neighbor_audio
        return [read_audio_embedding(data, i, self.front_end.audio.embedding_dim) for i in sources.values()]

    def _read_windows(
        self, data: AudioVisualDataset, request: SampleRequest, draws: Sequence[float]
    ) -> list[Float[Tensor, " t"]]:
        """Return the window of each view; its start is drawn by a number in [0, 1): of base, augmented, neighbor."""
        base_draw, augmented_draw, neighbor_draw = draws
        seconds, rate = self.front_end.audio.seconds, self.front_end.audio.rate or 16000
        own = open_audio_at_rate(data, request.index, rate)
        windows = []
        for view in self.views.view_names("audio"):
            source, draw = own, augmented_draw if view == Key.AUGMENTED_VIEW else base_draw
            if view == Key.NEIGHBOR_VIEW:
                # A table of neighbors is about epoch 0's sounds, where a data set pairs anew in each epoch.
                source, draw = open_audio_at_rate(self.epoch_data(0), request.neighbor_audio, rate), neighbor_draw
            windows.append(crop_or_tile(source, seconds, self.window_start(view, source.seconds, draw)))
        return windows

    def window_start(self, view: str, seconds: float, draw: float) -> float | None:
        """Compute where the window of a view begins.

        Args:
            view: name of the view (`ViewsConfig.view_names`).
            seconds: duration of the sound in seconds.
            draw: number in [0, 1) that places the window.

        Returns:
            Start in seconds; None: the middle of the sound.
        """
        slack = max(0.0, seconds - self.front_end.audio.seconds)
        if view == Key.AUGMENTED_VIEW:
            reach = slack / 2 if self.views.max_time_shift is None else min(self.views.max_time_shift, slack / 2)
            return slack / 2 + (2 * draw - 1) * reach
        if view == Key.BASE_VIEW and self.views.base_audio_window == "center":
            return None
        return draw * slack


def open_audio_at_rate(data: AudioVisualDataset, index: int, rate: int) -> Audio | AudioFile:
    """Open the audio of a sample at a sample rate; it is not decoded yet if its file can be opened at that rate.

    Args:
        data: data set to read from.
        index: position of the sample.
        rate: sample rate in Hz.

    Returns:
        An open file of that rate; or the entire audio in memory, resampled.
    """
    audio: Audio | AudioFile = data.open_audio(index)
    if isinstance(audio, AudioFile):
        return audio if audio.rate == rate else resample(audio.read_segment(), rate)
    return resample(audio, rate)
