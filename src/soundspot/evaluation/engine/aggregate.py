"""From numbers per sample to scores, each of which knows how it moves when samples are drawn anew.

Most are means of numbers that belong to groups (success rates, areas under them, group minima, recalls, and functions
of such means): their bootstrap is one matrix product. The others are functions of how often each sample counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soundspot.evaluation import functional as F
from soundspot.evaluation.engine.predict import NEGATIVES
from soundspot.evaluation.engine.relevance import Relevance
from soundspot.evaluation.functional.retrieval import EmbeddingRows, embedding_ranks_multi
from soundspot.evaluation.protocols.presets import Columns, Protocol

RECALL_KS = (1, 5, 10)
MAX_CELLS = 2**20  # draws x samples at a time
PAIR_BLOCK = 1024  # vectors at a time


@dataclass(frozen=True)
class GroupedMean:
    """The mean of `values` (n,), or `combine` of the k means of `values` (n, k).

    Sample i belongs to group `groups[i]`, the unit that the bootstrap draws; in a draw, group j counts weights[:, j]
    times.
    """

    values: Float[Tensor, " n"] | Float[Tensor, "n k"]
    groups: Int[Tensor, " n"]
    combine: Callable[[Float[Tensor, "d k"]], Float[Tensor, " d"]] | None = None

    @property
    def columns(self) -> Float[Tensor, "n k"]:
        return self.values.double().reshape(len(self.values), -1)

    @property
    def value(self) -> float:
        return float(self.apply_combine(self.columns.mean(dim=0)[None]))

    def resample(self, weights: Float[Tensor, "d g"]) -> Float[Tensor, " d"]:
        return make_resampler([self], weights.shape[1])(weights)[0]

    def apply_combine(self, means: Float[Tensor, "d k"]) -> Float[Tensor, " d"]:
        return self.combine(means) if self.combine else means[:, 0]


@dataclass(frozen=True)
class RankStatistic:
    """`statistic` of how often each sample counts: (d, n) -> (d,)."""

    statistic: Callable[[Int[Tensor, "d n"]], Float[Tensor, " d"]]
    groups: Int[Tensor, " n"]

    @property
    def value(self) -> float:
        return float(self.statistic(torch.ones(1, len(self.groups), dtype=torch.int64)))

    def resample(self, weights: Float[Tensor, "d g"]) -> Float[Tensor, " d"]:
        parts = weights.split(max(1, MAX_CELLS // max(1, len(self.groups))))
        return torch.cat([self.statistic(some[:, self.groups].long()) for some in parts])


Score: TypeAlias = GroupedMean | RankStatistic
Scores: TypeAlias = dict[str, Score]


def make_resampler(
    grouped_means: list[GroupedMean], num_groups: int
) -> Callable[[Float[Tensor, "d g"]], list[Float[Tensor, " d"]]]:
    """What makes of weights the draws of many tallies by one matrix product; nan where no group of a draw counts."""
    widths = [tally.columns.shape[1] for tally in grouped_means]
    sums, counts = torch.zeros(num_groups, sum(widths)), torch.zeros(num_groups, len(grouped_means))
    for i, (tally, part) in enumerate(zip(grouped_means, sums.split(widths, dim=1), strict=True)):
        part.index_add_(0, tally.groups, tally.columns.float())
        counts[:, i].index_add_(0, tally.groups, torch.ones(len(tally.groups)))

    def drawn(weights: Float[Tensor, "d g"]) -> list[Float[Tensor, " d"]]:
        totals, seen = (weights @ sums).split(widths, dim=1), weights @ counts
        return [
            tally.apply_combine(total / n[:, None])
            for tally, total, n in zip(grouped_means, totals, seen.T, strict=True)
        ]

    return drawn


def select_best_threshold(columns: Columns, protocol: Protocol, is_scored: Bool[Tensor, " n"]) -> Columns:
    """The columns of the one threshold that a protocol with `best_of` reports: of the best AUC over the `scored`."""
    if not protocol.candidate_thresholds or not columns or columns["iou"].ndim == 1:
        return columns
    tried = columns["iou"][is_scored].T
    best = torch.stack([F.auc_terms(column, protocol.auc_grid).mean() for column in tried]).argmax()
    return {name: column[:, int(best)] for name, column in columns.items()}


def is_scored(present: Bool[Tensor, " n"], area: Float[Tensor, " n"], protocol: Protocol) -> Bool[Tensor, " n"]:
    """Which samples enter the localisation scores: those with a source, unless its truth is empty and set apart."""
    return present & ((area > 0) | (protocol.empty_target != "exclude"))


def compute_sample_scores(
    columns: Columns,
    get_column: Callable[[str], Float[Tensor, " n"]],
    present: Bool[Tensor, " n"],
    groups: Int[Tensor, " n"],
    protocol: Protocol,
) -> Scores:
    """All scores that numbers per sample give: localisation, detection, negatives. A report's samples.csv holds them.

    Args:
        columns: of all samples, as `Protocol.measure` gives them.
        number: by name a column that belongs to no cut (`report.SampleRow`), nan where it is not known.
    """
    some = is_scored(present, get_column("area"), protocol)
    columns = select_best_threshold(columns, protocol, some)
    found = compute_localization_scores(
        {name: column[some] for name, column in columns.items()}, groups[some], protocol
    )
    counted, sure = some | ~present, get_column("confidence")
    low, high = (
        (float(end) for end in torch.aminmax(sure[~sure.isnan()])) if bool((~sure.isnan()).any()) else (0.0, 0.0)
    )
    worst = torch.where(present, low - 1, high + 1).to(sure.dtype)  # not answered: wrong, whatever it was
    sure = torch.where(sure.isnan(), worst, sure)
    several = {name: column[counted] for name, column in columns.items()}
    found |= compute_detection_scores(sure[counted], several, present[counted], groups[counted], protocol)
    claimed = {kind: get_column(f"pia_{kind}") for kind in NEGATIVES}
    claimed = {kind: share for kind, share in claimed.items() if not bool(share.isnan().all())}
    asked = some.clone()
    for share in claimed.values():  # the same samples for all kinds: not every picture has a foreign sound
        asked &= ~share.isnan()
    if claimed and bool(asked.any()):
        shares = {kind: share[asked] for kind, share in claimed.items()}
        found |= compute_negative_scores(get_column("iou_universal")[asked], shares, groups[asked], protocol)
    return found


def compute_localization_scores(columns: Columns, groups: Int[Tensor, " n"], protocol: Protocol) -> Scores:
    """cIoU, AUC, mean IoU; F of masks; IIoU and IAUC where pictures are asked with several sounds; adaptive forms.

    Args:
        columns: as `Protocol.measure` gives them, `settled`.
    """
    found: Scores = {}
    if not len(groups):
        return found
    suffixes = [suffix for suffix in ("", "_adaptive") if f"iou{suffix}" in columns]
    for suffix in suffixes:
        iou = columns[f"iou{suffix}"]
        found[f"ciou{suffix}"] = GroupedMean((iou >= F.IOU_THRESHOLD).double(), groups)
        found[f"auc{suffix}"] = GroupedMean(F.auc_terms(iou, protocol.auc_grid), groups)
    for suffix in suffixes:
        found[f"mean_iou{suffix}"] = GroupedMean(columns[f"iou{suffix}"], groups)
    found |= _segmentation(columns, groups)
    sizes = F.group_sizes(groups)
    if int(sizes.max()) < 2:
        return found
    counted = sizes >= protocol.min_group_size
    names = groups.unique()[counted]
    for suffix in suffixes:
        worst = F.worst_of_groups(columns[f"iou{suffix}"], groups)[counted]
        found[f"iiou{suffix}"] = GroupedMean(F.group_success(worst), names)
        found[f"iauc{suffix}"] = GroupedMean(F.group_auc_terms(worst, protocol.auc_grid), names)
    return found


def _segmentation(columns: Columns, groups: Int[Tensor, " n"]) -> Scores:
    """mIoU and F-score of samples whose truths are masks; F of those that have a pixel."""
    found: Scores = {}
    if "f_curve" in columns:
        some = ~columns["f_curve"].isnan().any(dim=1)
        found["miou"] = GroupedMean(columns["iou"], groups)
        found["fscore"] = GroupedMean(columns["f_curve"][some], groups[some], lambda curves: curves.amax(dim=1))
    for suffix in ("", "_adaptive"):
        if (f := columns.get(f"f{suffix}")) is not None:
            some = ~f.isnan()
            found[f"miou{suffix}"] = GroupedMean(columns[f"iou{suffix}"], groups)
            found[f"fscore{suffix}"] = GroupedMean(f[some], groups[some])
    return found


def compute_detection_scores(
    confidence: Float[Tensor, " n"],
    columns: Columns,
    present: Bool[Tensor, " n"],
    groups: Int[Tensor, " n"],
    protocol: Protocol,
) -> Scores:
    """AP, max-F1, LocAcc of sets where some sounds have no source in the picture, and how well confidence tells.

    Args:
        columns: `iou`, and `iou_adaptive` where the protocol has one.
    """
    if bool(present.all()) or not bool(present.any()):
        return {}
    published = protocol.detection == "published"
    found: Scores = {"presence_auroc": RankStatistic(lambda counts: compute_auroc(confidence, present, counts), groups)}
    for suffix in ("", "_adaptive"):
        if f"iou{suffix}" in columns:
            iou = columns[f"iou{suffix}"]
            found[f"ap{suffix}"] = RankStatistic(partial(_ap, confidence, iou, present, published), groups)
            found[f"max_f1{suffix}"] = RankStatistic(partial(_max_f1, confidence, iou, present, published), groups)
            found[f"loc_acc{suffix}"] = GroupedMean((iou[present] >= F.IOU_THRESHOLD).double(), groups[present])
    return found


def _ap(
    confidence: Tensor, iou: Tensor, present: Tensor, published: bool, counts: Int[Tensor, "d n"]
) -> Float[Tensor, " d"]:
    return F.average_precision(confidence, iou, present, published, counts=counts)


def _max_f1(
    confidence: Tensor, iou: Tensor, present: Tensor, published: bool, counts: Int[Tensor, "d n"]
) -> Float[Tensor, " d"]:
    return F.max_f1(confidence, iou, present, published, counts=counts)


def compute_auroc(
    values: Float[Tensor, " n"], is_positive: Bool[Tensor, " n"], counts: Int[Tensor, "d n"]
) -> Float[Tensor, " d"]:
    """How often a positive sample's value is higher than a negative one's, equals counting half, for each draw."""
    levels, level = values.unique(return_inverse=True)
    tallied = [
        torch.zeros(len(counts), len(levels), dtype=torch.float64).index_add_(1, level[side], counts[:, side].double())
        for side in (is_positive, ~is_positive)
    ]
    own, other = tallied
    below = other.cumsum(dim=1) - 0.5 * other
    return (own * below).sum(dim=1) / (own.sum(dim=1) * other.sum(dim=1))


def compute_retrieval_scores(
    images: EmbeddingRows,
    audio: EmbeddingRows,
    relevance: dict[str, Relevance],
    image_groups: Int[Tensor, " p"],
    audio_groups: Int[Tensor, " n"],
) -> Scores:
    """Recall of pictures by sounds (`a2i`) and of sounds by pictures (`i2a`), over all of the set.

    Recalls that could not fail, because so many are drawn, are left out.

    Args:
        relevant: of `relevance.relevance`.
    """
    sides = (
        ("a2i", audio, images, [answers.get_transposed_block for answers in relevance.values()], audio_groups),
        ("i2a", images, audio, [answers.get_block for answers in relevance.values()], image_groups),
    )
    ranked = {name: embedding_ranks_multi(queries, items, right) for name, queries, items, right, _ in sides}
    return {
        f"recall_{name}{suffix}@{k}": GroupedMean((ranks < k).double(), groups)
        for at, suffix in enumerate(relevance)
        for name, _, items, _, groups in sides
        for ranks in [ranked[name][at]]
        for k in _worth_asking(len(items))
    }


def compute_retrieval_chance(
    relevance: dict[str, Relevance], image_groups: Int[Tensor, " p"], audio_groups: Int[Tensor, " n"]
) -> Scores:
    """The same for a random order: what a retrieval score must be read against."""
    found: Scores = {}
    for suffix, right in relevance.items():
        sounds_of, pictures_of = right.count_relevant()
        sides = (
            (f"a2i{suffix}", pictures_of, len(sounds_of), audio_groups),
            (f"i2a{suffix}", sounds_of, len(pictures_of), image_groups),
        )
        for name, answers, items, groups in sides:
            for k in _worth_asking(items):
                found[f"recall_{name}@{k}"] = GroupedMean(F.chance_recall(answers, items, k), groups)
    return found


def _worth_asking(items: int) -> list[int]:
    return [k for k in RECALL_KS if k < items]


def compute_embedding_scores(images: EmbeddingRows, audio: EmbeddingRows, groups: Int[Tensor, " n"]) -> Scores:
    """Alignment (mean cosine) and magnitude (mean distance) of matched pairs of unit vectors."""
    cosine, distance = torch.empty(2, len(groups), dtype=torch.float64)
    for start in range(0, len(groups), PAIR_BLOCK):
        few = slice(start, start + PAIR_BLOCK)
        ours, theirs = images[few].double(), audio[few].double()
        cosine[few], distance[few] = (ours * theirs).sum(dim=1), (ours - theirs).norm(dim=1)
    return {"alignment": GroupedMean(cosine, groups), "magnitude": GroupedMean(distance, groups)}


def compute_negative_scores(
    iou: Float[Tensor, " n"],
    predicted_area: dict[str, Float[Tensor, " n"]],
    groups: Int[Tensor, " n"],
    protocol: Protocol,
) -> Scores:
    """Scores at one threshold for all pictures and sounds: what is claimed of the picture where nothing should be.

    Args:
        iou: of the maps with their own sounds, at that threshold; nan counts as 0, as published.
        claimed: by kind of negative, the share of the picture that exceeds the threshold.
    """
    iou = iou.nan_to_num()
    area = F.auc_terms(iou, protocol.auc_grid)
    quiet = {kind: F.auc_n_terms(share, protocol.auc_grid) for kind, share in predicted_area.items()}
    found: Scores = {"mean_iou_universal": GroupedMean(iou, groups), "auc_universal": GroupedMean(area, groups)}
    for kind, share in predicted_area.items():
        found[f"pia_{kind}"] = GroupedMean(share, groups)
        found[f"aucn_{kind}"] = GroupedMean(quiet[kind], groups)
    if set(predicted_area) != set(NEGATIVES):  # F-LOC and F-AUC are of all three kinds
        return found
    shares = torch.stack([1 - share for share in predicted_area.values()], dim=1).mean(dim=1)
    found["f_loc"] = GroupedMean(torch.stack([iou, shares], dim=1), groups, _harmonic)
    areas = torch.stack([*quiet.values()], dim=1).mean(dim=1)
    found["f_auc"] = GroupedMean(torch.stack([area, areas], dim=1), groups, _harmonic)
    return found


def _harmonic(means: Float[Tensor, "d 2"]) -> Float[Tensor, " d"]:
    return F.harmonic_mean(means[:, 0], means[:, 1])
