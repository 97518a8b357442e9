"""Batches of stored features: no image and no sound whose encoder is frozen is read or encoded again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from soundspot.config.frontend import InputSpec
from soundspot.config.schema import ViewsConfig
from soundspot.models.staged import StagedEncoder, pack_features
from soundspot.training.clip_reader import UNANNOTATED, ClipReader, RawBatch, SampleRequest
from soundspot.training.datamodule import build_audio, build_images
from soundspot.types import Batch
from soundspot.utils.hash_rng import Key, uniform
from soundspot.utils.safe_read import convert_read_errors, load_npy


@dataclass(frozen=True)
class FeatureBatch(RawBatch):
    """Samples of which at least one modality is read as features; its images or waveforms are then empty.

    Attributes:
        image_features: (v, b, 3, 1, k) packed features of all views; None: images are read.
        audio_features: (u, b, 1, 1, l) packed features of all views; None: sounds are read.
        ground_truth: (v, b, y, x) stored ground truth: 255 throughout where an image is not annotated, else 254 is 1.
    """

    image_features: Float16[Tensor, "v b 3 1 k"] | None = None
    audio_features: Float16[Tensor, "u b 1 1 l"] | None = None
    ground_truth: UInt8[Tensor, "v b y x"] | None = None

    def to(self, device: torch.device, non_blocking: bool = False) -> "FeatureBatch":
        """Copy all but the positions to a device.

        Args:
            device: target of the copy.
            non_blocking: whether the copy is asynchronous.

        Returns:
            Batch with the copied tensors.
        """
        copied = {name: x.to(device, non_blocking=non_blocking) for name, x in self._tensors().items()}
        return replace(self, **copied)  # type: ignore[arg-type]  # none of them is the epoch

    def pin_memory(self) -> "FeatureBatch":
        """Copy all but the positions to pinned memory; torch's loader calls this.

        Returns:
            Batch with the copied tensors.
        """
        pinned = {name: x.pin_memory() for name, x in self._tensors().items()}
        return replace(self, **pinned)  # type: ignore[arg-type]  # none of them is the epoch

    def _tensors(self) -> dict[str, Tensor]:
        names = "images", "waveforms", "image_features", "audio_features", "ground_truth"
        return {name: x for name in names if (x := getattr(self, name)) is not None}


@dataclass(frozen=True, eq=False)
class FeatureStore:
    """Complete features of one modality on disk.

    Attributes:
        features: file of (items * variants, f) packed features.
        ground_truth: file of (items * variants, y * x) ground truth; None: there is none.
        channels: number i of channels of the encoder's inputs.
        num_variants: number of variants of each image or sound.
        ranges: variants that each view chooses from.
        positions: (epochs, n) number of the image or sound of each of n samples.
    """

    features: Path
    ground_truth: Path | None
    channels: int
    num_variants: int
    ranges: dict[str, range]
    positions: Int[np.ndarray, "epochs n"]

    def rows(self, view: str, seed: int, epoch: int, index: Sequence[int], sources: Sequence[int]) -> NDArray[np.int64]:
        """Choose a variant of each sample of a batch, as a pure function of the arguments.

        Args:
            view: name of the view.
            seed: seed of the run.
            epoch: number of the epoch.
            index: (b,) positions of the samples, by which variants are drawn.
            sources: (b,) positions of the samples whose images or sounds they are.

        Returns:
            (b,) rows of the file.
        """
        variants = self.ranges[view]
        draws = uniform((seed, epoch, Key.STORED_VARIANT, view, self.channels), list(index))[:, 0]
        chosen = variants.start + (draws * len(variants)).astype(np.int64)
        return self.positions[epoch % len(self.positions), list(sources)] * self.num_variants + chosen

    def read(self, rows: NDArray[np.int64]) -> Float16[Tensor, "b i 1 k"]:
        """Read features.

        Args:
            rows: (b,) rows of the file.

        Returns:
            (b, i, 1, k) packed features.
        """
        return torch.from_numpy(_open_array(self.features)[rows]).reshape(len(rows), self.channels, 1, -1)

    def read_ground_truth(self, rows: NDArray[np.int64]) -> UInt8[Tensor, "b y x"]:
        """Read stored ground truth.

        Args:
            rows: (b,) rows of the file.

        Returns:
            (b, y, x): 255 throughout where an image is not annotated, else 254 is 1.
        """
        assert self.ground_truth is not None
        planes = torch.from_numpy(_open_array(self.ground_truth)[rows])
        side = round(planes.shape[1] ** 0.5)
        return planes.reshape(-1, side, side)


class FeatureReader(ClipReader):
    """Reader of features where they are stored, and of images or sounds where they are not.

    Args:
        reader: reader of the samples themselves.
        image: features of the images; None: images are read.
        audio: features of the sounds; None: sounds are read.
    """

    def __init__(self, reader: ClipReader, image: FeatureStore | None, audio: FeatureStore | None) -> None:
        super().__init__(reader.data, reader.front_end, reader.views, reader.seed, reader.with_ground_truth)
        self.image, self.audio = image, audio
        self.reads_media = image is None or audio is None

    def read(self, requests: Sequence[SampleRequest]) -> FeatureBatch:
        """Read samples of one epoch.

        Args:
            requests: b samples, not empty, all of the epoch of the first.

        Returns:
            The b samples, on the CPU.

        Raises:
            InputError: an image or a sound that is not stored cannot be read.
        """
        b, epoch, index = len(requests), requests[0].epoch, [request.index for request in requests]
        images = torch.empty((1, b, 0, 0, 0), dtype=torch.uint8)
        waveforms = torch.empty(len(self.views.view_names("audio")), b, 0)
        image_features = audio_features = ground_truth = None
        if self.image is None:
            images = self.read_images(requests)
        else:
            neighbors = [request.neighbor_image for request in requests]
            rows = [
                self.image.rows(view, self.seed, epoch, index, neighbors if view == Key.NEIGHBOR_VIEW else index)
                for view in self.views.view_names("image")
            ]
            image_features = torch.stack([self.image.read(x) for x in rows])
            if self.image.ground_truth is not None:
                ground_truth = torch.stack([self.image.read_ground_truth(x) for x in rows])
        if self.audio is None:
            waveforms = self.read_waveforms(requests)
        else:
            neighbors = [request.neighbor_audio for request in requests]
            # A table of neighbors is about epoch 0's sounds, where a data set pairs anew in each epoch.
            first_epoch = replace(self.audio, positions=self.audio.positions[:1])
            audio_features = torch.stack(
                [
                    first_epoch.read(first_epoch.rows(view, self.seed, epoch, index, neighbors))
                    if view == Key.NEIGHBOR_VIEW
                    else self.audio.read(self.audio.rows(view, self.seed, epoch, index, index))
                    for view in self.views.view_names("audio")
                ]
            )
        return FeatureBatch(images, waveforms, torch.tensor(index), epoch, image_features, audio_features, ground_truth)


def build_feature_batch(
    batch: FeatureBatch,
    front_end: InputSpec,
    views: ViewsConfig,
    seed: int,
    false_negatives: Bool[Tensor, "b b"] | None = None,
    labels: Float[Tensor, "2 b k"] | None = None,
) -> Batch:
    """Build the input of a method from stored features, and from images or sounds where they are read.

    Args:
        batch: b samples as they were read.
        front_end: sizes, rates and normalization of the method's inputs.
        views: views of each sample, of images or sounds that are read.
        seed: seed of their augmentations.
        false_negatives: (m, m) mask of likely false negatives of all processes' samples, passed on; None: not known.
        labels: (2, b, k) class labels of images and of audio, passed on; None: not known.

    Returns:
        The batch; packed features have the axes of images and of spectrograms.
    """
    images, audio, ground_truth = batch.image_features, batch.audio_features, None
    if images is None:
        images, ground_truth = build_images(batch, front_end.image, views, seed)
    elif batch.ground_truth is not None:
        is_unannotated = (batch.ground_truth == UNANNOTATED).flatten(2).all(dim=-1)
        ground_truth = batch.ground_truth.float() / (UNANNOTATED - 1)
        ground_truth = ground_truth.masked_fill(is_unannotated[..., None, None], torch.nan)
    if audio is None:
        audio = build_audio(batch, front_end.audio, views, seed)
    return Batch(images, audio, batch.index, false_negatives, ground_truth, labels)


def pack_audio(encoder: nn.Module, audio: Float[Tensor, "n 1 f t"]) -> Float16[Tensor, "n 1 1 l"]:
    """Compute packed features of sounds that are not stored, such as noise, which is new in each step.

    Args:
        encoder: encoder of sounds with frozen stages.
        audio: (n, 1, f, t) spectrograms.

    Returns:
        (n, 1, 1, l) features in the form of the stored ones.
    """
    assert isinstance(encoder, StagedEncoder)
    return pack_features(encoder.forward_frozen(audio), 1)


@lru_cache(maxsize=8)
def _open_array(path: Path) -> NDArray:
    """Map a file, once in each process: a mapped array that is sent to a worker is copied."""
    with convert_read_errors(path, "expected stored features. Remove its folder, and they are computed again"):
        return load_npy(path, mmap_mode="r")
