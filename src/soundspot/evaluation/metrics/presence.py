"""Metrics of whether: detection of present sources, and negatives (silence, noise, off-screen sound)."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soundspot.evaluation import functional as F
from soundspot.evaluation.metrics.bootstrap import GroupedMean, RankStatistic
from soundspot.evaluation.metrics.inputs import MetricInputs
from soundspot.evaluation.metrics.registry import ADAPTIVE, NEGATIVES, metric_inputs, register_metric
from soundspot.evaluation.protocols.presets import Protocol


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
        confidence = self.confidence if self.published else self.rounded_confidence
        _, iou, present, groups, published = self
        return RankStatistic(lambda counts: statistic(confidence, iou, present, published, counts=counts), groups)

    @property
    def rounded_confidence(self) -> Float[Tensor, " n"]:
        """(n,) confidence in 20 significant bits, so that a model's rounding does not rank maps that are alike."""
        mantissa, exponent = torch.frexp(self.confidence)
        return torch.ldexp((mantissa * 2**20).round() / 2**20, exponent)


class NegativeSamples(NamedTuple):
    """Scored samples at the universal threshold.

    Attributes:
        iou: (n,) IoU with the sample's own audio; 0 where unknown.
        predicted_area: kind of negative audio -> (n,) predicted area, as a fraction of the image.
        groups: (n,) index of each sample's image.
        protocol: the scoring rules.
    """

    iou: Tensor
    predicted_area: dict[str, Tensor]
    groups: Tensor
    protocol: Protocol


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


@metric_inputs("confidence")
def confidences(inputs: MetricInputs) -> Iterator[tuple[str, Detections]]:
    """Yield the samples of `detections` once, as threshold rules do not change their confidence.

    Args:
        inputs: numbers per sample of a row of a report.

    Yields:
        The empty suffix and the samples; nothing where all have a source, or none has.
    """
    yield from [*detections(inputs)][:1]


@metric_inputs("negatives")
def negative_samples(inputs: MetricInputs) -> Iterator[tuple[str, NegativeSamples]]:
    """Yield the scored samples with predicted areas under every kind of negative audio that the row has.

    Args:
        inputs: numbers per sample of a row of a report.

    Yields:
        The empty suffix and the samples whose predicted area is known for all of these kinds; nothing where there are
        none, such as without a universal threshold.
    """
    areas = {kind: inputs.free_column(f"pia_{kind}") for kind in NEGATIVES}
    areas = {kind: area for kind, area in areas.items() if not bool(area.isnan().all())}
    chosen = inputs.is_scored.clone()
    for area in areas.values():  # the same samples for all kinds: not every image has an off-screen sound
        chosen &= ~area.isnan()
    if areas and bool(chosen.any()):
        iou = inputs.free_column("iou_universal")[chosen].nan_to_num()  # nan counts as 0, as published
        chosen_areas = {kind: area[chosen] for kind, area in areas.items()}
        yield "", NegativeSamples(iou, chosen_areas, inputs.groups[chosen], inputs.protocol)


@metric_inputs("each_negative", {f"_{kind}": (f", {kind}", kind) for kind in NEGATIVES})
def each_negative(inputs: MetricInputs) -> Iterator[tuple[str, NegativeSamples]]:
    """Yield the samples of `negative_samples` with one kind of negative audio at a time.

    Args:
        inputs: numbers per sample of a row of a report.

    Yields:
        Suffix of the metric key, such as "_silence", and the samples with the predicted area of that kind alone.
    """
    for _, samples in negative_samples(inputs):
        for kind, area in samples.predicted_area.items():
            yield f"_{kind}", samples._replace(predicted_area={kind: area})


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


