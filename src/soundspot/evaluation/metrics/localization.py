"""Metrics of where: success rates, mean IoU, masks, interactive scores, several sources and mixtures."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from soundspot.evaluation import functional as F
from soundspot.evaluation.metrics.bootstrap import GroupedMean
from soundspot.evaluation.metrics.inputs import MetricInputs
from soundspot.evaluation.metrics.registry import ADAPTIVE, metric_inputs, register_metric
from soundspot.evaluation.protocols.presets import Protocol


class LocalizedSamples(NamedTuple):
    """Scored samples under one threshold rule.

    Attributes:
        iou: (n,) IoU of each sample.
        f: (n,) F-scores of masks, or (n, 255) over thresholds, from `mask_samples`; the IoU from `localized_samples`.
        groups: (n,) index of each sample's image.
        protocol: the scoring rules.
    """

    iou: Tensor
    f: Tensor
    groups: Tensor
    protocol: Protocol


class WorstOfGroups(NamedTuple):
    """The lowest IoU of each image that has several sounds.

    Attributes:
        iou: (g,) lowest IoU over the sounds of each image.
        groups: (g,) index of the image.
        protocol: the scoring rules.
    """

    iou: Tensor
    groups: Tensor
    protocol: Protocol


@metric_inputs("success", ADAPTIVE)  # apart from `iou`: last bits of a resampled mean depend on the metrics' order
@metric_inputs("iou", ADAPTIVE)
def localized_samples(inputs: MetricInputs) -> Iterator[tuple[str, LocalizedSamples]]:
    """Yield the scored samples under each threshold rule.

    Args:
        inputs: numbers per sample of a row of a report.

    Yields:
        Suffix of the metric key ("" or "_adaptive") and the samples; nothing where no sample is scored.
    """
    scored = inputs.is_scored
    for suffix in inputs.suffixes if bool(scored.any()) else ():
        iou = inputs.columns[f"iou{suffix}"][scored]
        yield suffix, LocalizedSamples(iou, iou, inputs.groups[scored], inputs.protocol)


@metric_inputs("masks", ADAPTIVE)
def mask_samples(inputs: MetricInputs) -> Iterator[tuple[str, LocalizedSamples]]:
    """Yield the scored samples whose ground truth is a mask, with their F-scores, under each threshold rule.

    Args:
        inputs: numbers per sample of a row of a report.

    Yields:
        Suffix of the metric key ("" or "_adaptive") and the samples; nothing for a rule without F-scores.
    """
    for suffix, samples in localized_samples(inputs):
        column = "f_curve" if "f_curve" in inputs.columns and not suffix else f"f{suffix}"
        if column in inputs.columns:
            yield suffix, samples._replace(f=inputs.columns[column][inputs.is_scored])


@metric_inputs("groups", ADAPTIVE)
def worst_of_groups(inputs: MetricInputs) -> Iterator[tuple[str, WorstOfGroups]]:
    """Yield the lowest IoU of each image that has several sounds, under each threshold rule.

    Args:
        inputs: numbers per sample of a row of a report.

    Yields:
        Suffix of the metric key ("" or "_adaptive") and the images with at least `min_group_size` sounds; nothing where
        no image has two.
    """
    for suffix, (iou, _, groups, protocol) in localized_samples(inputs):
        sizes = F.group_sizes(groups)
        if int(sizes.max()) < 2:
            return
        counted = sizes >= protocol.min_group_size
        yield suffix, WorstOfGroups(F.worst_of_groups(iou, groups)[counted], groups.unique()[counted], protocol)


@register_metric("ciou", "Where", "cIoU", "samples with IoU >= 0.5, {}", "success", {"_adaptive": 1, "": 3})
def ciou(samples: LocalizedSamples) -> GroupedMean:
    """Compute cIoU, the share of samples with IoU >= 0.5.

    Args:
        samples: scored samples under one threshold rule.

    Returns:
        The mean of successes (1 or 0) over samples.
    """
    return GroupedMean((samples.iou >= F.IOU_THRESHOLD).double(), samples.groups)


@register_metric(
    "auc", "Where", "AUC", "area under cIoU over all IoU thresholds, {}", "success", {"_adaptive": 9, "": 10}
)
def auc(samples: LocalizedSamples) -> GroupedMean:
    """Compute the area under the success rate over IoU thresholds 0, 0.05, ... 1.

    Args:
        samples: scored samples under one threshold rule.

    Returns:
        The mean of the areas of the samples.
    """
    return GroupedMean(F.auc_terms(samples.iou, samples.protocol.auc_grid), samples.groups)


@register_metric("mean_iou", "Where", "mean IoU", "average overlap with the ground truth, {}", "iou", {"": 11})
def mean_iou(samples: LocalizedSamples) -> GroupedMean:
    """Compute the mean IoU.

    Args:
        samples: scored samples under one threshold rule.

    Returns:
        The mean over samples.
    """
    return GroupedMean(samples.iou, samples.groups)


register_metric("miou", "Segments", "mIoU", "average overlap with the object's mask, {}", "masks")(mean_iou)


@register_metric(
    "fscore", "Segments", "F-score", "precision-weighted F of the mask, {}", "masks", {"": 12, "_adaptive": 13}
)
def fscore(samples: LocalizedSamples) -> GroupedMean:
    """Compute the mean F-score, or the maximum of the mean F-score curve, of the samples whose mask has a pixel.

    Args:
        samples: scored samples with F-scores; nan where the mask is empty.

    Returns:
        The mean over samples; for (n, 255) curves, the maximum over thresholds of the mean curve.
    """
    is_curve = samples.f.ndim == 2
    is_known = ~(samples.f.isnan().any(dim=1) if is_curve else samples.f.isnan())
    combine = (lambda curves: curves.amax(dim=1)) if is_curve else None
    return GroupedMean(samples.f[is_known], samples.groups[is_known], combine)


@register_metric(
    "iiou", "Listening", "IIoU", "images right for all of their sounds, {}", "groups", {"_adaptive": 2, "": 4}
)
def iiou(groups: WorstOfGroups) -> GroupedMean:
    """Compute IIoU, the share of images whose lowest IoU is at least 0.5.

    Args:
        groups: lowest IoU of each image with several sounds.

    Returns:
        The mean of successes (1 or 0) over images.
    """
    return GroupedMean(F.group_success(groups.iou), groups.groups)


@register_metric("iauc", "Listening", "IAUC", "area under IIoU over all IoU thresholds, {}", "groups")
def iauc(groups: WorstOfGroups) -> GroupedMean:
    """Compute the area under the interactive success rate over IoU thresholds 0, 0.05, ... 1.

    Args:
        groups: lowest IoU of each image with several sounds.

    Returns:
        The mean of the areas of the images.
    """
    return GroupedMean(F.group_auc_terms(groups.iou, groups.protocol.auc_grid), groups.groups)
