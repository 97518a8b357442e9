"""Fit one threshold and the probability of presence, on maps of images with audio that has no source in them.

xavijuanola/vssl_eval (arXiv 2410.01020) compares methods at such a threshold but does not say what it was fitted on,
and takes the peaks of maps at 224 x 224; here they are taken of raw maps, so that no upsampling moves them.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from soundspot.config.presence_calibration import CalibrationKind, PresenceCalibration
from soundspot.config.refinement import Refinement
from soundspot.errors import DataError
from soundspot.evaluation import functional as F
from soundspot.evaluation.engine.codecs import measure_codecs
from soundspot.evaluation.engine.items import hash_id, index_samples
from soundspot.evaluation.engine.localizers import LocalizerInfo, as_batched
from soundspot.evaluation.engine.predict import check_counts, encode_audio, iter_predictions
from soundspot.evaluation.functional.negatives import PeakStatistic
from soundspot.evaluation.metrics.registry import NEGATIVES
from soundspot.types import AudioVisualDataset
from soundspot.utils.progress import track


@dataclass(frozen=True)
class Calibration:
    """A fitted threshold and the data it was fitted on.

    Attributes:
        threshold: least peak of a raw map at which a source counts as present, in the unit of the map.
        rule: statistic of the peaks: `q3`, `q95`, `max` or `max10` (`functional.universal_threshold`).
        dataset: name of the data set.
        num_maps: kind of negative audio -> number of maps.
        false_positive_rate: share of those maps whose peak reaches the threshold.
        true_positive_rate: share of the maps with their own audio, of sources in the image, whose peak reaches it.
        ids: 8-digit hashes of the samples' ids, by which an evaluation detects that it scores samples used for fitting.
        seed: random seed of the off-screen audio and of the choice of noise.
        refinement: refinement of the maps as plain values (`Refinement.as_dict`); empty: none. The threshold holds for
            maps of the same refinement.
        codec_spread: 95th percentile of the absolute difference that lossy codecs (AAC, MP3, Opus) make to a peak, in
            the unit of the map; None: not measured, as for audio that is no waveform.
        num_coded: number of maps of audio that went through a codec; their peaks count in threshold, rates and
            probability.
        presence: probability that the source is in the image by the peak, fitted on the peaks of both rates
            (`PresenceCalibration.as_dict`).
    """

    threshold: float
    rule: str
    dataset: str
    num_maps: dict[str, int]
    false_positive_rate: float
    true_positive_rate: float
    ids: tuple[str, ...]
    seed: int
    refinement: dict[str, Any] = field(default_factory=dict)
    codec_spread: float | None = None
    num_coded: int = 0
    presence: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values for JSON.

        Returns:
            Attribute -> value.
        """
        return asdict(self)

    def format_summary(self) -> str:
        """Format the calibration for the terminal.

        Returns:
            The threshold and its data, both rates in percent, the probability of presence at the threshold, and what
            codecs do if measured: a line each.
        """
        counts = ", ".join(f"{n} with {kind}" for kind, n in self.num_maps.items())
        refinement = Refinement.from_dict(self.refinement)
        refined = f"; maps refined by {refinement}" if refinement else ""
        lines = [
            f"threshold {self.threshold:.4f} ({self.rule} of the peaks over {self.dataset}: {counts}{refined})",
            f"{100 * self.false_positive_rate:.1f} % of those maps reach it, and {100 * self.true_positive_rate:.1f} % "
            "of the maps with the images' own audio",
        ]
        if presence := PresenceCalibration.from_dict(self.presence):
            at_threshold = 100 * presence.probability_of(self.threshold)
            lines.append(f"at the threshold the probability of presence is {at_threshold:.0f} % ({presence.kind})")
        if self.codec_spread is not None:
            lines.append(
                f"lossy codecs (AAC, MP3, Opus) move a peak by up to {self.codec_spread:.3f} in 95 of 100 cases "
                f"({self.num_coded} maps)"
            )
        return "\n".join(lines)


def calibrate(
    localizer: Any,
    data: AudioVisualDataset,
    *,
    rule: PeakStatistic = "q3",
    batch_size: int = 32,
    seed: int = 0,
    presence: CalibrationKind = "logistic",
) -> Calibration:
    """Fit the universal threshold of a localizer and its probability of presence on held-out data.

    The threshold is a statistic of the peaks of raw maps of images with a source, made with silence, noise and
    off-screen audio: as it is, and for up to 50 samples also as it comes back from lossy codecs.

    Args:
        localizer: a callable (image, Audio) -> (h, w) map (or a value with such `scores`), or a `BatchedLocalizer`.
        data: held-out data set.
        rule: `q3`: third quartile of the peaks; `q95`: 95th percentile; `max`: maximum; `max10`: 1.1 times the maximum.
        batch_size: number of images, audio clips and maps processed at once.
        seed: random seed of the off-screen audio and of the choice of noise.
        presence: form of the probability: `logistic` (Platt scaling) or `isotonic`. Sources in the image and negatives
            count one half each.

    Returns:
        The threshold, its rates, the probability of presence, and the data it was fitted on.

    Raises:
        DataError: no sample has a source in the image.
        RecipeError: `batch_size` is below 1.
        InputError: the localizer is of another type, or a map is not (h, w) finite numbers.
    """
    check_counts(batch_size)
    samples = index_samples(data, seed)
    if not any(samples.present):
        raise DataError(f"{data.name}: no sample has its source in the image; a threshold cannot be fitted on it.")
    own: list[float] = []
    peaks: dict[str, list[float]] = {kind: [] for kind in NEGATIVES}
    batched = as_batched(localizer, data)
    audio = encode_audio(batched, data, samples, batch_size)
    predictions = iter_predictions(batched, data, samples, audio, batch_size)
    for batch in track(predictions, "fitting", len(data), weight=lambda batch: len(batch.indices)):
        own += [float(m.max()) for i, m in zip(batch.indices, batch.maps, strict=True) if samples.present[i]]
        for kind, maps in batch.negatives.items():
            peaks[kind] += [float(m.max()) for m in maps.values()]
    counts = {kind: len(values) for kind, values in peaks.items()}
    coded = measure_codecs(batched, data, samples, batch_size)
    own += coded.own
    negative_peaks = torch.tensor(
        [peak for kind in NEGATIVES for peak in (*peaks[kind], *coded.negatives[kind])], dtype=torch.float64
    )
    threshold = F.universal_threshold(negative_peaks, rule)
    false_positive_rate, true_positive_rate = (
        float((values >= threshold).double().mean()) for values in (negative_peaks, torch.tensor(own))
    )
    return Calibration(
        float(threshold),
        rule,
        data.name,
        counts,
        false_positive_rate,
        true_positive_rate,
        tuple(map(hash_id, samples.ids)),
        seed,
        LocalizerInfo.of(localizer).refinement.as_dict(),
        coded.spread,
        len(coded.own) + sum(map(len, coded.negatives.values())),
        F.fit_presence(torch.tensor(own, dtype=torch.float64), negative_peaks, presence).as_dict(),
    )
