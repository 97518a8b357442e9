"""Sounds that show nothing in the picture (silence, noise, a source out of sight): how little a model then predicts.

Juanola et al., "A Critical Assessment of Visual Sound Source Localization Models Including Negative Audio",
ICASSP 2025; xavijuanola/vssl_eval, utils_dir/eval_utils.py and eval.py. Maps are raw, never scaled by their own
extremes, and cut (`>`) at one threshold for all. `false_positive_rate` is of jiali-home/AVSBench-Robust.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.evaluation.functional.localization import AUC_STEPS, IOU_THRESHOLD, AUCGrid, iou

PeakStatistic = Literal["q3", "max", "max10"]


def universal_threshold(peaks: Float[Tensor, " n"], statistic: PeakStatistic = "q3") -> Float[Tensor, ""]:
    """A threshold for all maps from the peaks (maxima) of maps under negative sounds.

    Args:
        rule: `q3` the third quartile (between neighbours linearly), `max` the highest, `max10` a tenth more. The
            released thresholds are constants; their `max` lie below their `q3`, so not all are of one set of peaks.

    Examples:
        >>> universal_threshold(torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5]))
        tensor(0.4000, dtype=torch.float64)
    """
    if statistic == "q3":
        return torch.quantile(peaks.double(), 0.75)
    return peaks.double().amax() * (1.1 if statistic == "max10" else 1.0)


def pia(maps: Float[Tensor, "b h w"], threshold: float | Float[Tensor, ""]) -> Float[Tensor, " b"]:
    """Predicted image area: the share of a map's pixels above tau. Under a negative sound, 0 is right.

    Examples:
        >>> pia(torch.tensor([[[0.9, 0.1], [0.2, 0.3]]]), tau=0.25)  # half of the picture claimed
        tensor([0.5000], dtype=torch.float64)
    """
    return (maps > threshold).flatten(1).double().mean(dim=1)


def auc_n_terms(pia: Float[Tensor, " n"], grid: AUCGrid = "integer") -> Float[Tensor, " n"]:
    """What each sample adds to `auc_n`; `grid` as in `auc_terms`: `float` for the products 0.05 * k as released."""
    steps = torch.arange(AUC_STEPS + 1, dtype=torch.float64, device=pia.device)
    thresholds = steps * 0.05 if grid == "float" else steps / AUC_STEPS
    forgiven = 0.0 if grid == "float" else 1e-9
    return torch.trapezoid((pia.double()[:, None] <= thresholds + forgiven).double(), thresholds, dim=1)


def auc_n(pia: Float[Tensor, " n"], grid: AUCGrid = "integer") -> Float[Tensor, ""]:
    """Area under the share of samples with pIA <= t over t = 0, 0.05, ... 1: 1 where nothing is ever predicted."""
    return auc_n_terms(pia, grid).mean()


def iou_above(
    maps: Float[Tensor, "b h w"],
    target: Bool[Tensor, "b h w"] | Float[Tensor, "b h w"],
    threshold: float | Float[Tensor, ""],
) -> Float[Tensor, " b"]:
    """IoU of [map > tau] under the right sound, 0 where neither has a pixel: its mean is the table's cIoU."""
    return iou(maps > threshold, target).nan_to_num(0)


def harmonic_mean(a: Float[Tensor, "*n"], b: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """2ab / (a + b), 0 where both are 0 (the released code has nan).

    Examples:
        >>> harmonic_mean(torch.tensor(0.9), torch.tensor(0.1))  # one good half does not make up for the other
        tensor(0.1800, dtype=torch.float64)
    """
    a, b = a.double(), b.double()
    return torch.where(a + b > 0, 2 * a * b / (a + b), 0)


def f_loc(ious: Float[Tensor, " n"], pias: Float[Tensor, "k m"]) -> Float[Tensor, ""]:
    """F_LOC: harmonic mean of the mean IoU under right sounds and of the area left alone under k kinds of wrong ones.

    Args:
        ious: of `iou_above`.
        pias: of `pia`, a row for each kind: silence, noise, a sound from elsewhere.
    """
    return harmonic_mean(ious.mean(), 1 - pias.mean(dim=1).mean())


def f_auc(auc: Float[Tensor, ""], aucs_n: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """F_AUC: harmonic mean of the AUC under right sounds and of the mean `auc_n` over k kinds of wrong ones."""
    return harmonic_mean(auc, aucs_n.mean())


def map_overlap(a: Bool[Tensor, "b h w"], b: Bool[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """IoU of two predictions for one picture, 1 where both are empty. High under two sounds: the sound goes unheard.

    Examples:
        >>> one = torch.tensor([[[True, True, False]]])
        >>> map_overlap(one, one.flip(2))
        tensor([0.3333], dtype=torch.float64)
    """
    both, either = ((some.flatten(1).sum(dim=1).double()) for some in (a & b, a | b))
    return torch.where(either > 0, both / either, 1)


def false_positive_rate(logits: Float[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """Share of the pixels with a sigmoid above 0.5, under a sound that shows nothing."""
    return (logits.sigmoid() > IOU_THRESHOLD).flatten(1).double().mean(dim=1)
