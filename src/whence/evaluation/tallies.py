"""From numbers per sample to scores: each score of a report is a mean of numbers that belong to groups.

That holds for success rates, areas under them, group minima and recalls alike, and makes their bootstrap one
matrix product.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from whence.evaluation import functional as F
from whence.evaluation.protocols import Protocol

RECALLS = (1, 5, 10)


@dataclass(frozen=True)
class Tally:
    """A score as the mean of `values`; value i belongs to group `groups[i]`, the unit that is resampled."""

    values: Float[Tensor, " n"]
    groups: Int[Tensor, " n"]

    @property
    def mean(self) -> float:
        return float(self.values.double().mean())


Tallies = dict[str, Tally]


def localisation(
    iou: Float[Tensor, " n"], adaptive: Float[Tensor, " n"], groups: Int[Tensor, " n"], protocol: Protocol
) -> Tallies:
    """cIoU, AUC, mean IoU and, where pictures are asked with several sounds, IIoU and IAUC; with adaptive forms."""
    if not len(iou):
        return {}
    found = {
        "ciou": Tally((iou >= F.SUCCESS).double(), groups),
        "auc": Tally(F.auc_terms(iou, protocol.auc_grid), groups),
    }
    if protocol.adaptive:
        found["ciou_adaptive"] = Tally((adaptive >= F.SUCCESS).double(), groups)
        found["auc_adaptive"] = Tally(F.auc_terms(adaptive, protocol.auc_grid), groups)
    found["mean_iou"] = Tally(iou, groups)
    sizes = F.group_sizes(groups)
    if int(sizes.max()) < 2:
        return found
    counted = sizes >= protocol.min_group
    names = groups.unique()[counted]
    for suffix, values in {"": iou, "_adaptive": adaptive}.items():
        if suffix and not protocol.adaptive:
            continue
        worst = F.worst_of_groups(values, groups)[counted]
        found[f"iiou{suffix}"] = Tally(F.group_success(worst), names)
        found[f"iauc{suffix}"] = Tally(F.group_auc_terms(worst, protocol.auc_grid), names)
    return found


def retrieval(
    images: Float[Tensor, "p d"],
    sounds: Float[Tensor, "n d"],
    relevant: Bool[Tensor, "p n"],
    image_groups: Int[Tensor, " p"],
    sound_groups: Int[Tensor, " n"],
) -> Tallies:
    """Recall of pictures by sounds (`a2i`) and of sounds by pictures (`i2a`), over all of the set.

    Recalls that could not fail, because so many are drawn, are left out.
    """
    found: Tallies = {}
    for name, queries, items, answers, groups in (
        ("a2i", sounds, images, relevant.T, sound_groups),
        ("i2a", images, sounds, relevant, image_groups),
    ):
        few = zip(queries.split(1024), answers.split(1024), strict=True)  # bounds the similarity matrix
        ranks = torch.cat([F.retrieval_ranks(some @ items.T, right) for some, right in few])
        for k in _worth_asking(len(items)):
            found[f"recall_{name}@{k}"] = Tally((ranks < k).double(), groups)
    return found


def retrieval_chance(
    relevant: Bool[Tensor, "p n"], image_groups: Int[Tensor, " p"], sound_groups: Int[Tensor, " n"]
) -> Tallies:
    """The same for a random order: what a retrieval score must be read against."""
    found: Tallies = {}
    for name, answers, groups in (("a2i", relevant.T, sound_groups), ("i2a", relevant, image_groups)):
        for k in _worth_asking(answers.shape[1]):
            found[f"recall_{name}@{k}"] = Tally(F.chance_recall(answers.sum(dim=1), answers.shape[1], k), groups)
    return found


def _worth_asking(items: int) -> list[int]:
    return [k for k in RECALLS if k < items]
