"""Metrics of whether: detection of present sources, their probability, and the peaks of maps."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soundspot.evaluation import functional as F
from soundspot.evaluation.metrics.bootstrap import GroupedMean, RankStatistic
from soundspot.evaluation.metrics.inputs import MetricInputs
from soundspot.evaluation.metrics.registry import ADAPTIVE, NEGATIVES, metric_inputs, register_metric

AGAINST_NEGATIVES = {
    f"_{kind}": (f", {kind}", f"the same image with {words}, by peak")
    for kind, words in zip(NEGATIVES, ("silence", "noise", "off-screen audio"), strict=True)
}


class Detections(NamedTuple):
    """Samples with and without a source in the image.

    Attributes:
        confidence: (n,) confidence that the map shows a source.
        iou: (n,) IoU of the map.
        present: (n,) True where the source is in the image.
        groups: (n,) index of each sample's image.
        published: True: AP and max-F1 by the rules of the released SLAVC code; False: by the corrected rules.
    """

    confidence: Tensor
    iou: Tensor
    present: Tensor
    groups: Tensor
    published: bool

    def curve_statistic(self, statistic: Callable[..., Tensor]) -> RankStatistic:
        """Bind a detection score to these samples.

        Args:
            statistic: `functional.average_precision` or `functional.max_f1`.

        Returns:
            The score as a function of how often each sample counts.
        """
        confidence = self.confidence if self.published else round_significant(self.confidence)
        _, iou, present, groups, published = self
        return RankStatistic(lambda counts: statistic(confidence, iou, present, published, counts=counts), groups)


class PresenceSamples(NamedTuple):
    """Maps of present and of absent sources.

    Attributes:
        values: (n,) confidence, peak or probability of each map.
        present: (n,) True where the source is in the image.
        groups: (n,) index of each map's image.
    """

    values: Tensor
    present: Tensor
    groups: Tensor


@metric_inputs("detections", ADAPTIVE)
def detections(inputs: MetricInputs) -> Iterator[tuple[str, Detections]]:
    """Yield the samples that are scored or have no source, under each threshold rule.

    A sample without a map gets the worst confidence: below all others with a source, above all others without.

    Args:
        inputs: numbers per sample of a row of a report.

    Yields:
        Suffix of the metric key ("" or "_adaptive") and the samples; nothing where all have a source, or none has.
    """
    counted = inputs.is_scored | ~inputs.present
    present = inputs.present[counted]
    if bool(present.all()) or not bool(present.any()):
        return
    confidence = inputs.free_column("confidence")
    known = confidence[~confidence.isnan()]
    low, high = (float(end) for end in torch.aminmax(known)) if len(known) else (0.0, 0.0)
    worst = torch.where(inputs.present, low - 1, high + 1).to(confidence.dtype)  # no map: wrong, whatever it was
    confidence = torch.where(confidence.isnan(), worst, confidence)[counted]
    for suffix in inputs.suffixes:
        iou, published = inputs.columns[f"iou{suffix}"][counted], inputs.protocol.detection == "published"
        yield suffix, Detections(confidence, iou, present, inputs.groups[counted], published)


@metric_inputs("presence", {"": ("", "one without a source, by confidence")} | AGAINST_NEGATIVES)
def presence_samples(inputs: MetricInputs) -> Iterator[tuple[str, PresenceSamples]]:
    """Yield maps of present sources and of absent ones: other samples, and the same images with negative audio.

    Args:
        inputs: numbers per sample of a row of a report.

    Yields:
        The empty suffix and the confidences of `detections`, where there are samples without a source; then for each
        kind of negative audio its suffix, such as "_offscreen", and the peaks of the images that were asked with it.
        An image without a map is wrong with both sounds.
    """
    for _, samples in [*detections(inputs)][:1]:  # threshold rules do not change the confidence
        yield "", PresenceSamples(samples.confidence, samples.present, samples.groups)
    own = inputs.free_column("peak_own")
    for kind in NEGATIVES:
        negative = inputs.free_column(f"peak_{kind}")
        known = ~negative.isnan()
        chosen = inputs.is_scored & (known | own.isnan())  # no map: wrong with either sound
        if bool(known.any()) and bool(chosen.any()):
            low, high = (float(end) for end in torch.aminmax(torch.cat([own, negative]).nan_to_num()))
            pairs = own.where(~own.isnan(), low - 1), negative.where(known, high + 1)
            peaks, groups = torch.cat([peak[chosen] for peak in pairs]), inputs.groups[chosen].repeat(2)
            is_own = torch.arange(len(peaks)) < len(peaks) // 2
            yield f"_{kind}", PresenceSamples(peaks, is_own, groups)


@metric_inputs("own_peaks")
def own_peaks(inputs: MetricInputs) -> Iterator[tuple[str, GroupedMean]]:
    """Yield the peaks of the scored samples with their own audio.

    Args:
        inputs: numbers per sample of a row of a report.

    Yields:
        The empty suffix and the mean of the peaks; nothing where they are unknown.
    """
    if mean := inputs.mean_of_known(inputs.free_column("peak_own")):
        yield "", mean


@metric_inputs("negative_peaks", {f"_{kind}": (f", {kind}", kind) for kind in NEGATIVES})
def negative_peaks(inputs: MetricInputs) -> Iterator[tuple[str, GroupedMean]]:
    """Yield the peaks of the scored samples with each kind of negative audio.

    Args:
        inputs: numbers per sample of a row of a report.

    Yields:
        Suffix of the metric key, such as "_silence", and the mean of the peaks.
    """
    for kind in NEGATIVES:
        if mean := inputs.mean_of_known(inputs.free_column(f"peak_{kind}")):
            yield f"_{kind}", mean


@metric_inputs("probabilities")
def presence_probabilities(inputs: MetricInputs) -> Iterator[tuple[str, PresenceSamples]]:
    """Yield the probability of presence of each scored sample, of samples without a source, and of all negatives.

    Args:
        inputs: numbers per sample of a row of a report.

    Yields:
        The empty suffix and the probabilities; nothing without a calibration, or where all sources are present or
        absent.
    """
    if inputs.calibration is None:
        return
    own = inputs.free_column("peak_own").where(inputs.is_scored | ~inputs.present, torch.nan)
    peaks = [own, *(inputs.free_column(f"peak_{kind}").where(inputs.is_scored, torch.nan) for kind in NEGATIVES)]
    present = torch.cat([inputs.present, torch.zeros(len(NEGATIVES) * len(own), dtype=torch.bool)])
    probabilities = inputs.calibration(torch.cat(peaks))
    known = ~probabilities.isnan()
    if bool(present[known].any()) and not bool(present[known].all()):
        yield "", PresenceSamples(probabilities[known], present[known], inputs.groups.repeat(len(peaks))[known])


def round_significant(values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Round values to 20 significant bits, so that a model's rounding does not rank maps that are alike.

    Args:
        values: (n,) values.

    Returns:
        (n,) rounded values.
    """
    mantissa, exponent = torch.frexp(values)
    return torch.ldexp((mantissa * 2**20).round() / 2**20, exponent)


