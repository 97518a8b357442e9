"""Predict the maps of all samples of a data set, and of each image with silence, noise and off-screen sound."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from soundspot.data.media.audio import mix_audio
from soundspot.errors import RecipeError
from soundspot.evaluation.engine.disk_tensor import DiskTensor
from soundspot.evaluation.engine.distributed import SINGLE_PROCESS, RankShard
from soundspot.evaluation.engine.items import NUM_NOISES, SampleIndex
from soundspot.evaluation.engine.localizers import (
    BatchedLocalizer,
    EncodesAndEmbeds,
    HasEmbeddings,
    HasSaliency,
    ReadsInputs,
    SeparatesSources,
    check_map,
)
from soundspot.evaluation.metrics.registry import NEGATIVES, NOISE, OFFSCREEN, SILENCE
from soundspot.types import Audio, AudioVisualDataset
from soundspot.utils.hash_rng import make_generator

T = TypeVar("T")


@dataclass
class PredictionBatch:
    """Predictions for a batch of samples. Maps are raw, float32, each (h, w).

    Attributes:
        indices: index of each of b samples.
        maps: map of each of the b samples with its own audio; an arbitrary map where it is missing.
        negatives: kind of negative audio -> index of the sample -> map.
        saliency: map without audio of each of the b samples; None where the localizer has none.
        missing: indices of samples without a prediction, which counts as a failure.
        mixtures: image index -> a map for each source that is audible in the mixture of all sources of that image.
        image_embeddings: (g, d) embeddings of the images whose first batch this is; None where there are none.
    """

    indices: list[int]
    maps: list[Tensor]
    negatives: dict[str, dict[int, Tensor]] = field(default_factory=dict)
    saliency: list[Tensor] | None = None
    missing: frozenset[int] = frozenset()
    mixtures: dict[int, list[Tensor]] = field(default_factory=dict)
    image_embeddings: Tensor | None = None


@dataclass(frozen=True)
class EncodedAudio:
    """All audio of a data set, encoded once.

    Attributes:
        codes: encoded audio in the order of encoding: of the samples, then of silence and of each noise.
        rows: (n + 1 + NUM_NOISES,) row in `codes` of each sample's audio, then of silence and of each noise; (n,) where
            these are not encoded.
        embeddings: (n, d) audio embeddings in the order of `codes`; empty where the localizer has none.
        mixtures: image index -> row of its mixture in `mixture_codes`.
        mixture_codes: encoded mixtures of all sources of an image.
        silent_indices: indices of the samples whose audio is silent.
        takes_waveforms: whether silence and noise are encoded.
    """

    codes: DiskTensor
    rows: Int[Tensor, " m"]
    embeddings: DiskTensor
    mixtures: dict[int, int]
    mixture_codes: DiskTensor
    silent_indices: list[int]
    takes_waveforms: bool

    def lookup(self, indices: Int[Tensor, " b"]) -> Tensor:
        """Return the encoded audio of samples, of silence or of noise.

        Args:
            indices: (b,) index of the sample; n for silence, n + 1 + i for noise i.

        Returns:
            (b, ...) encoded audio.
        """
        return self.codes[self.rows[indices]]


def check_counts(batch_size: int = 1, bootstraps: int = 0) -> None:
    """Check a batch size and a number of bootstrap draws.

    Args:
        batch_size: number of samples in a batch, at least 1.
        bootstraps: number of bootstrap draws, at least 0.

    Raises:
        RecipeError: a number is below its minimum.
    """
    if batch_size < 1 or bootstraps < 0:
        raise RecipeError(
            f"found batch_size {batch_size} and bootstraps {bootstraps}, expected at least 1 and 0. Correct them."
        )


def make_silence(seconds: float = 10.0, rate: int = 16000) -> Audio:
    """Return silent audio, with which the row `muted` of a report is predicted.

    Args:
        seconds: duration in seconds.
        rate: sample rate in Hz.

    Returns:
        round(seconds * rate) zeros.
    """
    return Audio(torch.zeros(round(seconds * rate)), rate)


def make_noises(seconds: float = 10.0, rate: int = 16000) -> list[Audio]:
    """Return `NUM_NOISES` (8) clips of Gaussian white noise of unit variance, as in xavijuanola/vssl_eval.

    Args:
        seconds: duration of each clip in seconds.
        rate: sample rate in Hz.

    Returns:
        The clips, from a fixed seed; their samples are not limited to [-1, 1].
    """
    noises = make_generator("noise", 0).standard_normal((NUM_NOISES, round(seconds * rate)), dtype=np.float32)
    return [Audio(torch.from_numpy(noise), rate) for noise in noises]


def encode_audio(
    localizer: BatchedLocalizer,
    data: AudioVisualDataset,
    samples: SampleIndex,
    batch_size: int,
    shard: RankShard = SINGLE_PROCESS,
) -> EncodedAudio:
    """Encode the audio of each sample once, each process its shard.

    Args:
        localizer: a localizer, from `localizers.as_batched`.
        data: the data set.
        samples: index of the data set.
        batch_size: number of audio clips encoded at once; the clips of an image are not divided.
        shard: shard of this process.

    Returns:
        Encoded audio of all samples, in every process.
    """
    takes_waveforms = not isinstance(localizer, ReadsInputs) or localizer.takes_waveforms
    codes, embeddings, mixture_codes, silent = DiskTensor(), DiskTensor(), DiskTensor(), []
    batches = [*pack_groups(samples.samples_by_group, batch_size)]
    for batch in shard.select(batches):
        audio = {i: read_audio_input(localizer, data, i) for i in batch}
        silent += [i for i, clip in audio.items() if isinstance(clip, Audio) and clip.is_silent]
        encoded, embedded = _encode_and_embed_audio(localizer, [*audio.values()])
        codes.append(encoded)
        if embedded is not None:
            embeddings.append(embedded)
        if takes_waveforms and isinstance(localizer, SeparatesSources):
            groups = dict.fromkeys(samples.group_index[batch].tolist())
            sources = [samples.sources_by_group[group] for group in groups if group in samples.sources_by_group]
            if sources:
                mixtures = [mix_audio([audio[i] for i in members]) for members in sources]
                mixture_codes.append(localizer.encode_audio(mixtures))
    silent = [i for of_rank in shard.all_gather(silent) for i in of_rank]
    codes, embeddings, mixture_codes = (all_gather_rows(rows, shard) for rows in (codes, embeddings, mixture_codes))
    rows = torch.tensor([i for batch in batches for i in batch], dtype=torch.int64).argsort()
    if takes_waveforms:
        codes.append(localizer.encode_audio([make_silence(), *make_noises()]))
    rows = torch.cat([rows, torch.arange(len(rows), len(codes))])
    mixture_rows = {group: row for row, group in enumerate(samples.sources_by_group)} if len(mixture_codes) else {}
    return EncodedAudio(codes, rows, embeddings, mixture_rows, mixture_codes, silent, takes_waveforms)


def iter_predictions(
    localizer: BatchedLocalizer,
    data: AudioVisualDataset,
    samples: SampleIndex,
    audio: EncodedAudio,
    batch_size: int,
    negatives: Sequence[str] = NEGATIVES,
    shard: RankShard = SINGLE_PROCESS,
) -> Iterator[PredictionBatch]:
    """Predict the maps of all samples of a shard, image by image.

    Args:
        localizer: a localizer, from `localizers.as_batched`.
        data: the data set.
        samples: index of the data set.
        audio: encoded audio of all samples.
        batch_size: number of images, audio clips and maps processed at once.
        negatives: kinds of negative audio that each image with a source is also localized with: of `silence`, `noise`,
            `offscreen`; the first two are left out where the localizer takes no waveforms.
        shard: shard of this process.

    Yields:
        Predictions for at most `batch_size` samples, or for all samples of one image where they are more.

    Raises:
        InputError: a map is not (h, w) finite numbers.
    """
    n = len(samples.ids)
    rows = {
        SILENCE: [n] * n,
        NOISE: [n + 1 + noise for noise in samples.noise_index],
        OFFSCREEN: samples.offscreen_index,
    }
    negative_rows = {k: torch.tensor(rows[k]) for k in negatives if audio.takes_waveforms or k == OFFSCREEN}
    present = torch.tensor(samples.present)
    for groups in shard.select([*iter_batches(range(len(samples.group_first)), batch_size)]):
        images = [read_image_input(localizer, data, samples.group_first[group]) for group in groups]
        encoded, embeddings = _encode_and_embed_images(localizer, images)
        saliency = localizer.saliency(encoded) if isinstance(localizer, HasSaliency) else None
        mixtures = _predict_mixtures(localizer, encoded, groups, audio, samples)
        members = [[(row, i) for i in samples.samples_by_group[group]] for row, group in enumerate(groups)]
        for pairs in pack_groups(members, batch_size):
            rows_of_images, own = (torch.tensor(column) for column in zip(*pairs, strict=True))
            batch = PredictionBatch(
                own.tolist(), _check_maps(localizer.maps(encoded[rows_of_images], audio.lookup(own)), own, samples)
            )
            batch.image_embeddings, embeddings = embeddings, None
            if saliency is not None:
                batch.saliency = _check_maps(saliency[rows_of_images], own, samples)
            in_batch = {groups[row] for row in rows_of_images.tolist()}
            batch.mixtures = {group: maps for group, maps in mixtures.items() if group in in_batch}
            for kind, rows_of_audio in negative_rows.items():
                has_audio = present[own] & (rows_of_audio[own] >= 0)
                indices, batch.negatives[kind] = own[has_audio], {}
                if len(indices):
                    maps = localizer.maps(encoded[rows_of_images[has_audio]], audio.lookup(rows_of_audio[indices]))
                    checked = _check_maps(maps, indices, samples)
                    batch.negatives[kind] = dict(zip(indices.tolist(), checked, strict=True))
            yield batch


def _encode_and_embed_images(localizer: BatchedLocalizer, images: list[Any]) -> tuple[Any, Tensor | None]:
    """Return encoded images, and their embeddings where the localizer has some."""
    if isinstance(localizer, EncodesAndEmbeds):
        return localizer.encode_and_embed_images(images)
    embeddings = localizer.embed_images(images) if isinstance(localizer, HasEmbeddings) else None
    return localizer.encode_images(images), embeddings


def _encode_and_embed_audio(localizer: BatchedLocalizer, audio: list[Any]) -> tuple[Tensor, Tensor | None]:
    """Return encoded audio, and its embeddings where the localizer has some."""
    if isinstance(localizer, EncodesAndEmbeds):
        return localizer.encode_and_embed_audio(audio)
    embeddings = localizer.embed_audio(audio) if isinstance(localizer, HasEmbeddings) else None
    return localizer.encode_audio(audio), embeddings


def _predict_mixtures(
    localizer: BatchedLocalizer, encoded_images: Any, groups: Sequence[int], audio: EncodedAudio, samples: SampleIndex
) -> dict[int, list[Tensor]]:
    """Predict one map per audible source of each image that has a mixture of its sounds.

    Returns:
        Group -> (h, w) maps, one for each audible source.
    """
    mixed = [(row, group) for row, group in enumerate(groups) if group in audio.mixtures]
    if not mixed or not isinstance(localizer, SeparatesSources):
        return {}
    rows = torch.tensor([row for row, _ in mixed])
    codes = audio.mixture_codes[torch.tensor([audio.mixtures[group] for _, group in mixed])]
    maps, is_audible = localizer.source_maps(encoded_images[rows], codes)
    return {
        group: [_check_map(m, samples.group_first[group], samples) for m in source_maps[audible.bool()]]
        for (_, group), source_maps, audible in zip(mixed, maps, is_audible, strict=True)
    }


def read_image_input(localizer: Any, data: AudioVisualDataset, index: int) -> Any:
    """Read the image of a sample as a localizer takes it.

    Args:
        localizer: a localizer, from `localizers.as_batched`.
        data: the data set.
        index: index of the sample.

    Returns:
        The image, or what `read_image` of the localizer returns.
    """
    return localizer.read_image(data, index) if isinstance(localizer, ReadsInputs) else data.read_image(index)


def read_audio_input(localizer: Any, data: AudioVisualDataset, index: int) -> Any:
    """Read the audio of a sample as a localizer takes it.

    Args:
        localizer: a localizer, from `localizers.as_batched`.
        data: the data set.
        index: index of the sample.

    Returns:
        The audio, or what `read_audio` of the localizer returns.
    """
    return localizer.read_audio(data, index) if isinstance(localizer, ReadsInputs) else data.read_audio(index)


def _check_maps(maps: Iterable[Any], indices: Int[Tensor, " b"], samples: SampleIndex) -> list[Tensor]:
    return [_check_map(scores, i, samples) for scores, i in zip(maps, indices.tolist(), strict=True)]


def _check_map(scores: Any, index: int, samples: SampleIndex) -> Float[Tensor, "h w"]:
    return check_map(scores, samples.ids[index], "the localizer")


def pack_groups(groups: Iterable[list[T]], size: int) -> Iterator[list[T]]:
    """Pack whole groups into batches of at most `size` items; a larger group is a batch of its own.

    Args:
        groups: lists of items.
        size: largest number of items in a batch of several groups.

    Yields:
        Lists of items, in order; the last may be shorter.
    """
    batch: list[T] = []
    for group in groups:
        if batch and len(batch) + len(group) > size:
            yield batch
            batch = []
        batch = batch + group
    if batch:
        yield batch


def all_gather_rows(rows: DiskTensor, shard: RankShard) -> DiskTensor:
    """Gather the rows of all processes in the order of their ranks; blocks until all processes call it.

    Args:
        rows: rows of this process.
        shard: shard of this process.

    Returns:
        All rows, in every process; `rows` itself where there is a single process.
    """
    if shard.world_size == 1:
        return rows
    gathered = DiskTensor()
    for block in shard.iter_gathered(rows.iter_blocks()):
        gathered.append(block)
    gathered.device = rows.device
    return gathered


def iter_batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Divide a sequence into batches.

    Args:
        items: sequence to divide.
        size: number of items in a batch.

    Yields:
        Slices of `items` in order; the last may be shorter.
    """
    return (items[start : start + size] for start in range(0, len(items), size))