@register_metric(
    "presence_auroc", "Presence", "AUROC", "maps of present sources are more confident", "confidence", {"": 7}
)
def presence_auroc(samples: Detections) -> RankStatistic:
    """Compute AUROC of confidence: the probability that the map of a present source is the more confident.

    Args:
        samples: samples with and without a source in the image.

    Returns:
        The score as a function of how often each sample counts.
    """
    confidence = samples.rounded_confidence
    return RankStatistic(lambda counts: compute_auroc(confidence, samples.present, counts), samples.groups)


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
    "mean_iou_universal", "Negatives", "mean IoU, universal", "mean IoU at one threshold for all maps", "negatives"
)
def mean_iou_universal(samples: NegativeSamples) -> GroupedMean:
    """Compute the mean IoU at the universal threshold.

    Args:
        samples: scored samples at the universal threshold.

    Returns:
        The mean over samples.
    """
    return GroupedMean(samples.iou, samples.groups)


@register_metric(
    *(
        "auc_universal",
        "Negatives",
        "AUC, universal",
        "success rate averaged over IoU thresholds, at that threshold",
    ),
    "negatives",
)
def auc_universal(samples: NegativeSamples) -> GroupedMean:
    """Compute the area under the success rate over IoU thresholds 0, 0.05, ... 1, at the universal threshold of maps.

    Args:
        samples: scored samples at the universal threshold.

    Returns:
        The mean of the areas of the samples.
    """
    return GroupedMean(F.auc_terms(samples.iou, samples.protocol.auc_grid), samples.groups)


@register_metric("pia", "Negatives", "pIA", "predicted area with {}", "each_negative", higher_is_better=False)
def pia(samples: NegativeSamples) -> GroupedMean:
    """Compute the mean predicted area (pIA) under one kind of negative audio.

    Args:
        samples: scored samples with the predicted area of one kind.

    Returns:
        The mean over samples, a fraction of the image.
    """
    [area] = samples.predicted_area.values()
    return GroupedMean(area, samples.groups)


@register_metric("aucn", "Negatives", "AUC-N", "samples with little predicted area when asked with {}", "each_negative")
def aucn(samples: NegativeSamples) -> GroupedMean:
    """Compute AUC-N under one kind of negative audio: the area under the share of samples with pIA <= threshold.

    Args:
        samples: scored samples with the predicted area of one kind.

    Returns:
        The mean of the areas of the samples, over thresholds 0, 0.05, ... 1.
    """
    [area] = samples.predicted_area.values()
    return GroupedMean(F.auc_n_terms(area, samples.protocol.auc_grid), samples.groups)


def _balance(samples: NegativeSamples, own: Tensor, quiet: list[Tensor]) -> GroupedMean | None:
    """Return the harmonic mean of scores with the own audio and with all three negatives; None if one lacks."""
    if set(samples.predicted_area) != set(NEGATIVES):
        return None
    values = torch.stack([own, torch.stack(quiet, dim=1).mean(dim=1)], dim=1)
    return GroupedMean(values, samples.groups, lambda means: F.harmonic_mean(means[:, 0], means[:, 1]))


@register_metric(
    "f_loc", "Negatives", "F-LOC", "balance of finding sources and staying quiet on negatives", "negatives", {"": 6}
)
def f_loc(samples: NegativeSamples) -> GroupedMean | None:
    """Compute F-LOC, the harmonic mean of the mean IoU and of the mean unpredicted area under negative audio.

    Args:
        samples: scored samples at the universal threshold.

    Returns:
        The score; None where one of the three kinds of negative audio is missing.
    """
    return _balance(samples, samples.iou, [1 - area for area in samples.predicted_area.values()])


@register_metric("f_auc", "Negatives", "F-AUC", "balance of AUC and AUC-N over all thresholds", "negatives")
def f_auc(samples: NegativeSamples) -> GroupedMean | None:
    """Compute F-AUC, the harmonic mean of the AUC and of the mean AUC-N over kinds of negative audio.

    Args:
        samples: scored samples at the universal threshold.

    Returns:
        The score; None where one of the three kinds of negative audio is missing.
    """
    grid = samples.protocol.auc_grid
    areas = [F.auc_n_terms(area, grid) for area in samples.predicted_area.values()]
    return _balance(samples, F.auc_terms(samples.iou, grid), areas)