def compute_auroc(
    values: Float[Tensor, " n"], is_positive: Bool[Tensor, " n"], counts: Int[Tensor, "d n"]
) -> Float[Tensor, " d"]:
    """Compute AUROC: the probability that a positive sample's value is above a negative sample's, ties counting half.

    Args:
        values: (n,) value of each sample.
        is_positive: (n,) class of each sample.
        counts: (d, n) number of times each sample counts in each of d draws.

    Returns:
        (d,) float64; nan for a draw without positive or without negative samples.
    """
    levels, level = values.unique(return_inverse=True)
    positives, negatives = (
        torch.zeros(len(counts), len(levels), dtype=torch.float64).index_add_(1, level[side], counts[:, side].double())
        for side in (is_positive, ~is_positive)
    )
    below = negatives.cumsum(dim=1) - 0.5 * negatives
    return (positives * below).sum(dim=1) / (positives.sum(dim=1) * negatives.sum(dim=1))


@register_metric("presence_auroc", "Presence", "AUROC", "a map of a present source beats {}", "presence", {"": 7})
def presence_auroc(samples: PresenceSamples) -> RankStatistic:
    """Compute AUROC: the probability that a map of a present source has the higher value than one of an absent source.

    Args:
        samples: confidences or peaks of maps of present and of absent sources.

    Returns:
        The score as a function of how often each map counts.
    """
    values = round_significant(samples.values)
    return RankStatistic(lambda counts: compute_auroc(values, samples.present, counts), samples.groups)


@register_metric(
    *("presence_ece", "Presence", "ECE", "expected calibration error of the probability of presence", "probabilities"),
    higher_is_better=False,
)
def presence_ece(samples: PresenceSamples) -> RankStatistic:
    """Compute the expected calibration error of the probability of presence, present and absent as one half each.

    Args:
        samples: probabilities of maps of present and of absent sources.

    Returns:
        The score as a function of how often each map counts.
    """
    values, present, groups = samples
    return RankStatistic(
        lambda counts: F.expected_calibration_error(values, present, F.balanced_weights(present, counts)), groups
    )


@register_metric("ap", "Presence", "AP", "average precision of detecting sources, {}", "detections", {"": 5})
def ap(samples: Detections) -> RankStatistic:
    """Compute the average precision of detecting sources; a source with IoU below 0.5 is a false positive.

    Args:
        samples: samples with and without a source in the image.

    Returns:
        The score as a function of how often each sample counts.
    """
    return samples.curve_statistic(F.average_precision)


@register_metric("max_f1", "Presence", "max F1", "best F1 over confidence thresholds, {}", "detections", {"": 14})
def max_f1(samples: Detections) -> RankStatistic:
    """Compute the highest F1 over confidence thresholds: all, or every s-th under published rules.

    A source with IoU below 0.5 is a false positive.

    Args:
        samples: samples with and without a source in the image.

    Returns:
        The score as a function of how often each sample counts.
    """
    return samples.curve_statistic(F.max_f1)


@register_metric(
    "loc_acc", "Presence", "LocAcc", "present sources with IoU of at least one half, {}", "detections", {"": 15}
)
def loc_acc(samples: Detections) -> GroupedMean:
    """Compute LocAcc, the share of present sources with IoU >= 0.5.

    Args:
        samples: samples with and without a source in the image; the latter are left out.

    Returns:
        The mean of successes (1 or 0) over samples with a source.
    """
    success = samples.iou[samples.present] >= F.IOU_THRESHOLD
    return GroupedMean(success.double(), samples.groups[samples.present])


@register_metric(
    *("peak_own", "Presence", "mean peak", "mean highest raw score with the own audio", "own_peaks"), is_fraction=False
)
def peak_own(mean: GroupedMean) -> GroupedMean:
    """Return the mean peak of the maps with their own audio: their magnitude, in the unit of the maps.

    Args:
        mean: mean of the peaks.

    Returns:
        The mean over samples.
    """
    return mean


@register_metric(
    *("peak", "Presence", "mean peak", "mean highest raw score with {}", "negative_peaks"),
    is_fraction=False,
    higher_is_better=False,
)
def peak(mean: GroupedMean) -> GroupedMean:
    """Return the mean peak of the maps with one kind of negative audio, in the unit of the maps.

    Args:
        mean: mean of the peaks.

    Returns:
        The mean over samples.
    """
    return mean
