"""Batches of a data set: workers read and crop, the device augments and computes spectrograms.

A worker gets requests (epoch, sample, its neighbors) and returns raw samples (`soundspot.training.clip_reader`), so a
resumed run continues with the batches that it would have had.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.config.schema import Recipe, ViewsConfig
from soundspot.data.media.image import normalize
from soundspot.data.neighbors.table import NeighborTable
from soundspot.data.transforms.augment import BAND_MASKING, NUM_DRAWS, iter_augmented, mask_bands
from soundspot.data.transforms.spectrogram import silence_value, spectrogram
from soundspot.errors import RecipeError, SoundspotError
from soundspot.methods.base import Method
from soundspot.training.clip_reader import UNANNOTATED, ClipReader, RawBatch
from soundspot.training.sample_order import ResumableBatchSampler
from soundspot.training.schedule import ScheduledCallback
from soundspot.types import AudioVisualDataset, Batch
from soundspot.utils.hash_rng import Key, uniform


def uses_ground_truth(method: Method, data: AudioVisualDataset) -> bool:
    """Return True where the data set offers ground truth to learn from (`soundspot.data.datasets.auxiliary`).

    Args:
        method: method to be trained.
        data: training set.

    Returns:
        Whether ground truth is read for the method.

    Raises:
        RecipeError: the data set offers it, and the method cannot learn from it; or the method is given a weight of
            it, and the data set does not offer it.
    """
    is_offered = data.has_train_ground_truth
    if is_offered and not method.supports_ground_truth:
        raise RecipeError(
            f"data.options.train_ground_truth: method {method.name!r} cannot learn from ground truth; leave it out, or "
            "train a method that can (attention10k; ezvsl and its descendants with `ground_truth_weight`)"
        )
    if getattr(method, "ground_truth_weight", 0) and not is_offered:
        raise RecipeError(
            "method.ground_truth_weight: the training set offers no ground truth to learn from; give "
            "`train_ground_truth: own` among `data.options`, or leave the weight out"
        )
    return is_offered


class FalseNegativeMask:
    """Mask of likely false negatives of a batch, by neighbors and categories, as the recipe says.

    Args:
        data: training set.
        recipe: recipe with `neighbors.false_negatives_from_neighbors` and `train.false_negatives`.
        get_neighbors: function that returns the current table of neighbors, or None.
    """

    def __init__(
        self, data: AudioVisualDataset, recipe: Recipe, get_neighbors: Callable[[], NeighborTable | None]
    ) -> None:
        self.data, self.top_k, self.get_neighbors = data, recipe.neighbors.false_negatives_from_neighbors, get_neighbors
        self.by_category = recipe.train.false_negatives

    def __call__(self, index: NDArray[np.int64], epoch: int) -> Bool[Tensor, "b b"] | None:
        """Compute the mask of a batch, in which losses leave pairs out of their denominators (`Batch.false_negatives`).

        Args:
            index: (m,) positions of the samples of all processes.
            epoch: number of the epoch.

        Returns:
            (m, m) bool: True where image i and sound j have the same category, if known, or image i is known to show
            the category of sound j, or i is among the nearest neighbors of j, or j of i, in either modality, as far as
            the recipe uses these; None where it uses none, or there is no table yet.
        """
        masks = []
        if self.by_category != "none":
            self.data = self.data.at_epoch(epoch)  # composed anew in each epoch, a sample has another category there
            names = np.array([self.data.category(int(i)) for i in index])
            if self.by_category == "category":
                mask = names[:, None] == names[None]
            else:
                mask = np.array([np.isin(names, self.data.visible_categories(int(i))) for i in index])
            masks.append(mask & (names != ""))
        table = self.get_neighbors()
        if table is not None and self.top_k:
            masks.append(table.false_negative_mask(index, self.top_k))
        return torch.from_numpy(np.logical_or.reduce(masks)) if masks else None


class TrainingData(L.LightningDataModule):
    """Training batches for Lightning; neighbors and clusters are current before the first batch is drawn.

    Args:
        reader: reader of the samples.
        sampler: sampler of the batches.
        num_workers: number of processes that read; 0: this process reads.
        scheduled: callbacks whose tables must be current before batches are drawn.
    """

    def __init__(
        self,
        reader: ClipReader,
        sampler: ResumableBatchSampler,
        num_workers: int,
        scheduled: Sequence[ScheduledCallback] = (),
    ) -> None:
        super().__init__()
        self.reader, self.sampler, self.num_workers, self.scheduled = reader, sampler, num_workers, scheduled

    def train_dataloader(self) -> "RawBatchLoader":
        """Build the loader; Lightning calls this once, before any `on_train_epoch_start`, and draws from it at once.

        Returns:
            Loader of raw batches.
        """
        assert self.trainer is not None
        for callback in self.scheduled:
            callback.on_train_epoch_start(self.trainer, self.trainer.lightning_module)
        return build_dataloader(self.reader, self.sampler, self.num_workers)

    def transfer_batch_to_device(self, raw_batch: RawBatch, device: torch.device, dataloader_idx: int) -> RawBatch:
        """Copy a batch to the device, asynchronously where its memory is pinned.

        Args:
            raw_batch: batch on the CPU.
            device: target of the copy.
            dataloader_idx: number of Lightning's loader, unused.

        Returns:
            Batch with images and waveforms on the device.
        """
        return raw_batch.to(device, non_blocking=True)


class RawBatchLoader(DataLoader):
    """Loader of raw batches; an error of a worker is raised here without the worker's traceback."""

    def __iter__(self) -> Iterator[RawBatch]:  # type: ignore[override]  # torch's own iterator stays inside
        for batch in super().__iter__():
            if isinstance(batch, SoundspotError):
                raise batch
            yield batch


