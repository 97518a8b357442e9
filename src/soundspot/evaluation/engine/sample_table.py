"""Answers in, numbers of each sample out: what every protocol makes of them, and of the answers that need no model."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soundspot.evaluation import functional as F
from soundspot.evaluation.engine import baselines
from soundspot.evaluation.engine.aggregate import is_scored
from soundspot.evaluation.engine.distributed import RankShard
from soundspot.evaluation.engine.items import SampleIndex
from soundspot.evaluation.engine.predict import NEGATIVES, PredictionBatch
from soundspot.evaluation.protocols.fast_iou import compute_overlaps
from soundspot.evaluation.protocols.presets import Columns, Protocol, compute_columns
from soundspot.evaluation.protocols.thresholding import TARGET_AREA, ThresholdRule, select_pixels
from soundspot.types import AudioVisualDataset, GroundTruth

MODEL, WHOLE_IMAGE, CENTERED_BOX, OBJECT_SALIENCY, CEILING = (
    "model",
    "whole image",
    "centered box",
    "object saliency",
    "ceiling",
)
ROW_NAMES = (MODEL, WHOLE_IMAGE, CENTERED_BOX, OBJECT_SALIENCY, CEILING, *NEGATIVES)
MIXTURE_ROWS = (MODEL, CENTERED_BOX, OBJECT_SALIENCY, CEILING)
MapList: TypeAlias = list[Tensor]  # each (h, w); of any sizes


class SampleTable:
    """Numbers of each sample as answers come in; of the maps themselves none is kept.

    Attributes:
        added: the items whose answers came in.
        sheets: for each protocol's rules and each of `ROWS`, columns of n numbers; nan where there is none.
        numbers: by name, one column each: `confidence`; `area` of the truth; `peak_own` and the peaks with negatives;
            `overlap_*` of the map's highest places and a negative's; with a threshold, `iou_universal`, `pia_*`.
        mixtures: for each of `MIXED`, columns of one number, or of two to be divided, for each picture; nan where none.
    """

    def __init__(
        self, protocols: Sequence[Protocol], data: AudioVisualDataset, samples: SampleIndex, threshold: float | None
    ):
        self.protocols, self.data, self.samples, self.threshold = protocols, data, samples, threshold
        self.added_indices: list[int] = []
        self.protocol_columns: dict[tuple[Protocol, str], Columns] = {}
        self.sample_columns: Columns = {}
        self.mixtures: dict[str, Columns] = {}
        self.missing: list[int] = []

    def get_protocol_columns(self, protocol: Protocol, row: str) -> Columns:
        """The numbers of one of `ROWS` under a protocol; empty where it has none."""
        return self.protocol_columns.get((_rules(protocol), row), {})

    def get_sample_column(self, name: str) -> Float[Tensor, " n"]:
        """A column of `numbers`; nan all over where it is not known."""
        return self.sample_columns.get(name, torch.full((len(self.samples.ids),), math.nan, dtype=torch.float64))

    def is_scored(self, protocol: Protocol) -> Bool[Tensor, " n"]:
        """Which items enter the localisation scores."""
        return is_scored(torch.tensor(self.samples.present), self.get_sample_column("area"), protocol)

    def all_gather(self, shard: RankShard) -> None:
        """Exchange numbers with the boards of the other processes: all then hold those of all items."""
        if shard.world_size == 1:
            return
        here = torch.tensor(self.added_indices, dtype=torch.int64)
        pictures = self.samples.group_index[here].unique()
        mine = (
            (here, pictures, self.missing),
            {key: _rows(columns, here) for key, columns in self.protocol_columns.items()},
            _rows(self.sample_columns, here),
            {key: _rows(columns, pictures) for key, columns in self.mixtures.items()},
        )
        self.added_indices, self.missing, self.protocol_columns, self.sample_columns, self.mixtures = [], [], {}, {}, {}
        for (theirs, shown, unanswered), sheets, numbers, mixtures in shard.all_gather(mine):
            self.added_indices += theirs.tolist()
            self.missing += unanswered
            _fill(self.sample_columns, theirs, numbers, len(self.samples.ids))
            for key, columns in sheets.items():
                _fill(self.protocol_columns.setdefault(key, {}), theirs, columns, len(self.samples.ids))
            for row, columns in mixtures.items():
                _fill(self.mixtures.setdefault(row, {}), shown, columns, len(self.samples.group_first))

    def update(self, batch: PredictionBatch) -> None:
        here = torch.tensor(batch.indices)
        truths = [self.data.ground_truth(i) for i in batch.indices]
        self.added_indices += batch.indices
        main = _rules(self.protocols[0])
        by_form: dict[tuple[int, str], list[Protocol]] = {}
        for rules in dict.fromkeys(map(_rules, self.protocols)):
            consensus = rules.consensus if any(truth.rule == "consensus" for truth in truths) else ""
            by_form.setdefault((rules.size, consensus), []).append(rules)
        for form, protocols in by_form.items():
            target = _truth_maps(truths, *form)
            large = self._measure(protocols, batch, here, target)
            if main in protocols:
                self._common(main, batch, here, target, large)
                self._of_mixtures(main, batch, target)

    def _measure(
        self, protocols: list[Protocol], answers: PredictionBatch, here: Int[Tensor, " b"], truths: Tensor
    ) -> Tensor:
        """Each row's numbers under protocols that read the ground truth alike: each map is looked at once for all.

        Returns:
            The model's maps as the first of the protocols reads them.
        """
        size, masks = protocols[0].size, self.samples.has_masks
        for rules, columns in zip(protocols, _whole_image_columns(protocols, truths, masks), strict=True):
            self._put(rules, WHOLE_IMAGE, here, columns)
        for row, maps in (
            (CENTERED_BOX, _centred_box(size).expand(len(here), -1, -1)),
            (CEILING, baselines.oracle_maps(truths)),
        ):
            for rules, columns in zip(protocols, compute_columns(protocols, maps, truths, masks), strict=True):
                self._put(rules, row, here, columns)
        if answers.saliency is not None:
            self._score(protocols, OBJECT_SALIENCY, here, answers.saliency, truths)
        large = self._score(protocols, MODEL, here, answers.maps, truths)
        for rules in protocols:
            self._fail_missing(rules, answers)
        main = _rules(self.protocols[0])
        for kind, asked in answers.negatives.items() if main in protocols else ():
            if asked:
                mine = _places(answers.indices, asked)
                self._score([main], kind, here[mine], [*asked.values()], truths[mine])
        return large

    def _fail_missing(self, rules: Protocol, answers: PredictionBatch) -> None:
        """Score samples without a map as failures."""
        lost = torch.tensor(sorted(answers.missing), dtype=torch.int64)
        for name, column in self.get_protocol_columns(
            rules, MODEL
        ).items():  # a failure; where nothing could be scored, nothing
            best = self.get_protocol_columns(rules, CEILING)[name][lost]
            column[lost] = torch.where(best.isnan(), best, 0)

    def _score(
        self, protocols: list[Protocol], row: str, here: Int[Tensor, " b"], maps: MapList, truths: Tensor
    ) -> Tensor:
        """Numbers of one row under several protocols; those that bring maps to their size alike share the work.

        Returns:
            The maps as the first of the protocols reads them.
        """
        alike: dict[object, list[Protocol]] = {}
        for rules in protocols:
            resized = any(each.shape[-2:] != (rules.size, rules.size) for each in maps)
            alike.setdefault((rules.tau, rules.upsampling if resized else None), []).append(rules)
        raw, large_maps = _stacked(maps), []
        for group in alike.values():
            large_maps.append(large := _upsample(group[0], raw))
            for rules, columns in zip(
                group, compute_columns(group, large, truths, self.samples.has_masks), strict=True
            ):
                self._put(rules, row, here, columns)
        return large_maps[0]

    def _put(self, rules: Protocol, row: str, here: Int[Tensor, " b"], columns: Columns) -> None:
        _fill(self.protocol_columns.setdefault((rules, row), {}), here, columns, len(self.samples.ids))

    def _common(
        self,
        main: Protocol,
        answers: PredictionBatch,
        here: Int[Tensor, " b"],
        truths: Tensor,
        large: Float[Tensor, "b s s"],
    ) -> None:
        """Numbers that belong to no cut: areas, confidences, peaks, overlaps, and what a universal threshold makes."""
        n = len(self.samples.ids)
        area = torch.from_numpy(np.count_nonzero(truths.flatten(1).numpy(), axis=1) / truths[0].numel())
        _fill(self.sample_columns, here, {"area": area}, n)
        self.missing += sorted(answers.missing)
        answered = torch.tensor([i not in answers.missing for i in answers.indices])
        found = {"confidence": F.confidence(large), "peak_own": _peaks(answers.maps)}
        if truths.dtype == torch.bool:
            sources = torch.tensor(self.samples.present)[here] & (area > 0)
            found |= _of_sources(large, truths, self.samples.group_index[here], sources, answered)
        if self.threshold is not None:
            cut, plain = ThresholdRule(self.threshold, "drop"), replace(main, tau=None)
            raw = large if main.tau is None else _large(plain, answers.maps)
            found["iou_universal"] = compute_overlaps(raw, truths, [cut]).iou[0]
        for name in ("confidence", "peak_own"):
            found[name][~answered] = math.nan
        if self.threshold is not None:
            found["iou_universal"][~answered] = 0
        _fill(self.sample_columns, here, found, n)
        if self.threshold is not None and answers.missing:  # all is claimed: a failure here too
            lost = here[~answered]
            whole = torch.ones(len(lost), dtype=torch.float64)
            _fill(self.sample_columns, lost, {f"pia_{kind}": whole for kind in answers.negatives}, n)
        for kind, maps in answers.negatives.items():
            if not maps:
                continue
            mine, others = _places(answers.indices, maps), [*maps.values()]
            own = [answers.maps[i] for i in mine.tolist()]
            found = {f"peak_{kind}": _peaks(others), f"overlap_{kind}": _overlap(own, others, area[mine])}
            if self.threshold is not None:
                found[f"pia_{kind}"] = F.pia(_large(plain, others), self.threshold)
            _fill(self.sample_columns, here[mine], found, n)

    def _of_mixtures(self, main: Protocol, answers: PredictionBatch, truths: Tensor) -> None:
        """Scores of the pictures that were asked with all of their sources at once, of `MIXED` rows."""
        if not answers.mixtures or truths.dtype != torch.bool:
            return
        place = {i: at for at, i in enumerate(answers.indices)}
        members = [[place[i] for i in self.samples.sources_by_group[picture]] for picture in answers.mixtures]
        theirs, asked = F.pad_groups([truths[some] for some in members])
        firsts = [some[0] for some in members]
        told = {
            MODEL: [
                _large(main, maps) if maps else truths.new_zeros(0, *truths.shape[1:]).float()
                for maps in answers.mixtures.values()
            ],
            CENTERED_BOX: [_centred_box(main.size)[None]] * len(members),
            CEILING: [_oracles(truths[some]) for some in members],
        }
        if answers.saliency is not None:
            told[OBJECT_SALIENCY] = [_large(main, [answers.saliency[at]]) for at in firsts]
        for row, maps in told.items():
            found = _matched(*F.pad_groups(maps), theirs, asked)
            _fill(
                self.mixtures.setdefault(row, {}),
                torch.tensor([*answers.mixtures]),
                found,
                len(self.samples.group_first),
            )


def _oracles(truths: Bool[Tensor, "k s s"]) -> Float[Tensor, "k s s"]:
    """`baselines.oracle` of each source, so far above the rest that the sum of all ranks the pixels of any first."""
    return baselines.oracle_maps(truths) + (len(truths) - 1) * truths


_centred_box = cache(lambda size: baselines.centered_box(size, size))


def _rules(protocol: Protocol) -> Protocol:
    """What of a protocol moves numbers: protocols that differ in their names alone are measured once."""
    return replace(protocol, name="", summary="", source="")


def _fill(columns: Columns, here: Int[Tensor, " b"], found: Columns, n: int) -> None:
    for name, values in found.items():
        if name not in columns:
            columns[name] = torch.full((n, *values.shape[1:]), math.nan, dtype=torch.float64)
        columns[name][here] = values.double()


def _rows(columns: Columns, here: Int[Tensor, " b"]) -> Columns:
    return {name: column[here] for name, column in columns.items()}


def _places(items: list[int], some: dict[int, Tensor]) -> Int[Tensor, " m"]:
    place = {i: at for at, i in enumerate(items)}
    return torch.tensor([place[i] for i in some])


def _truth_maps(truths: list[GroundTruth], size: int, consensus: str) -> Tensor:
    """(b, size, size), bool where no truth is a consensus."""
    stacked = torch.stack([truth.to_map(size, size, consensus == "annotators") for truth in truths])
    return stacked.bool() if all(truth.rule != "consensus" for truth in truths) else stacked


def _large(protocol: Protocol, maps: MapList) -> Float[Tensor, "b s s"]:
    return _upsample(protocol, _stacked(maps))


def _upsample(protocol: Protocol, stacked: list[Tensor]) -> Float[Tensor, "b s s"]:
    first, *others = [protocol.upsample(some) for some in stacked]
    return torch.cat([first, *others]) if others else first


def _stacked(maps: MapList) -> list[Float[Tensor, "b h w"]]:
    """All in one where they are of one size, else one by one."""
    return [torch.stack(maps)] if len({one.shape for one in maps}) == 1 else [one[None] for one in maps]


def _peaks(maps: MapList) -> Float[Tensor, " b"]:
    return torch.cat([some.flatten(1).amax(dim=1) for some in _stacked(maps)])


def _whole_image_columns(protocols: list[Protocol], truths: Tensor, masks: bool) -> list[Columns]:
    """Numbers of predicting every pixel: the same in the adaptive columns."""
    plain = [
        replace(
            rules,
            threshold_rule=ThresholdRule(0.5, "keep"),
            adaptive_rule=None,
            candidate_thresholds=(),
            scaling="none",
            fscore="threshold",
        )
        for rules in protocols
    ]
    found = compute_columns(plain, torch.ones(truths.shape[1:]).expand(truths.shape), truths, masks)
    return [
        columns | {f"{name}_adaptive": column for name, column in columns.items() if rules.adaptive_rule}
        for rules, columns in zip(protocols, found, strict=True)
    ]


def _of_sources(
    large: Float[Tensor, "b s s"],
    truths: Bool[Tensor, "b s s"],
    group: Int[Tensor, " b"],
    sources: Bool[Tensor, " b"],
    answered: Bool[Tensor, " b"],
) -> Columns:
    """Pixel AP of pictures with several `sources`: `cap` of each source, `piap` of each picture at its first one."""
    found = dict(zip(("cap", "piap"), torch.full((2, len(large)), math.nan, dtype=torch.float64), strict=True))
    members = [((group == picture) & sources).nonzero()[:, 0] for picture in group.unique()]
    members = [some for some in members if len(some) > 1]
    if not members:
        return {}
    (maps, asked), (theirs, _) = (F.pad_groups([values[some] for some in members]) for values in (large, truths))
    ap = F.source_ap(maps, theirs, asked, F.pad_groups([answered[some] for some in members])[0])
    found["cap"][torch.cat(members)] = ap.cap.where(ap.valid, math.nan)[asked]
    whole = torch.stack([answered[some].all() for some in members])  # a picture with an answer missing is a failure
    found["piap"][torch.stack([some[0] for some in members])] = ap.piap.where(whole, 0)
    return found


def _matched(
    maps: Float[Tensor, "g m s s"],
    answered: Bool[Tensor, "g m"],
    truths: Bool[Tensor, "g k s s"],
    asked: Bool[Tensor, "g k"],
) -> Columns:
    """`assigned_sources` and `matched_sources` of each picture: sums and how many there are, and its PIAP.

    A picture in which nothing is heard is a failure for each of its sources; the released code passes it over.
    """
    iou = F.assigned_sources(maps, truths, asked, answered)
    found = F.matched_sources(maps, truths, asked, answered, shared_image=True)
    silent = ~answered.any(dim=1)
    n = torch.where(silent, asked.sum(dim=1), found.valid.sum(dim=1)).double()

    def summed(values: Tensor) -> Float[Tensor, "g 2"]:
        return torch.stack([(values.double() * found.valid).sum(dim=1), n], dim=1)

    return {
        "ciou_mixture_adaptive": torch.stack([(iou >= F.IOU_THRESHOLD).sum(dim=1), (~iou.isnan()).sum(dim=1)], dim=1),
        "ciou_mixture": summed(found.iou >= F.IOU_THRESHOLD),
        "ciou_mixture@0.3": summed(found.iou >= 0.3),
        "cap_mixture": summed(torch.where(found.valid, found.cap, 0)),
        "piap_mixture": torch.where(silent, 0.0, found.piap.double()),
    }


def _overlap(own: MapList, others: MapList, area: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """IoU of the highest places of each pair of maps, as many as the object has: 1 where the map ignores the sound.

    At the maps' own resolution. Places that tie count for a share of one, so two constant maps overlap wholly.
    """
    found = []
    for first, second, share in zip(_stacked(own), _stacked(others), area.split(len(_stacked(own)[0])), strict=True):
        places = (share * first[0].numel()).round().clamp(min=1)
        sized = torch.arange(first[0].numel()) < places[:, None]  # as many as the object has; where does not matter
        a, b = (select_pixels(maps, sized.view(maps.shape), TARGET_AREA) for maps in (first, second))
        found.append(torch.minimum(a, b).sum((1, 2)) / torch.maximum(a, b).sum((1, 2)))
    return torch.cat(found)
