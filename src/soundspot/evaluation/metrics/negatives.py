"""Metrics of negatives: silence, noise and off-screen sound, under which a model should predict no pixel."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from soundspot.evaluation import functional as F
from soundspot.evaluation.metrics.bootstrap import GroupedMean
from soundspot.evaluation.metrics.inputs import MetricInputs
from soundspot.evaluation.metrics.registry import NEGATIVES, metric_inputs, register_metric
from soundspot.evaluation.protocols.presets import Protocol


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
