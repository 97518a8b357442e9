"""torchmetrics classes over the functions: they gather numbers per sample, over batches and processes, and no more."""

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from whence.evaluation import tallies
from whence.evaluation.protocols import Protocol, get_protocol


class LocalisationScores(Metric):
    """cIoU, AUC, mean IoU, IIoU, IAUC and their adaptive forms under a protocol.

    Neither the order of the samples nor how they are batched moves a number. `compute` gives the report's keys as
    float64 scalars; interactive ones are there where some group has two samples or more.
    """

    full_state_update = False
    iou: list[Tensor]
    adaptive: list[Tensor]
    groups: list[Tensor]

    def __init__(self, protocol: str | Protocol = "corrected") -> None:
        super().__init__()
        self.protocol = get_protocol(protocol)
        for state in ("iou", "adaptive", "groups"):
            self.add_state(state, [], dist_reduce_fx="cat")

    def update(
        self,
        maps: Float[Tensor, "b h w"],
        truths: Bool[Tensor, "b s s"] | Float[Tensor, "b s s"],
        groups: Sequence[str] | Int[Tensor, " b"],
    ) -> None:
        """Score a batch.

        Args:
            maps: raw, at the model's own resolution or already at the truths' size.
            truths: at the protocol's size.
            groups: what picture each sample shows, by name or number.
        """
        iou, adaptive = self.protocol.score(maps, truths)
        numbers = groups if isinstance(groups, Tensor) else torch.tensor([_number(name) for name in groups])
        if self.protocol.empty_truth == "apart":
            some = (truths != 0).flatten(1).any(dim=1).cpu()
            iou, adaptive, numbers = iou[some], adaptive[some], numbers.cpu()[some]
        for state, values in zip((self.iou, self.adaptive, self.groups), (iou, adaptive, numbers), strict=True):
            state.append(values.to(self.device))

    def compute(self) -> dict[str, Tensor]:
        iou, adaptive, groups = (dim_zero_cat(state).cpu() for state in (self.iou, self.adaptive, self.groups))
        found = tallies.localisation(iou, adaptive, groups.long(), self.protocol)
        return {key: torch.tensor(tally.mean, dtype=torch.float64) for key, tally in found.items()}


def _number(name: str) -> int:
    """The same 63-bit number for a name in every process, unlike `hash`."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1
