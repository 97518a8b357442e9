"""torchmetrics classes over the functions: they gather numbers per sample, over batches and processes, and no more."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from soundspot.evaluation import functional as F
from soundspot.evaluation.engine import aggregate as scores
from soundspot.evaluation.engine.aggregate import Scores
from soundspot.evaluation.engine.predict import NEGATIVES
from soundspot.evaluation.engine.relevance import compute_relevance
from soundspot.evaluation.protocols.fast_iou import compute_overlaps
from soundspot.evaluation.protocols.presets import Protocol, compute_columns, get_protocol
from soundspot.evaluation.protocols.thresholding import ThresholdRule


class SampleMetric(Metric):
    """Columns of numbers per sample, gathered; a subclass says which and what scores they make.

    Neither the order of the samples, nor how they are batched, nor how many processes share them moves a number.
    """

    full_state_update = False
    columns: tuple[str, ...] = ()

    def __init__(self, protocol: str | Protocol = "corrected") -> None:
        super().__init__()
        self.protocol = get_protocol(protocol)
        for name in self.columns:
            self.add_state(name, [], dist_reduce_fx="cat")

    def append_columns(self, **columns: Tensor) -> None:
        """Add to each column."""
        for name in self.columns:
            getattr(self, name).append(columns[name].detach().to(self.device))

    def get_columns(self) -> dict[str, Tensor]:
        """The columns, on the CPU."""
        return {name: dim_zero_cat(getattr(self, name)).cpu() for name in self.columns}

    def compute_scores(self, columns: dict[str, Tensor]) -> Scores:
        raise NotImplementedError

    def compute(self) -> dict[str, Tensor]:
        """The report's keys: float64 scalars."""
        found = self.compute_scores(self.get_columns())
        return {key: torch.tensor(score.value, dtype=torch.float64) for key, score in found.items()}


class LocalizationScores(SampleMetric):
    """cIoU, AUC, mean IoU, their adaptive and interactive forms, F-scores of masks; AP, max-F1, LocAcc with negatives.

    Interactive scores are there where some picture is asked with two sounds or more.

    Args:
        masks: whether truths are masks, which have F-scores.
    """

    def __init__(self, protocol: str | Protocol = "corrected", is_mask: bool = False) -> None:
        rules, blank = get_protocol(protocol), torch.zeros(1, 4, 4)
        self.is_mask = is_mask
        found = compute_columns([replace(rules, size=4)], blank, blank.bool(), is_mask)[0]
        self.measured_columns = tuple(found)
        self.columns = (*self.measured_columns, "confidence", "present", "area", "groups")
        super().__init__(rules)

    def update(
        self,
        preds: Float[Tensor, "b h w"],
        target: Bool[Tensor, "b s s"] | Float[Tensor, "b s s"],
        groups: Sequence[str] | Int[Tensor, " b"],
        present: Bool[Tensor, " b"] | None = None,
    ) -> None:
        """Score a batch.

        Args:
            maps: raw, at the model's own resolution or already at the truths' size.
            truths: at the protocol's size.
            groups: what picture each sample shows, by name or number.
            present: False where no source of the sound is in the picture; None: all are.
        """
        large = self.protocol.upsample(preds)
        self.append_columns(
            **compute_columns([self.protocol], large, target, self.is_mask)[0],
            confidence=F.confidence(large),
            present=torch.ones(len(preds), dtype=torch.bool) if present is None else present,
            area=(target != 0).flatten(1).double().mean(dim=1),
            groups=_numbers(groups),
        )

    def compute_scores(self, columns: dict[str, Tensor]) -> Scores:
        measured = {name: columns[name] for name in self.measured_columns}
        unknown = torch.full_like(columns["area"], torch.nan)

        def number(name: str) -> Float[Tensor, " n"]:
            return columns.get(name, unknown)

        return scores.compute_sample_scores(measured, number, columns["present"], columns["groups"], self.protocol)


class RetrievalScores(SampleMetric):
    """Recall both ways, by instance and by category; alignment and magnitude of the pairs.

    A row is a pair of a picture and its sound; pictures that are asked with several sounds come once for each.
    """

    columns = ("images", "sounds", "groups", "categories")

    def update(
        self,
        images: Float[Tensor, "b d"],
        audio: Float[Tensor, "b d"],
        groups: Sequence[str] | Int[Tensor, " b"],
        categories: Sequence[str] | Int[Tensor, " b"],
    ) -> None:
        """Add pairs of unit-norm vectors."""
        self.append_columns(images=images, sounds=audio, groups=_numbers(groups), categories=_numbers(categories))

    def compute_scores(self, columns: dict[str, Tensor]) -> Scores:
        groups, kinds = columns["groups"], columns["categories"]
        pictures, which = groups.unique(return_inverse=True)
        first = torch.zeros_like(pictures).scatter_(0, which, torch.arange(len(which)))
        relevant = compute_relevance(groups, kinds)
        found = scores.compute_retrieval_scores(columns["images"][first], columns["sounds"], relevant, pictures, groups)
        return found | scores.compute_embedding_scores(columns["images"], columns["sounds"], groups)


class NegativeScores(SampleMetric):
    """pIA, AUC-N, F-LOC and F-AUC: what is claimed where nothing sounds, at one threshold for all."""

    columns = ("iou", *NEGATIVES, "groups")

    def __init__(self, threshold: float, protocol: str | Protocol = "corrected") -> None:
        super().__init__(protocol)
        self.threshold = threshold

    def update(
        self,
        preds: Float[Tensor, "b h w"],
        target: Bool[Tensor, "b s s"] | Float[Tensor, "b s s"],
        negatives: dict[str, Float[Tensor, "b h w"]],
        groups: Sequence[str] | Int[Tensor, " b"],
    ) -> None:
        """Score a batch.

        Args:
            maps: raw, with the own sounds.
            negatives: raw maps of the same pictures with `silence`, `noise` and `offscreen` sounds.
        """
        plain = replace(self.protocol, tau=None)
        found = compute_overlaps(plain.upsample(preds), target, [ThresholdRule(self.threshold, "drop")])
        shares = {kind: F.pia(plain.upsample(negatives[kind]), self.threshold) for kind in NEGATIVES}
        self.append_columns(iou=found.iou[0], **shares, groups=_numbers(groups))

    def compute_scores(self, columns: dict[str, Tensor]) -> Scores:
        shares = {kind: columns[kind] for kind in NEGATIVES}
        return scores.compute_negative_scores(columns["iou"], shares, columns["groups"], self.protocol)


def _numbers(names: Sequence[str] | Int[Tensor, " b"]) -> Int[Tensor, " b"]:
    """The same 63-bit number for a name in every process, unlike `hash`."""
    if isinstance(names, Tensor):
        return names
    hashes = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return torch.tensor([int.from_bytes(digest, "big") >> 1 for digest in hashes])
