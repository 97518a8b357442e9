"""Whether there is a source at all, and where: AP, max-F1 and LocAcc on sets where some samples have no source.

A sample is detected where its confidence reaches a threshold. Mo and Morgado, "A Closer Look at Weakly-Supervised
Audio-Visual Source Localization", NeurIPS 2022; `published` follows EvaluatorFull of stoneMo/SLAVC 05b429c6:

                                  published                       corrected
    a source in the wrong place   a false positive                a false positive, and the source is missed
    AP: thresholds                every s-th confidence from      every distinct confidence
                                  the second highest on,
                                  s = max(1, n // 200)
    AP: area                      each step of recall times the   each step of recall times the precision envelope
                                  envelope before the step        after the step, from recall 0 on
    max-F1: thresholds            every s-th confidence from the  every distinct confidence
                                  lowest on, s = max(1, n // 10)
    a set without sources         0                               nan

So a published recall always ends at 1, however bad the places are. The functions take `counts`, how often each sample
is drawn: the result is that of a list that repeats the samples, and draws are computed together, which bootstraps need.
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
SIZE_EDGES = (32**2, 96**2, 144**2)  # pixels of 224 x 224; the first size from each edge on
MAX_CELLS = 2**20  # draws x samples at a time


def confidence(maps: Float[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """Mean of the highest quarter of each map's pixels: how sure the map is that there is a source at all.

    Examples:
        >>> confidence(torch.tensor([[[0.9, 0.1], [0.2, 0.3]]]))  # the highest quarter is one pixel
        tensor([0.9000], dtype=torch.float64)
    """
    flat = maps.detach().flatten(1)
    n, some = flat.shape[1], max(1, flat.shape[1] // 4)
    if flat.device.type != "cpu":
        return flat.topk(some, dim=1, sorted=False).values.double().mean(dim=1)
    plain = (flat if flat.dtype == torch.float64 else flat.float()).numpy()
    return torch.from_numpy(np.partition(plain, n - some, axis=1)[:, n - some :]).double().mean(dim=1)  # 4 times topk


def average_precision(
    confidence: Float[Tensor, " n"],
    iou: Float[Tensor, " n"],
    has_source: Bool[Tensor, " n"],
    published: bool = False,
    iou_threshold: float = IOU_THRESHOLD,
    counts: Int[Tensor, "*d n"] | None = None,
) -> Float[Tensor, "*d"]:
    """Area under precision over recall while the confidence threshold falls.

    Args:
        iou: of the localisation; nan is a failure, and without a source it does not matter.
        at: a detection is in the right place from this IoU on.
        counts: how often each sample is drawn, for any number of draws; None: once.

    Examples:
        >>> sure = torch.tensor([0.9, 0.8, 0.1])
        >>> ious = torch.tensor([0.7, 0.2, torch.nan])  # the second is found in the wrong place
        >>> has_source = torch.tensor([True, True, False])
        >>> average_precision(sure, ious, has_source)
        tensor(0.5000, dtype=torch.float64)
        >>> average_precision(sure, ious, has_source, published=True)  # and there it is not missed
        tensor(0., dtype=torch.float64)
    """
    score = _published_ap if published else _corrected_ap
    return _Ranking.of(confidence, iou, has_source, iou_threshold).each(score, counts)


def max_f1(
    confidence: Float[Tensor, " n"],
    iou: Float[Tensor, " n"],
    has_source: Bool[Tensor, " n"],
    published: bool = False,
    iou_threshold: float = IOU_THRESHOLD,
    counts: Int[Tensor, "*d n"] | None = None,
) -> Float[Tensor, "*d"]:
    """The highest F1 over confidence thresholds; arguments as of `average_precision`."""
    score = _published_max_f1 if published else _corrected_max_f1
    return _Ranking.of(confidence, iou, has_source, iou_threshold).each(score, counts)


def f1_curve(
    confidence: Float[Tensor, " n"],
    iou: Float[Tensor, " n"],
    has_source: Bool[Tensor, " n"],
    iou_threshold: float = IOU_THRESHOLD,
) -> Float[Tensor, " t"]:
    """F1 at every s-th confidence in ascending order, s = max(1, n // 10): the list that the released code prints."""
    ranking = _Ranking.of(confidence, iou, has_source, iou_threshold)
    once = torch.ones_like(ranking.order)[None]
    return _published_f1s(ranking.curves(once))[0] if len(confidence) else torch.zeros(0, dtype=torch.float64)


def precision_recall(
    confidence: Float[Tensor, " n"],
    iou: Float[Tensor, " n"],
    has_source: Bool[Tensor, " n"],
    threshold: float,
    published: bool = False,
    iou_threshold: float = IOU_THRESHOLD,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Precision and recall where a confidence of `threshold` detects; 1 where nothing was detected, or to be found."""
    detected = confidence >= threshold
    right = detected & has_source & (iou >= iou_threshold)
    sought = has_source & (right | ~detected) if published else has_source
    return _share(right.sum(), detected.sum()), _share(right.sum(), sought.sum())


def f1_at(
    confidence: Float[Tensor, " n"],
    iou: Float[Tensor, " n"],
    has_source: Bool[Tensor, " n"],
    threshold: float = 0.5,
    published: bool = False,
    iou_threshold: float = IOU_THRESHOLD,
) -> Float[Tensor, ""]:
    """F1 where a confidence of `threshold` detects; 0 where precision and recall are."""
    return _f1(*precision_recall(confidence, iou, has_source, threshold, published, iou_threshold))


def loc_acc(
    iou: Float[Tensor, " n"], has_source: Bool[Tensor, " n"], iou_threshold: float = IOU_THRESHOLD, strict: bool = False
) -> Float[Tensor, ""]:
    """Share of the samples with a source whose IoU is `at` least, or, as `precision_at_50` has it, `strict`ly more.

    Examples:
        >>> loc_acc(torch.tensor([0.7, 0.2, 0.9]), torch.tensor([True, True, False]))  # the last has no source
        tensor(0.5000, dtype=torch.float64)
    """
    values = iou[has_source]
    return ((values > iou_threshold) if strict else (values >= iou_threshold)).double().mean()


def size_bucket(area: Float[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Which of `SIZES` a truth has by its sum over 224 x 224 pixels: below 32^2, 96^2, 144^2, or above."""
    return torch.bucketize(area.double(), torch.tensor(SIZE_EDGES, dtype=torch.float64, device=area.device), right=True)


class DetectionStats(NamedTuple):
    """Scores of a subset of the samples; `precision` is of a model that always detects."""

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
    """The table that SLAVC writes: `all` samples, the `visible` ones (with a source), and those of each of `SIZES`.

    Subsets without a sample are nan. AUC is of the samples with a source.
    """
    size = size_bucket(area)
    subsets = {"all": torch.ones_like(has_source), "visible": has_source}
    subsets |= {name: has_source & (size == which) for which, name in enumerate(SIZES)}
    grid: AUCGrid = "float" if published else "integer"
    found = {}
    for name, some in subsets.items():
        few = confidence[some], iou[some], has_source[some]
        found[name] = DetectionStats(
            precision=(few[2] & (few[1] >= iou_threshold)).double().mean(),
            max_f1=max_f1(*few, published, iou_threshold),
            ap=average_precision(*few, published, iou_threshold),
            auc=auc(few[1][few[2]], grid),
        )
    return found


class _Curves(NamedTuple):
    """What reaches each distinct confidence, the highest first: (draws, levels), and all `sources` (draws, 1)."""

    detected: Tensor
    found: Tensor  # samples with a source among them
    right: Tensor  # and in the right place
    sources: Tensor


@dataclass(frozen=True)
class _Ranking:
    """Samples by falling confidence; `last` is where each run of equal confidences ends."""

    order: Int[Tensor, " n"]
    last: Int[Tensor, " m"]
    sourced: Bool[Tensor, " n"]
    right: Bool[Tensor, " n"]

    @classmethod
    def of(cls, confidence: Tensor, iou: Tensor, has_source: Tensor, at: float) -> "_Ranking":
        order = confidence.argsort(descending=True, stable=True)
        ranked, sourced = confidence[order], has_source[order]
        ends = torch.ones_like(sourced)
        ends[:-1] = ranked[:-1] != ranked[1:]
        return cls(order, ends.nonzero()[:, 0], sourced, sourced & (iou[order] >= at))

    def curves(self, counts: Int[Tensor, "d n"]) -> _Curves:
        drawn = counts[:, self.order].int()
        detected, found, right = (
            (drawn * some).cumsum(dim=1, dtype=torch.int32)[:, self.last] for some in (1, self.sourced, self.right)
        )
        return _Curves(detected, found, right, found[:, -1:])

    def each(self, score: Callable[[_Curves], Tensor], counts: Int[Tensor, "*d n"] | None) -> Tensor:
        """A score of each draw, some draws at a time; nan for a draw of nothing."""
        n, shape = len(self.order), () if counts is None else counts.shape[:-1]
        draws = self.order.new_ones(1, n) if counts is None else counts.reshape(-1, n)
        if not n or not len(draws):
            return torch.full(shape, torch.nan, dtype=torch.float64, device=self.order.device)
        parts = draws.split(max(1, MAX_CELLS // n))
        found = torch.cat([torch.where(part.any(dim=1), score(self.curves(part)), torch.nan) for part in parts])
        return found.reshape(shape)


def _corrected_ap(curves: _Curves) -> Tensor:
    right, sources = curves.right.double(), curves.sources[:, 0].double()
    precision = right / curves.detected.clamp(min=1)
    envelope = precision.flip(1).cummax(dim=1).values.flip(1)
    return (right.diff(dim=1, prepend=torch.zeros_like(right[:, :1])) * envelope).sum(dim=1) / sources


def _corrected_max_f1(curves: _Curves) -> Tensor:
    f1 = 2 * curves.right.double() / (curves.detected + curves.sources)
    return torch.where(curves.sources[:, 0] > 0, f1.amax(dim=1), torch.nan)


def _published_ap(curves: _Curves) -> Tensor:
    n = _drawn(curves)
    step = (n // 200).clamp(min=1)
    place = 1 + step * torch.arange(_longest(n - 1, step), device=n.device)  # in falling order, repeats and all
    precision, recall = _published_at(curves, place, n)
    envelope = precision.flip(1).cummax(dim=1).values.flip(1)
    steps = recall.diff(dim=1) * (place < n)[:, 1:]
    return (envelope[:, :-1] * steps).sum(dim=1)


def _published_f1s(curves: _Curves) -> Tensor:
    """F1 at the thresholds from the lowest on; -1 where a draw has fewer than others."""
    n = _drawn(curves)
    step = (n // 10).clamp(min=1)
    place = n - 1 - step * torch.arange(_longest(n, step), device=n.device)
    return torch.where(place >= 0, _f1(*_published_at(curves, place, n)), -1.0)


def _published_max_f1(curves: _Curves) -> Tensor:
    return _published_f1s(curves).amax(dim=1)


def _published_at(curves: _Curves, place: Int[Tensor, "d t"], n: Int[Tensor, "d 1"]) -> tuple[Tensor, Tensor]:
    """Precision and recall where the confidence at a place of the (repeated) falling order is the threshold.

    Precision is 0 at places behind the end.
    """
    last = curves.detected.shape[1] - 1
    level = torch.searchsorted(curves.detected, place.int().contiguous(), right=True).clamp(max=last)
    detected, found, right = (some.gather(1, level) for some in curves[:3])
    precision = torch.where(place < n, _share(right, detected), 0)
    return precision, _share(right, right + curves.sources - found)


def _drawn(curves: _Curves) -> Int[Tensor, "d 1"]:
    return curves.detected[:, -1:].long()


def _longest(span: Tensor, step: Tensor) -> int:
    """How many thresholds the draw with the most has, 1 at least."""
    return max(1, int(((span + step - 1) // step).max()))


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """Their ratio; 1 where the whole is nothing."""
    return torch.where(whole > 0, part.double() / whole.clamp(min=1), 1)


def _f1(precision: Tensor, recall: Tensor) -> Tensor:
    return 2 * precision * recall / (precision + recall).clamp(min=torch.finfo(torch.float64).tiny)
