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
    """Scored samples under one threshold rule: (n,) IoU, (n,) or (n, 255) F-scores of masks, (n,) groups."""

    iou: Tensor
    f: Tensor
    groups: Tensor
    protocol: Protocol


class WorstOfGroups(NamedTuple):
    """The lowest IoU of each image that is asked with several sounds, and the group of that image."""

    iou: Tensor
    groups: Tensor
    protocol: Protocol


@metric_inputs("success", ADAPTIVE)  # apart from `iou`: last bits of a resampled mean depend on the metrics' order
@metric_inputs("iou", ADAPTIVE)
def localized_samples(inputs: MetricInputs) -> Iterator[tuple[str, LocalizedSamples]]:
    """Yield the scored samples under each threshold rule."""
    scored = inputs.is_scored
    for suffix in inputs.suffixes if bool(scored.any()) else ():
        iou = inputs.columns[f"iou{suffix}"][scored]
        yield suffix, LocalizedSamples(iou, iou, inputs.groups[scored], inputs.protocol)


@metric_inputs("masks", ADAPTIVE)
def mask_samples(inputs: MetricInputs) -> Iterator[tuple[str, LocalizedSamples]]:
    """Yield the scored samples whose ground truth is a mask, with their F-scores, under each threshold rule."""
    for suffix, samples in localized_samples(inputs):
        column = "f_curve" if "f_curve" in inputs.columns and not suffix else f"f{suffix}"
        if column in inputs.columns:
            yield suffix, samples._replace(f=inputs.columns[column][inputs.is_scored])


@metric_inputs("groups", ADAPTIVE)
def worst_of_groups(inputs: MetricInputs) -> Iterator[tuple[str, WorstOfGroups]]:
    """Yield the lowest IoU of each image that is asked with several sounds, under each threshold rule."""
    for suffix, (iou, _, groups, protocol) in localized_samples(inputs):
        sizes = F.group_sizes(groups)
        if int(sizes.max()) < 2:
            return
        counted = sizes >= protocol.min_group_size
        yield suffix, WorstOfGroups(F.worst_of_groups(iou, groups)[counted], groups.unique()[counted], protocol)


@register_metric("ciou", "Where", "cIoU", "samples with IoU >= 0.5, {}", "success", {"_adaptive": 1, "": 3})
def ciou(samples: LocalizedSamples) -> GroupedMean:
    """Return the share of samples with IoU >= 0.5."""
    return GroupedMean((samples.iou >= F.IOU_THRESHOLD).double(), samples.groups)


@register_metric(
    "auc", "Where", "AUC", "area under cIoU over all IoU thresholds, {}", "success", {"_adaptive": 9, "": 10}
)
def auc(samples: LocalizedSamples) -> GroupedMean:
    """Return the area under the success rate over IoU thresholds."""
    return GroupedMean(F.auc_terms(samples.iou, samples.protocol.auc_grid), samples.groups)


@register_metric("mean_iou", "Where", "mean IoU", "average overlap with the ground truth, {}", "iou", {"": 11})
def mean_iou(samples: LocalizedSamples) -> GroupedMean:
    """Return the mean IoU."""
    return GroupedMean(samples.iou, samples.groups)


register_metric("miou", "Segments", "mIoU", "average overlap with the object's mask, {}", "masks")(mean_iou)


@register_metric(
    "fscore", "Segments", "F-score", "precision-weighted F of the mask, {}", "masks", {"": 12, "_adaptive": 13}
)
def fscore(samples: LocalizedSamples) -> GroupedMean:
    """Return the mean F-score, or the maximum of the mean F curve, of the samples whose mask has a pixel."""
    is_curve = samples.f.ndim == 2
    is_known = ~(samples.f.isnan().any(dim=1) if is_curve else samples.f.isnan())
    combine = (lambda curves: curves.amax(dim=1)) if is_curve else None
    return GroupedMean(samples.f[is_known], samples.groups[is_known], combine)


@register_metric(
    "iiou", "Listening", "IIoU", "images right for all of their sounds, {}", "groups", {"_adaptive": 2, "": 4}
)
def iiou(groups: WorstOfGroups) -> GroupedMean:
    """Return the share of images whose lowest IoU is a success."""
    return GroupedMean(F.group_success(groups.iou), groups.groups)


@register_metric("iauc", "Listening", "IAUC", "area under IIoU over all IoU thresholds, {}", "groups")
def iauc(groups: WorstOfGroups) -> GroupedMean:
    """Return the area under the interactive success rate over IoU thresholds."""
    return GroupedMean(F.group_auc_terms(groups.iou, groups.protocol.auc_grid), groups.groups)