def build_dataloader(reader: ClipReader, sampler: ResumableBatchSampler, num_workers: int) -> RawBatchLoader:
    """Build the loader of a sampler's batches, in pinned memory where there is a GPU.

    Args:
        reader: reader of the samples.
        sampler: sampler of the batches.
        num_workers: number of processes that read, two batches ahead each; 0: this process reads, as it does where
            nothing is decoded.

    Returns:
        Loader of raw batches, which raises an error of a worker without its traceback.
    """
    num_workers *= reader.reads_media
    return RawBatchLoader(
        reader,
        batch_sampler=sampler,  # type: ignore[arg-type]  # requests where torch's stubs expect int
        num_workers=num_workers,
        collate_fn=identity_collate,
        persistent_workers=num_workers > 0,
        prefetch_factor=2 if num_workers else None,
        pin_memory=torch.cuda.is_available(),
    )


def identity_collate(batch: Any) -> Any:
    """Return a batch as it is: a `ClipReader` returns whole batches. Workers pickle it, so it is no lambda.

    Args:
        batch: a `RawBatch`, or the error of a sample.

    Returns:
        The same object.
    """
    return batch


def build_batch(
    raw_batch: RawBatch,
    front_end: InputSpec,
    views: ViewsConfig,
    seed: int,
    false_negatives: Bool[Tensor, "b b"] | None = None,
    labels: Float[Tensor, "2 b k"] | None = None,
) -> Batch:
    """Augment and normalize images and compute spectrograms, on the device of the raw batch.

    In single precision whatever the training's: eight bits of mantissa would be visible in an image. Flow and ground
    truth are cropped and mirrored with their images.

    Args:
        raw_batch: b samples as they were read.
        front_end: sizes, rates and normalization of the method's inputs.
        views: views of each sample, their augmentations and the masks of their spectrograms.
        seed: seed of the augmentations, which depend on (seed, epoch, view, sample) alone.
        false_negatives: (m, m) mask of likely false negatives of all processes' samples, passed on; None: not known.
        labels: (2, b, k) class labels of images and of audio, passed on; None: not known.

    Returns:
        The batch: images (v, b, i, size, size) and spectrograms (u, b, 1, f, t) of all views.
    """
    images, ground_truth = build_images(raw_batch, front_end.image, views, seed)
    audio = build_audio(raw_batch, front_end.audio, views, seed)
    return Batch(images, audio, raw_batch.index, false_negatives, ground_truth, labels)


