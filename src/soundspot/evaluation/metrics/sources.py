"""Metrics of several sources in an image: a map for the audio of each source, or maps for their mixture."""

from functools import partial

from jaxtyping import Float
from torch import Tensor

from soundspot.evaluation.metrics.bootstrap import GroupedMean
from soundspot.evaluation.metrics.inputs import MetricInputs, whole_row
from soundspot.evaluation.metrics.registry import metric_inputs, register_metric

OF_ALL = "average precision over the pixels of all sources of an image at once"
metric_inputs("mixtures")(whole_row)


def mean_of_sources(key: str, inputs: MetricInputs) -> GroupedMean | None:
    """Compute the mean of a column of pixel AP over the samples of images with several sources.

    Args:
        key: name of the column: `cap` or `piap`.
        inputs: numbers per sample of a row of a report.

    Returns:
        The mean over scored samples that have a value; None where none has.
    """
    return inputs.mean_of_known(inputs.free_column(key))


def mean_of_mixtures(key: str, inputs: MetricInputs) -> GroupedMean | None:
    """Compute the mean over images that have a mixture, or the ratio of two means.

    Args:
        key: metric key of the numbers of each image.
        inputs: numbers per sample of a row of a report.

    Returns:
        The mean over images; for pairs of numerator and denominator, the ratio of their means; None without mixtures.
    """
    if (values := inputs.mixtures.get(key)) is None:
        return None
    is_known = (~values.isnan()).reshape(len(values), -1).all(dim=1)
    return GroupedMean(values[is_known], is_known.nonzero()[:, 0], _ratio if values.ndim > 1 else None)


def _ratio(means: Float[Tensor, "d 2"]) -> Float[Tensor, " d"]:
    return means[:, 0] / means[:, 1]


for key, label, description in (
    ("cap", "CAP", "average precision over pixels, of each of several sources in an image"),
    ("piap", "PIAP", OF_ALL),
):
    register_metric(key, "Where", label, description, "row")(partial(mean_of_sources, key))

for key, label, description in (
    (
        "ciou_mixture_adaptive",
        "cIoU, mixture, adaptive",
        "sources separated and found, as many pixels kept as each has",
    ),
    ("ciou_mixture", "cIoU, mixture", "sources found when asked with all at once, the higher half of each map kept"),
    ("ciou_mixture@0.3", "cIoU at 0.3, mixture", "cIoU, mixture, with IoU of at least 0.3"),
    ("cap_mixture", "CAP, mixture", "average precision over pixels of each source, the higher half of each map kept"),
    ("piap_mixture", "PIAP, mixture", OF_ALL),
):
    register_metric(key, "Mixtures", label, description, "mixtures")(partial(mean_of_mixtures, key))
