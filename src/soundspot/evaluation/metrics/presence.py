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
    """Samples with and without a source in the image: confidence and IoU of the map, presence and group, all (n,)."""

    confidence: Tensor
    iou: Tensor
    present: Tensor
    groups: Tensor
    published: bool

    def curve_statistic(self, statistic: Callable[..., Tensor]) -> RankStatistic:
        """Return `functional.average_precision` or `max_f1` of the samples."""
        confidence, iou, present, groups, published = self
        return RankStatistic(lambda counts: statistic(confidence, iou, present, published, counts=counts), groups)


class NegativeSamples(NamedTuple):
    """Scored samples at the universal threshold: (n,) IoU with the own audio, and predicted area of each negative."""

    iou: Tensor
    predicted_area: dict[str, Tensor]
    groups: Tensor
    protocol: Protocol


@metric_inputs("detections", ADAPTIVE)
def detections(inputs: MetricInputs) -> Iterator[tuple[str, Detections]]:
    """Yield the samples that are scored or have no source, under each threshold rule; nothing where all are present."""
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
    """Yield the samples of `detections` once, as no threshold rule moves their confidence."""
    yield from [*detections(inputs)][:1]


@metric_inputs("negatives")
def negative_samples(inputs: MetricInputs) -> Iterator[tuple[str, NegativeSamples]]:
    """Yield the scored samples that were asked with every kind of negative there is, with a universal threshold."""
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
    """Yield the samples of `negative_samples` with one kind of negative at a time."""
    for _, samples in negative_samples(inputs):
        for kind, area in samples.predicted_area.items():
            yield f"_{kind}", samples._replace(predicted_area={kind: area})


def compute_auroc(
    values: Float[Tensor, " n"], is_positive: Bool[Tensor, " n"], counts: Int[Tensor, "d n"]
) -> Float[Tensor, " d"]:
    """Return the probability that a positive sample's value is above a negative one's, ties counting half.

    Args:
        values: of each sample.
        is_positive: class of each sample.
        counts: how often each sample counts in each draw.
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
    """Return how often the map of a present source is the more confident."""
    return RankStatistic(lambda counts: compute_auroc(samples.confidence, samples.present, counts), samples.groups)


@register_metric("ap", "Presence", "AP", "average precision of detecting sources, {}", "detections", {"": 5})
def ap(samples: Detections) -> RankStatistic:
    """Return the average precision of confident, successful maps."""
    return samples.curve_statistic(F.average_precision)


@register_metric("max_f1", "Presence", "max F1", "best F1 over confidence thresholds, {}", "detections", {"": 14})
def max_f1(samples: Detections) -> RankStatistic:
    """Return the best F1 over confidence thresholds."""
    return samples.curve_statistic(F.max_f1)


@register_metric(
    "loc_acc", "Presence", "LocAcc", "present sources with IoU of at least one half, {}", "detections", {"": 15}
)
def loc_acc(samples: Detections) -> GroupedMean:
    """Return the share of present sources with IoU >= 0.5."""
    success = samples.iou[samples.present] >= F.IOU_THRESHOLD
    return GroupedMean(success.double(), samples.groups[samples.present])


@register_metric(
    "mean_iou_universal", "Negatives", "mean IoU, universal", "mean IoU at one threshold for all maps", "negatives"
)
def mean_iou_universal(samples: NegativeSamples) -> GroupedMean:
    """Return the mean IoU at the universal threshold."""
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
    """Return the area under the success rate at the universal threshold."""
    return GroupedMean(F.auc_terms(samples.iou, samples.protocol.auc_grid), samples.groups)


@register_metric("pia", "Negatives", "pIA", "predicted area with {}", "each_negative", higher_is_better=False)
def pia(samples: NegativeSamples) -> GroupedMean:
    """Return the mean predicted area for one kind of negative."""
    [area] = samples.predicted_area.values()
    return GroupedMean(area, samples.groups)


@register_metric("aucn", "Negatives", "AUC-N", "samples with little predicted area when asked with {}", "each_negative")
def aucn(samples: NegativeSamples) -> GroupedMean:
    """Return the area under the share of samples with little predicted area, for one kind of negative."""
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
    """Return the harmonic mean of IoU and of the area left alone for negatives."""
    return _balance(samples, samples.iou, [1 - area for area in samples.predicted_area.values()])


@register_metric("f_auc", "Negatives", "F-AUC", "balance of AUC and AUC-N over all thresholds", "negatives")
def f_auc(samples: NegativeSamples) -> GroupedMean | None:
    """Return the harmonic mean of AUC and AUC-N."""
    grid = samples.protocol.auc_grid
    areas = [F.auc_n_terms(area, grid) for area in samples.predicted_area.values()]
    return _balance(samples, F.auc_terms(samples.iou, grid), areas)