def build_images(
    raw_batch: RawBatch, spec: ImageSpec, views: ViewsConfig, seed: int
) -> tuple[Float[Tensor, "v b i h w"], Float[Tensor, "v b y x"] | None]:
    """Augment and normalize the images of a batch, in single precision.

    Args:
        raw_batch: b samples as they were read.
        spec: size and normalization of the method's images.
        views: views of each sample and their augmentations.
        seed: seed of the augmentations, which depend on (seed, epoch, view, sample) alone.

    Returns:
        (v, b, i, size, size) views of the images, and the ground truth of each, where the batch has some.
    """
    names, size, channels, device = views.view_names("image"), spec.size, spec.num_channels, raw_batch.images.device
    samples = raw_batch.index.cpu().numpy()
    images = torch.empty((len(names), len(samples), channels, size, size), device=device)
    ground_truth = images[:, :, 0].clone() if raw_batch.images.shape[2] > channels else None
    for v, view in enumerate(names):
        source = raw_batch.images[-1 if view == Key.NEIGHBOR_VIEW else 0]
        augmentation = views.augmentation if view == Key.AUGMENTED_VIEW else views.base_augmentation
        draws = torch.from_numpy(uniform((seed, raw_batch.epoch, Key.AUGMENTATION, view), samples, NUM_DRAWS))
        with torch.autocast(device.type, enabled=False):
            for rows, planes in iter_augmented(source, size, augmentation, draws.to(device)):
                normalize(planes[:, :channels], spec, out=images[v, rows])
                if ground_truth is not None:
                    ground_truth[v, rows] = decode_ground_truth(planes[:, -1], source[rows, -1])
    return images, ground_truth


def build_audio(raw_batch: RawBatch, spec: AudioSpec, views: ViewsConfig, seed: int) -> Float[Tensor, "u b 1 f t"]:
    """Compute the spectrograms of a batch, in single precision, and mask their bands.

    Args:
        raw_batch: b samples as they were read.
        spec: rate and spectrograms of the method's sounds.
        views: views of each sample and the masks of their spectrograms.
        seed: seed of the masks, which depend on (seed, epoch, view, sample) alone.

    Returns:
        (u, b, 1, f, t) spectrograms of all views, or embeddings (u, b, 1, t, 1).
    """
    waveforms, device = raw_batch.waveforms.flatten(0, 1), raw_batch.waveforms.device
    with torch.autocast(device.type, enabled=False):
        audio = waveforms[:, None, :, None] if spec.embedding_dim else spectrogram(waveforms, spec, spec.rate or 16000)
        if views.spec_augment != "none":
            keys = [(seed, raw_batch.epoch, Key.BAND_MASKS, view) for view in views.view_names("audio")]
            samples = raw_batch.index.cpu().numpy()
            draws = torch.cat([torch.from_numpy(uniform(key, samples, 5)) for key in keys]).to(device)
            audio = mask_bands(audio, draws, BAND_MASKING[views.spec_augment], silence_value(spec))
    return audio.unflatten(0, raw_batch.waveforms.shape[:2])


def decode_ground_truth(planes: Float[Tensor, "b y x"], stored: UInt8[Tensor, "b s s"]) -> Float[Tensor, "b y x"]:
    """Convert stored planes of ground truth, after cropping, to values in [0, 1].

    Args:
        planes: (b, y, x) cropped and resampled planes, the stored 8-bit values divided by 255.
        stored: (b, s, s) planes as they were read: 255 throughout for an image without annotation, else 254 is 1.

    Returns:
        (b, y, x) in [0, 1]; nan throughout for images without annotation.
    """
    is_unannotated = stored.flatten(1).amin(dim=-1) == UNANNOTATED  # before anything was resampled
    ground_truth = (planes * UNANNOTATED / (UNANNOTATED - 1)).clamp(0, 1)
    return ground_truth.masked_fill(is_unannotated[:, None, None], torch.nan)
