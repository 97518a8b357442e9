"""Detection scores: AP, max-F1 and LocAcc on sets where some samples have no source.

A sample is detected where its confidence reaches a threshold. Mo and Morgado, "A Closer Look at Weakly-Supervised
Audio-Visual Source Localization", NeurIPS 2022; `published` follows EvaluatorFull of stoneMo/SLAVC 05b429c6:

                                  published                       corrected
    a source located wrongly       a false positive                a false positive, and the source is missed
    AP: thresholds                every s-th confidence from      every distinct confidence
                                  the second highest on,
                                  s = max(1, n // 200)
    AP: area                      each step of recall times the   each step of recall times the precision envelope
                                  envelope before the step        after the step, from recall 0 on
    max-F1: thresholds            every s-th confidence from the  every distinct confidence
                                  lowest on, s = max(1, n // 10)
    a set without sources         0                               nan

So a published recall always ends at 1, however wrong the locations are. The functions take `counts`, how often each
sample is drawn: the result is that of a list that repeats the samples, and a bootstrap computes many draws at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soundspot.evaluation.functional.localization import IOU_THRESHOLD, AUCGrid, auc

SIZES = ("small", "medium", "large", "huge")
SIZE_EDGES = (32**2, 96**2, 144**2)  # pixels of 224 x 224; each is the least area of the next size
MAX_CELLS = 2**20  # draws x samples at a time


def confidence(maps: Float[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """Compute the confidence that a map shows a source: the mean of the highest quarter of its pixels.

    Args:
        maps: (b, h, w) scores; at least one pixel is averaged.

    Returns:
        (b,) float64, in the unit of the maps.

    Examples:
        >>> confidence(torch.tensor([[[0.9, 0.1], [0.2, 0.3]]]))  # the highest quarter is one pixel
        tensor([0.9000], dtype=torch.float64)
    """
    pixels = maps.detach().flatten(1)
    n, k = pixels.shape[1], max(1, pixels.shape[1] // 4)
    if pixels.device.type != "cpu":
        return pixels.topk(k, dim=1, sorted=False).values.double().mean(dim=1)
    values = (pixels if pixels.dtype == torch.float64 else pixels.float()).numpy()
    return torch.from_numpy(np.partition(values, n - k, axis=1)[:, n - k :]).double().mean(dim=1)  # 4 times topk


def average_precision(
    confidence: Float[Tensor, " n"],
    iou: Float[Tensor, " n"],
    has_source: Bool[Tensor, " n"],
    published: bool = False,
    iou_threshold: float = IOU_THRESHOLD,
    counts: Int[Tensor, "*d n"] | None = None,
) -> Float[Tensor, "*d"]:
    """Compute the area under precision over recall while the confidence threshold falls.

    Args:
        confidence: (n,) score of each sample, such as `confidence(maps)`; a higher score detects a source.
        iou: (n,) IoU of each sample's map; nan counts as below the threshold, and samples without a source are not
            read.
        has_source: (n,) True where the image holds the source of the audio.
        published: True: rules of the released SLAVC code; False: the corrected rules (both in the module's table).
        iou_threshold: least IoU, in [0, 1], at which a source is located correctly.
        counts: (*d, n) number of times each sample is drawn, for any number of draws; None: each sample once.

    Returns:
        (*d) float64 in [0, 1], a score for each draw (a scalar without `counts`). A draw without sources gives 0
        (published) or nan (corrected); a draw without samples gives nan.

    Examples:
        >>> confidences = torch.tensor([0.9, 0.8, 0.1])
        >>> ious = torch.tensor([0.7, 0.2, torch.nan])  # the second is located wrongly
        >>> has_source = torch.tensor([True, True, False])
        >>> average_precision(confidences, ious, has_source)
        tensor(0.5000, dtype=torch.float64)
        >>> average_precision(confidences, ious, has_source, published=True)  # and there it is not missed
        tensor(0., dtype=torch.float64)
    """
    score = _published_ap if published else _corrected_ap
    return _Ranking.of(confidence, iou, has_source, iou_threshold).score_draws(score, counts)


def max_f1(
    confidence: Float[Tensor, " n"],
    iou: Float[Tensor, " n"],
    has_source: Bool[Tensor, " n"],
    published: bool = False,
    iou_threshold: float = IOU_THRESHOLD,
    counts: Int[Tensor, "*d n"] | None = None,
) -> Float[Tensor, "*d"]:
    """Compute the highest F1 over confidence thresholds.

    Args:
        confidence: (n,) score of each sample, such as `confidence(maps)`; a higher score detects a source.
        iou: (n,) IoU of each sample's map; nan counts as below the threshold, and samples without a source are not
            read.
        has_source: (n,) True where the image holds the source of the audio.
        published: True: rules of the released SLAVC code; False: the corrected rules (both in the module's table).
        iou_threshold: least IoU, in [0, 1], at which a source is located correctly.
        counts: (*d, n) number of times each sample is drawn, for any number of draws; None: each sample once.

    Returns:
        (*d) float64 in [0, 1], a score for each draw (a scalar without `counts`). A draw without sources gives 0
        (published) or nan (corrected); a draw without samples gives nan.
    """
    score = _published_max_f1 if published else _corrected_max_f1
    return _Ranking.of(confidence, iou, has_source, iou_threshold).score_draws(score, counts)


def f1_curve(
    confidence: Float[Tensor, " n"],
    iou: Float[Tensor, " n"],
    has_source: Bool[Tensor, " n"],
    iou_threshold: float = IOU_THRESHOLD,
) -> Float[Tensor, " t"]:
    """Compute F1 at every s-th confidence in ascending order, s = max(1, n // 10), as the released code prints it.

    Args:
        confidence: (n,) score of each sample, such as `confidence(maps)`; a higher score detects a source.
        iou: (n,) IoU of each sample's map; nan counts as below the threshold, and samples without a source are not
            read.
        has_source: (n,) True where the image holds the source of the audio.
        iou_threshold: least IoU, in [0, 1], at which a source is located correctly.

    Returns:
        (t,) float64 F1 under the published rules, t = ceil(n / s) thresholds, the lowest first; (0,) where n is 0.
    """
    if not len(confidence):
        return torch.zeros(0, dtype=torch.float64)
    ranking = _Ranking.of(confidence, iou, has_source, iou_threshold)
    return _published_f1s(ranking.curves(torch.ones_like(ranking.order)[None]))[0]


def precision_recall(
    confidence: Float[Tensor, " n"],
    iou: Float[Tensor, " n"],
    has_source: Bool[Tensor, " n"],
    threshold: float,
    published: bool = False,
    iou_threshold: float = IOU_THRESHOLD,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Compute precision and recall at one confidence threshold.

    Args:
        confidence: (n,) score of each sample, such as `confidence(maps)`.
        iou: (n,) IoU of each sample's map; nan counts as below the threshold, and samples without a source are not
            read.
        has_source: (n,) True where the image holds the source of the audio.
        threshold: least confidence at which a sample counts as detected.
        published: True: a detected source located wrongly is left out of the recall's denominator, as in the released
            code; False: it counts as missed.
        iou_threshold: least IoU, in [0, 1], at which a source is located correctly.

    Returns:
        Precision and recall, scalars, float64; 1 where the denominator is 0 (no detection, or no source).
    """
    detected = confidence >= threshold
    correct = detected & has_source & (iou >= iou_threshold)
    relevant = has_source & (correct | ~detected) if published else has_source
    return _ratio(correct.sum(), detected.sum()), _ratio(correct.sum(), relevant.sum())


def f1_at(
    confidence: Float[Tensor, " n"],
    iou: Float[Tensor, " n"],
    has_source: Bool[Tensor, " n"],
    threshold: float = 0.5,
    published: bool = False,
    iou_threshold: float = IOU_THRESHOLD,
) -> Float[Tensor, ""]:
    """Compute F1 at one confidence threshold.

    Args:
        confidence: (n,) score of each sample, such as `confidence(maps)`.
        iou: (n,) IoU of each sample's map; nan counts as below the threshold, and samples without a source are not
            read.
        has_source: (n,) True where the image holds the source of the audio.
        threshold: least confidence at which a sample counts as detected.
        published: True: a detected source located wrongly is left out of the recall's denominator, as in the released
            code; False: it counts as missed.
        iou_threshold: least IoU, in [0, 1], at which a source is located correctly.

    Returns:
        Scalar, float64: the harmonic mean of precision and recall, 0 where both are 0.
    """
    return _f1(*precision_recall(confidence, iou, has_source, threshold, published, iou_threshold))


def loc_acc(
    iou: Float[Tensor, " n"], has_source: Bool[Tensor, " n"], iou_threshold: float = IOU_THRESHOLD, strict: bool = False
) -> Float[Tensor, ""]:
    """Compute the share of the samples with a source whose IoU reaches a threshold.

    Args:
        iou: (n,) IoU of each sample's map; nan counts as a failure.
        has_source: (n,) True where the image holds the source; other samples are left out.
        iou_threshold: least IoU of a success, in [0, 1].
        strict: True: only an IoU above the threshold is a success, as in the released `precision_at_50`; False: an IoU
            equal to it is a success too.

    Returns:
        Scalar, float64; nan where no sample has a source.

    Examples:
        >>> loc_acc(torch.tensor([0.7, 0.2, 0.9]), torch.tensor([True, True, False]))  # the last has no source
        tensor(0.5000, dtype=torch.float64)
    """
    values = iou[has_source]
    return ((values > iou_threshold) if strict else (values >= iou_threshold)).double().mean()


def size_bucket(area: Float[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Classify ground truths by their area.

    Args:
        area: (n,) ground-truth area in pixels of a 224 x 224 image.

    Returns:
        (n,) int64 indices into `SIZES`: 0 below 32^2, 1 below 96^2, 2 below 144^2, 3 from 144^2 on.
    """
    return torch.bucketize(area.double(), torch.tensor(SIZE_EDGES, dtype=torch.float64, device=area.device), right=True)


class DetectionStats(NamedTuple):
    """Scores of a subset of the samples, scalars in float64.

    Attributes:
        precision: precision of a model that detects a source in every sample: the share of the samples of the subset
            that have a source located correctly.
        max_f1: highest F1 over confidence thresholds.
        ap: average precision over confidence thresholds.
        auc: area under the success rate over IoU thresholds, of the samples with a source.
    """

    precision: Tensor
    max_f1: Tensor
    ap: Tensor
    auc: Tensor


def detection_stats(
    confidence: Float[Tensor, " n"],
    iou: Float[Tensor, " n"],
    has_source: Bool[Tensor, " n"],
    area: Float[Tensor, " n"],
    published: bool = False,
    iou_threshold: float = IOU_THRESHOLD,
) -> dict[str, DetectionStats]:
    """Compute SLAVC's table of detection scores by subsets of the samples.

    Args:
        confidence: (n,) score of each sample, such as `confidence(maps)`; a higher score detects a source.
        iou: (n,) IoU of each sample's map; nan counts as below the threshold, and samples without a source are not
            read.
        has_source: (n,) True where the image holds the source of the audio.
        area: (n,) ground-truth area in pixels of a 224 x 224 image.
        published: True: rules and AUC grid of the released SLAVC code; False: the corrected rules (both in the module's
            table), and the AUC grid `integer`.
        iou_threshold: least IoU, in [0, 1], at which a source is located correctly.

    Returns:
        Name of the subset -> its scores: `all` samples, the `visible` ones (with a source), and those with a source of
        each size in `SIZES`. Scores of a subset without samples are nan.
    """
    size = size_bucket(area)
    subsets = {"all": torch.ones_like(has_source), "visible": has_source}
    subsets |= {name: has_source & (size == index) for index, name in enumerate(SIZES)}
    grid: AUCGrid = "float" if published else "integer"
    stats = {}
    for name, rows in subsets.items():
        subset = confidence[rows], iou[rows], has_source[rows]
        stats[name] = DetectionStats(
            precision=(subset[2] & (subset[1] >= iou_threshold)).double().mean(),
            max_f1=max_f1(*subset, published, iou_threshold),
            ap=average_precision(*subset, published, iou_threshold),
            auc=auc(subset[1][subset[2]], grid),
        )
    return stats


class _Curves(NamedTuple):
    """Numbers of samples that reach each distinct confidence, the highest first: (draws, levels)."""

    detected: Tensor
    with_source: Tensor  # of the detected
    correct: Tensor  # of those: located rightly
    num_sources: Tensor  # (draws, 1): of all samples


@dataclass(frozen=True)
class _Ranking:
    """Samples by falling confidence; `last` is the index of the last of each run of equal confidences."""

    order: Int[Tensor, " n"]
    last: Int[Tensor, " m"]
    has_source: Bool[Tensor, " n"]
    correct: Bool[Tensor, " n"]

    @classmethod
    def of(cls, confidence: Tensor, iou: Tensor, has_source: Tensor, iou_threshold: float) -> "_Ranking":
        order = confidence.argsort(descending=True, stable=True)
        ranked, has_source = confidence[order], has_source[order]
        ends = torch.ones_like(has_source)
        ends[:-1] = ranked[:-1] != ranked[1:]
        return cls(order, ends.nonzero()[:, 0], has_source, has_source & (iou[order] >= iou_threshold))

    def curves(self, counts: Int[Tensor, "d n"]) -> _Curves:
        drawn = counts[:, self.order].int()
        detected, with_source, correct = (
            (drawn * mask).cumsum(dim=1, dtype=torch.int32)[:, self.last] for mask in (1, self.has_source, self.correct)
        )
        return _Curves(detected, with_source, correct, with_source[:, -1:])

    def score_draws(self, score: Callable[[_Curves], Tensor], counts: Int[Tensor, "*d n"] | None) -> Tensor:
        """Compute a score of each draw, some draws at a time; nan for a draw of no sample."""
        n, shape = len(self.order), () if counts is None else counts.shape[:-1]
        draws = self.order.new_ones(1, n) if counts is None else counts.reshape(-1, n)
        if not n or not len(draws):
            return torch.full(shape, torch.nan, dtype=torch.float64, device=self.order.device)
        chunks = draws.split(max(1, MAX_CELLS // n))
        scores = [torch.where(chunk.any(dim=1), score(self.curves(chunk)), torch.nan) for chunk in chunks]
        return torch.cat(scores).reshape(shape)


def _corrected_ap(curves: _Curves) -> Tensor:
    correct, num_sources = curves.correct.double(), curves.num_sources[:, 0].double()
    precision = correct / curves.detected.clamp(min=1)
    envelope = precision.flip(1).cummax(dim=1).values.flip(1)
    return (correct.diff(dim=1, prepend=torch.zeros_like(correct[:, :1])) * envelope).sum(dim=1) / num_sources


def _corrected_max_f1(curves: _Curves) -> Tensor:
    f1 = 2 * curves.correct.double() / (curves.detected + curves.num_sources)
    return torch.where(curves.num_sources[:, 0] > 0, f1.amax(dim=1), torch.nan)


def _published_ap(curves: _Curves) -> Tensor:
    n = curves.detected[:, -1:].long()
    step = (n // 200).clamp(min=1)
    rank = 1 + step * torch.arange(_max_steps(n - 1, step), device=n.device)  # in falling order, repeats and all
    precision, recall = _published_at(curves, rank, n)
    envelope = precision.flip(1).cummax(dim=1).values.flip(1)
    steps = recall.diff(dim=1) * (rank < n)[:, 1:]
    return (envelope[:, :-1] * steps).sum(dim=1)


def _published_f1s(curves: _Curves) -> Tensor:
    """Compute F1 at the thresholds from the lowest on; -1 where a draw has fewer than others."""
    n = curves.detected[:, -1:].long()
    step = (n // 10).clamp(min=1)
    rank = n - 1 - step * torch.arange(_max_steps(n, step), device=n.device)
    return torch.where(rank >= 0, _f1(*_published_at(curves, rank, n)), -1.0)


def _published_max_f1(curves: _Curves) -> Tensor:
    return _published_f1s(curves).amax(dim=1)


def _published_at(curves: _Curves, rank: Int[Tensor, "d t"], n: Int[Tensor, "d 1"]) -> tuple[Tensor, Tensor]:
    """Compute precision and recall where the confidence at a rank of the (repeated) falling order is the threshold.

    Precision is 0 at ranks beyond the end.
    """
    last = curves.detected.shape[1] - 1
    level = torch.searchsorted(curves.detected, rank.int().contiguous(), right=True).clamp(max=last)
    detected, with_source, correct = (curve.gather(1, level) for curve in curves[:3])
    precision = torch.where(rank < n, _ratio(correct, detected), 0)
    return precision, _ratio(correct, correct + curves.num_sources - with_source)


def _max_steps(span: Tensor, step: Tensor) -> int:
    """Return the number of thresholds of the draw that has most, 1 at least."""
    return max(1, int(((span + step - 1) // step).max()))


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide; 1 where the denominator is 0."""
    return torch.where(denominator > 0, numerator.double() / denominator.clamp(min=1), 1)


def _f1(precision: Tensor, recall: Tensor) -> Tensor:
    return 2 * precision * recall / (precision + recall).clamp(min=torch.finfo(torch.float64).tiny)
