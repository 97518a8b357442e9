"""Peaks of maps whose audio went through lossy codecs, beside those of the same audio without."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from soundspot.data.media.lossy import CODECS, pass_through_codec
from soundspot.evaluation.engine.disk_tensor import DiskTensor
from soundspot.evaluation.engine.items import SampleIndex, hash_id
from soundspot.evaluation.engine.localizers import BatchedLocalizer, check_map
from soundspot.evaluation.engine.predict import (
    iter_batches,
    make_noises,
    make_silence,
    read_audio_input,
    read_image_input,
)
from soundspot.evaluation.metrics.registry import NEGATIVES, NOISE, OFFSCREEN, SILENCE
from soundspot.types import Audio, AudioVisualDataset
from soundspot.utils.progress import track

MAX_SAMPLES = 50  # whose audio is encoded by each codec
OWN = "own"  # the audio whose source is in the image


@dataclass
class CodecPeaks:
    """Peaks of maps made with audio from lossy codecs.

    Attributes:
        own: peaks of the maps of samples with their own audio.
        negatives: kind of negative audio -> peaks.
        shifts: absolute differences to the peak with the same audio without codec, of own and off-screen audio.
    """

    own: list[float] = field(default_factory=list)
    negatives: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in NEGATIVES})
    shifts: list[float] = field(default_factory=list)

    @property
    def spread(self) -> float | None:
        """95th percentile of the shifts; None where nothing was measured."""
        return float(torch.tensor(self.shifts, dtype=torch.float64).quantile(0.95)) if self.shifts else None


def measure_codecs(
    localizer: BatchedLocalizer, data: AudioVisualDataset, samples: SampleIndex, batch_size: int
) -> CodecPeaks:
    """Predict the maps of up to 50 samples with audio that went through each codec.

    Args:
        localizer: a localizer, from `localizers.as_batched`.
        data: the data set.
        samples: index of the data set; of those with a source in the image the first by the hash of their id are taken.
        batch_size: number of images and maps processed at once.

    Returns:
        The peaks; none where the localizer takes no waveforms.

    Raises:
        InputError: a map is not (h, w) finite numbers.
    """
    peaks = CodecPeaks()
    chosen = sorted((i for i, present in enumerate(samples.present) if present), key=lambda i: hash_id(samples.ids[i]))
    chosen = chosen[:MAX_SAMPLES]
    used = sorted({*chosen, *(samples.offscreen_index[i] for i in chosen)} - {-1})
    if not isinstance(read_audio_input(localizer, data, used[0]), Audio):
        return peaks
    codes, n = DiskTensor(), len(samples.ids)
    extra = dict(enumerate([make_silence(), *make_noises()], n))
    rows = {number: position * (1 + len(CODECS)) for position, number in enumerate([*used, *extra])}
    for number in track(rows, "sounds through codecs"):
        audio = extra[number] if number in extra else read_audio_input(localizer, data, number)
        codes.append(localizer.encode_audio([audio, *(pass_through_codec(audio, codec) for codec in CODECS)]))
    batches = iter_batches(chosen, batch_size)
    for batch in track(batches, "images with coded sounds", len(chosen), weight=len):
        encoded = localizer.encode_images([read_image_input(localizer, data, i) for i in batch])
        kinds = {
            OWN: batch,
            SILENCE: [n] * len(batch),
            NOISE: [n + 1 + samples.noise_index[i] for i in batch],
            OFFSCREEN: [samples.offscreen_index[i] for i in batch],
        }
        for kind, numbers in kinds.items():
            images = torch.tensor([row for row, number in enumerate(numbers) if number >= 0], dtype=torch.int64)
            if not len(images):
                continue
            first = torch.tensor([rows[number] for number in numbers if number >= 0])
            uncoded, *coded = (
                _peaks(localizer, encoded[images], codes[first + version]) for version in range(1 + len(CODECS))
            )
            (peaks.own if kind == OWN else peaks.negatives[kind]).extend(torch.cat(coded).tolist())
            if kind in (OWN, OFFSCREEN):
                peaks.shifts += torch.cat([(values - uncoded).abs() for values in coded]).tolist()
    return peaks


def _peaks(localizer: BatchedLocalizer, encoded_images: Any, encoded_audio: Tensor) -> Float[Tensor, " b"]:
    maps = localizer.maps(encoded_images, encoded_audio)
    return torch.tensor([float(check_map(scores, "a coded sound", "the localizer").max()) for scores in maps])
