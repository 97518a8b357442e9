"""Negative sounds of a batch: silence, noise, and sounds of other samples."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from soundspot.config.frontend import AudioSpec
from soundspot.config.schema import NegativesConfig
from soundspot.data.transforms.spectrogram import spectrogram
from soundspot.errors import RecipeError
from soundspot.types import Batch
from soundspot.utils.distributed import rank
from soundspot.utils.hash_rng import Key, make_generator, uniform

NUM_NOISES = 64  # noise clips of a run
NOISES_PER_BATCH = 8  # shared by the samples of a batch, so that noise costs the encoder little
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


class NegativeSounds:
    """Silence, and 64 clips of noise of a loudness drawn evenly on a logarithmic scale, as inputs of the audio encoder.

    Args:
        spec: audio front end of the method.
        seed: seed of the run.
        pack: function from spectrograms (n, 1, f, t) to the stored features of a frozen encoder, where batches hold
            these; each clip is encoded once then. None: batches hold spectrograms.
    """

    def __init__(self, spec: AudioSpec, seed: int, pack: Callable[[Tensor], Tensor] | None = None) -> None:
        self.spec, self.seed, self.pack = spec, seed, pack
        self._packed: dict[int, Tensor] = {}

    def inputs(self, numbers: Sequence[int], device: torch.device) -> Float[Tensor, "n ..."]:
        """Return the inputs of clips.

        Args:
            numbers: numbers of the clips, from 0 to 63; -1 is silence.
            device: device of the result.

        Returns:
            (n, 1, f, t) spectrograms, or the stored features in their place.
        """
        if self.pack is None:
            return self._spectrograms(numbers, device)
        for number in numbers:
            if number not in self._packed:
                self._packed[number] = self.pack(self._spectrograms([number], device))
        with torch.autocast(device.type, enabled=False):  # stored features are float16
            return torch.cat([self._packed[number] for number in numbers])

    def _spectrograms(self, numbers: Sequence[int], device: torch.device) -> Float[Tensor, "n 1 f t"]:
        rate = self.spec.rate or 16000
        count = max(1, round(self.spec.seconds * rate))
        waveforms = []
        for number in numbers:
            rng = make_generator(self.seed, Key.NEGATIVE_NOISE, number)
            level = QUIETEST_NOISE ** rng.uniform() if number >= 0 else 0.0
            waveforms.append(torch.from_numpy(rng.standard_normal(count, dtype=np.float32)) * level)
        with torch.autocast(device.type, enabled=False):
            return spectrogram(torch.stack(waveforms).to(device), self.spec, rate)


def add_negatives(batch: Batch, epoch: int, config: NegativesConfig, sounds: NegativeSounds) -> Batch:
    """Add negative sounds to a batch; what is drawn is a function of the seed, the epoch and the batch's samples.

    Args:
        batch: b samples of this process.
        epoch: number of the epoch.
        config: negative sounds of the recipe.
        sounds: silence and noise of the run.

    Returns:
        The batch with `negatives`, and with `negative_audio` where there is silence or noise: one silence, and up to
        eight clips of noise.
    """
    samples, b, rows, numbers = batch.index.cpu().numpy(), len(batch.index), [], list[int]()
    if config.silence:
        numbers.append(-1)
        rows.append(torch.full((b,), b))
    if config.noise:
        chosen = uniform((sounds.seed, epoch, Key.NEGATIVE_NOISE), samples[:NOISES_PER_BATCH])[:, 0] * NUM_NOISES
        rows.append(b + len(numbers) + torch.arange(b) % len(chosen))
        numbers += chosen.astype(int).tolist()
    if config.offscreen:
        rows += _offscreen_rows(batch, samples, (sounds.seed, epoch), config.offscreen)
    device = batch.audio.device
    negative_audio = sounds.inputs(numbers, device) if numbers else None
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
