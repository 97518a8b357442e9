"""Scores under negative audio (silence, noise, a source off screen), where a model should predict no pixel.

Juanola et al., "A Critical Assessment of Visual Sound Source Localization Models Including Negative Audio",
ICASSP 2025; xavijuanola/vssl_eval, utils_dir/eval_utils.py and eval.py. Maps are raw, never scaled by their own
extremes, and thresholded (`>`) at one value for all. `false_positive_rate` is of jiali-home/AVSBench-Robust.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.evaluation.functional.localization import IOU_THRESHOLD, AUCGrid, auc_thresholds, iou

PeakStatistic = Literal["q3", "q95", "max", "max10"]


def universal_threshold(peaks: Float[Tensor, " n"], statistic: PeakStatistic = "q3") -> Float[Tensor, ""]:
    """Compute one threshold for all maps from the peaks of maps under negative audio.

    Args:
        peaks: (n,) maximum of each raw map, at least one.
        statistic: `q3`: the third quartile (linear interpolation); `q95`: the 95th percentile, ours, for a threshold
            that tells users what is there; `max`: the maximum; `max10`: 1.1 times the maximum.
            The released thresholds are constants; their `max` lies below their `q3`, so they are not of one set of
            peaks.

    Returns:
        Scalar, float64, in the unit of the maps.

    Examples:
        >>> universal_threshold(torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5]))
        tensor(0.4000, dtype=torch.float64)
    """
    if statistic in ("q3", "q95"):
        return torch.quantile(peaks.double(), 0.75 if statistic == "q3" else 0.95)
    return peaks.double().amax() * (1.1 if statistic == "max10" else 1.0)


def pia(maps: Float[Tensor, "b h w"], threshold: float | Float[Tensor, ""]) -> Float[Tensor, " b"]:
    """Compute the predicted image area (pIA): the share of a map's pixels above a threshold.

    Args:
        maps: (b, h, w) raw scores.
        threshold: value that a predicted pixel exceeds, in the unit of the maps (`universal_threshold`).

    Returns:
        (b,) float64 in [0, 1]; under negative audio, 0 is correct.

    Examples:
        >>> pia(torch.tensor([[[0.9, 0.1], [0.2, 0.3]]]), threshold=0.25)  # half of the image is predicted
        tensor([0.5000], dtype=torch.float64)
    """
    return (maps > threshold).flatten(1).double().mean(dim=1)


def auc_n_terms(pia: Float[Tensor, " n"], grid: AUCGrid = "integer") -> Float[Tensor, " n"]:
    """Compute the term of each sample in `auc_n`: the area under [pIA <= threshold] over thresholds 0, 0.05, ... 1.

    The area is computed by the trapezoidal rule.

    Args:
        pia: (n,) predicted area of each map under negative audio, a fraction of the image.
        grid: `float`: thresholds 0.05 * k in floating point, as in the released code; `integer`: k / 20, plus 1e-9.

    Returns:
        (n,) float64; their mean is `auc_n`.
    """
    thresholds, tolerance = auc_thresholds(grid, pia.device)
    return torch.trapezoid((pia.double()[:, None] <= thresholds + tolerance).double(), thresholds, dim=1)


def auc_n(pia: Float[Tensor, " n"], grid: AUCGrid = "integer") -> Float[Tensor, ""]:
    """Compute the area under the share of samples with pIA <= threshold over thresholds 0, 0.05, ... 1.

    Args:
        pia: (n,) predicted area of each map under negative audio, a fraction of the image.
        grid: `float`: thresholds 0.05 * k in floating point, as in the released code; `integer`: k / 20, plus 1e-9.

    Returns:
        Scalar, float64; 1 where no pixel is ever predicted.
    """
    return auc_n_terms(pia, grid).mean()


def iou_above(
    maps: Float[Tensor, "b h w"],
    target: Bool[Tensor, "b h w"] | Float[Tensor, "b h w"],
    threshold: float | Float[Tensor, ""],
) -> Float[Tensor, " b"]:
    """Compute the IoU of [map > threshold] under each sample's audio, whose mean is the cIoU of the published table.

    Args:
        maps: (b, h, w) raw scores.
        target: (b, h, w) ground truth in [0, 1].
        threshold: value that a predicted pixel exceeds, in the unit of the maps (`universal_threshold`).

    Returns:
        (b,) float64; 0 where neither the prediction nor the target has a pixel.
    """
    return iou(maps > threshold, target).nan_to_num(0)


def harmonic_mean(a: Float[Tensor, "*n"], b: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Compute 2ab / (a + b) elementwise.

    Args:
        a: non-negative values of any shape.
        b: non-negative values of the same shape.

    Returns:
        Float64 tensor of that shape; 0 where both are 0 (the released code has nan).

    Examples:
        >>> harmonic_mean(torch.tensor(0.9), torch.tensor(0.1))  # one good half does not make up for the other
        tensor(0.1800, dtype=torch.float64)
    """
    a, b = a.double(), b.double()
    return torch.where(a + b > 0, 2 * a * b / (a + b), 0)


def f_loc(ious: Float[Tensor, " n"], pias: Float[Tensor, "k m"]) -> Float[Tensor, ""]:
    """Compute F_LOC, the harmonic mean of the mean IoU and of the mean unpredicted area under negative audio.

    Args:
        ious: (n,) IoU of each sample with its own audio (`iou_above`).
        pias: (k, m) predicted areas in [0, 1], a row for each kind of negative audio: silence, noise, off-screen.

    Returns:
        Scalar, float64: harmonic mean of mean(ious) and 1 - mean(pias).
    """
    return harmonic_mean(ious.mean(), 1 - pias.mean(dim=1).mean())


def f_auc(auc: Float[Tensor, ""], aucs_n: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """Compute F_AUC, the harmonic mean of the AUC and of the mean `auc_n` over kinds of negative audio.

    Args:
        auc: scalar AUC of the samples with their own audio (`functional.auc`).
        aucs_n: (k,) `auc_n` of each kind of negative audio.

    Returns:
        Scalar, float64.
    """
    return harmonic_mean(auc, aucs_n.mean())


def map_overlap(a: Bool[Tensor, "b h w"], b: Bool[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """Compute the IoU of two predictions for the same image; a high value under two sounds shows that audio is ignored.

    Args:
        a: (b, h, w) predicted pixels.
        b: (b, h, w) predicted pixels of the same images with other audio.

    Returns:
        (b,) float64; 1 where both are empty.

    Examples:
        >>> a = torch.tensor([[[True, True, False]]])
        >>> map_overlap(a, a.flip(2))
        tensor([0.3333], dtype=torch.float64)
    """
    intersection, union = (mask.flatten(1).sum(dim=1).double() for mask in (a & b, a | b))
    return torch.where(union > 0, intersection / union, 1)


def false_positive_rate(logits: Float[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """Compute the share of pixels with a sigmoid above 0.5, all of which are false positives under negative audio.

    Args:
        logits: (b, h, w) maps of logits under negative audio.

    Returns:
        (b,) float64 in [0, 1].
    """
    return (logits.sigmoid() > IOU_THRESHOLD).flatten(1).double().mean(dim=1)
