"""Negative sounds of a batch: silence, noise, and sounds of other samples."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from soundspot.config.frontend import AudioSpec
from soundspot.config.schema import NegativesConfig
from soundspot.data.transforms.spectrogram import spectrogram
from soundspot.errors import RecipeError
from soundspot.types import Batch
from soundspot.utils.distributed import rank
from soundspot.utils.hash_rng import Key, make_generator, uniform

NUM_NOISES = 8  # noise clips of a batch, shared by its samples, so that noise costs the encoder little
QUIETEST_NOISE = 1e-3  # standard deviation; the loudest has 1


def check_negatives(config: NegativesConfig, spec: AudioSpec) -> None:
    """Check that a front end has waveforms, of which silence and noise can be made.

    Args:
        config: negative sounds of the recipe.
        spec: audio front end of the method.

    Raises:
        RecipeError: sounds are embeddings of another network, and silence or noise is asked for.
    """
    if spec.embedding_dim and (config.silence or config.noise):
        raise RecipeError(
            "negatives: found silence or noise where sounds are embeddings of another network, expected waveforms: "
            "leave `offscreen` alone, or train an audio encoder"
        )


def add_negatives(
    batch: Batch,
    epoch: int,
    config: NegativesConfig,
    spec: AudioSpec,
    seed: int,
    pack: Callable[[Tensor], Tensor] | None = None,
) -> Batch:
    """Add negative sounds to a batch; what is drawn depends on (seed, epoch, sample) alone.

    Args:
        batch: b samples of this process.
        epoch: number of the epoch.
        config: negative sounds of the recipe.
        spec: audio front end of the method.
        seed: seed of the run.
        pack: function from spectrograms (n, 1, f, t) to what the batch has in their place, where that is stored
            features; None: it has spectrograms.

    Returns:
        The batch with `negatives`, and with `negative_audio` where there is silence or noise: one silence, and noises
        of the first eight samples, of a loudness drawn evenly on a logarithmic scale.
    """
    samples, b, rows, waveforms = batch.index.cpu().numpy(), len(batch.index), [], []
    count = max(1, round(spec.seconds * (spec.rate or 16000)))
    if config.silence:
        waveforms.append(torch.zeros(count))
        rows.append(torch.full((b,), b))
    if config.noise:
        first, num_noises = b + len(waveforms), min(b, NUM_NOISES)
        for sample in samples[:num_noises].tolist():
            rng = make_generator(seed, epoch, Key.NEGATIVE_NOISE, sample)
            level = QUIETEST_NOISE ** rng.uniform()
            waveforms.append(torch.from_numpy(rng.standard_normal(count, dtype=np.float32)) * level)
        rows.append(first + torch.arange(b) % num_noises)
    if config.offscreen:
        rows += _offscreen_rows(batch, samples, (seed, epoch), config.offscreen)
    device = batch.audio.device
    negative_audio = None
    if waveforms:
        with torch.autocast(device.type, enabled=False):
            negative_audio = spectrogram(torch.stack(waveforms).to(device), spec, spec.rate or 16000)
        negative_audio = negative_audio if pack is None else pack(negative_audio)
    return replace(batch, negative_audio=negative_audio, negatives=torch.stack(rows).to(device))


def _offscreen_rows(
    batch: Batch, samples: NDArray[np.int64], key: tuple[int, int], count: int
) -> list[Int[Tensor, " b"]]:
    """Draw other samples of the process for each, none that is a likely false negative; -1 where there are no more."""
    b = len(samples)
    excluded = torch.eye(b, dtype=torch.bool)
    if batch.false_negatives is not None:
        own = slice(rank() * b, (rank() + 1) * b)
        excluded |= batch.false_negatives[own, own].cpu()
    draws = torch.from_numpy(uniform((*key, Key.NEGATIVE_OFFSCREEN), samples.tolist(), b)).masked_fill(excluded, -1)
    highest, rows = draws.topk(min(count, b), dim=1)
    return [*rows.masked_fill(highest < 0, -1).T]
