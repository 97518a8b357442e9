"""From predictions to numbers of each sample, under every protocol, and those of maps that need no model."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soundspot.config.presence_calibration import PresenceCalibration
from soundspot.evaluation import functional as F
from soundspot.evaluation.engine import baselines
from soundspot.evaluation.engine.distributed import RankShard
from soundspot.evaluation.engine.items import SampleIndex
from soundspot.evaluation.engine.predict import PredictionBatch
from soundspot.evaluation.metrics.inputs import MetricInputs, compute_map_columns, is_scored, select_best_threshold
from soundspot.evaluation.metrics.registry import NEGATIVES
from soundspot.evaluation.metrics.relevance import RetrievalInputs
from soundspot.evaluation.protocols.fast_iou import compute_overlaps
from soundspot.evaluation.protocols.presets import Columns, Protocol, compute_columns
from soundspot.evaluation.protocols.thresholding import TARGET_AREA, ThresholdRule, select_pixels
from soundspot.types import AudioVisualDataset, GroundTruth

MODEL, WHOLE_IMAGE, CENTERED_BOX, OBJECT_SALIENCY, CEILING = (
    *("model", "whole image", "centered box", "object saliency", "ceiling"),
)
SOURCE_AP = "cap", "piap"  # average precision over pixels, of each source and of each image
MapList: TypeAlias = list[Tensor]  # each (h, w); of any sizes


class SampleTable:
    """Numbers of each sample, collected as predictions come in; maps are not stored.

    `has_source_ap` says whether `SOURCE_AP` is computed, which sorts all pixels and takes more than half of the time.

    Attributes:
        protocols: scoring rules, those of the report first.
        data: data set that the ground truths are read from.
        samples: index of the data set.
        threshold: least peak of a raw map at which a source counts as present; None: unknown.
        calibration: probability of presence by the peak; None: unknown.
        added_indices: indices of the samples whose predictions came in.
        protocol_columns: (rules, row) -> column name -> numbers of the n samples; nan where there is none. Rows are
            `MODEL`, `WHOLE_IMAGE`, `CENTERED_BOX`, `OBJECT_SALIENCY`, `CEILING` and `NEGATIVES`.
        free_columns: column name -> numbers of the n samples that do not depend on threshold rules
            (`metrics.inputs.FREE_COLUMNS`, `cap`, `piap`).
        mixtures: row -> metric key -> for each image a number, or a numerator and a denominator; nan where there is
            none.
        missing: indices of the samples without a prediction.
    """

    def __init__(
        self,
        protocols: Sequence[Protocol],
        data: AudioVisualDataset,
        samples: SampleIndex,
        threshold: float | None,
        calibration: PresenceCalibration | None = None,
        has_source_ap: bool = True,
    ) -> None:
        self.protocols, self.data, self.samples, self._has_source_ap = protocols, data, samples, has_source_ap
        self.threshold, self.calibration = threshold, calibration
        self.added_indices: list[int] = []
        self.protocol_columns: dict[tuple[Protocol, str], Columns] = {}
        self.free_columns: Columns = {}
        self.mixtures: dict[str, Columns] = {}
        self.missing: list[int] = []
        self._present = torch.tensor(samples.present)

    def get_free_column(self, name: str) -> Float[Tensor, " n"]:
        """Return a column of `free_columns`.

        Args:
            name: name of the column.

        Returns:
            (n,) float64; all nan where the column is unknown.
        """
        return self.free_columns.get(name, torch.full((len(self.samples.ids),), math.nan, dtype=torch.float64))

    def is_scored(self, protocol: Protocol) -> Bool[Tensor, " n"]:
        """Return which samples enter the localization scores.

        Args:
            protocol: scoring rules.

        Returns:
            (n,) bool: True for samples with a source, but for those whose ground truth has no pixel where the protocol
            excludes these.
        """
        return is_scored(self._present, self.get_free_column("area"), protocol)

    def metric_inputs(
        self,
        protocol: Protocol,
        row: str,
        mask: Bool[Tensor, " n"] | None = None,
        retrieval: RetrievalInputs | None = None,
    ) -> MetricInputs:
        """Return the numbers of one row under a protocol.

        Args:
            protocol: one of `protocols`.
            row: `MODEL`, another reference row, or a kind of negative audio.
            mask: (n,) True for samples that may be scored; None: all. A negative is scored only on samples predicted
                with it.
            retrieval: embeddings, for the metrics of retrieval; None: no such metrics.

        Returns:
            The numbers; free columns for `MODEL` only, mixtures under the first protocol only.
        """
        scored = self.is_scored(protocol)
        if row in NEGATIVES:  # not every image has an off-screen sound
            scored &= ~self.get_free_column(f"overlap_{row}").isnan()
        if mask is not None:
            scored &= mask
        columns = select_best_threshold(self.protocol_columns.get((_rules(protocol), row), {}), protocol, scored)
        return MetricInputs(
            protocol,
            self._present,
            self.samples.group_index,
            scored,
            columns,
            self.free_columns if row == MODEL else {},
            self.mixtures.get(row, {}) if protocol == self.protocols[0] else {},
            retrieval,
            self.calibration,
        )

    def all_gather(self, shard: RankShard) -> None:
        """Exchange numbers with the tables of the other processes, after which each holds those of all samples.

        Args:
            shard: shard of this process; blocks until all processes call this.
        """
        if shard.world_size == 1:
            return
        rows = torch.tensor(self.added_indices, dtype=torch.int64)
        groups = self.samples.group_index[rows].unique()
        local = (
            (rows, groups, self.missing),
            {key: _select(columns, rows) for key, columns in self.protocol_columns.items()},
            _select(self.free_columns, rows),
            {key: _select(columns, groups) for key, columns in self.mixtures.items()},
        )
        self.added_indices, self.missing, self.protocol_columns, self.free_columns, self.mixtures = [], [], {}, {}, {}
        n, num_groups = len(self.samples.ids), len(self.samples.group_first)
        for (rows, groups, missing), by_protocol, free_columns, mixtures in shard.all_gather(local):
            self.added_indices += rows.tolist()
            self.missing += missing
            _put(self.free_columns, rows, free_columns, n)
            for key, columns in by_protocol.items():
                _put(self.protocol_columns.setdefault(key, {}), rows, columns, n)
            for row, columns in mixtures.items():
                _put(self.mixtures.setdefault(row, {}), groups, columns, num_groups)

    def update(self, batch: PredictionBatch) -> None:
        """Compute the numbers of a batch of samples under all protocols, and store them.

        Args:
            batch: predictions for samples that were not added before.
        """
        rows = torch.tensor(batch.indices)
        truth_of_samples = [self.data.ground_truth(i) for i in batch.indices]
        self.added_indices += batch.indices
        main = _rules(self.protocols[0])
        by_target: dict[tuple[int, str], list[Protocol]] = {}  # protocols that read the ground truth alike
        for rules in dict.fromkeys(map(_rules, self.protocols)):
            is_consensus = any(truth.rule == "consensus" for truth in truth_of_samples)
            by_target.setdefault((rules.size, rules.consensus if is_consensus else ""), []).append(rules)
        for (size, consensus), protocols in by_target.items():
            target = _target_maps(truth_of_samples, size, consensus)
            maps = self._update_rows(protocols, batch, rows, target)
            if main in protocols:
                self._update_free_columns(main, batch, rows, target, maps)
                self._update_mixtures(main, batch, target)

    def _update_rows(
        self, protocols: list[Protocol], batch: PredictionBatch, rows: Int[Tensor, " b"], target: Tensor
    ) -> Tensor:
        """Compute the numbers of each row under protocols that share a target, with one pass over each map.

        Returns:
            The model's maps as the first of the protocols upsamples them.
        """
        box = _centered_box(protocols[0].size).expand(len(rows), -1, -1)
        self._put_columns(protocols, WHOLE_IMAGE, rows, _whole_image_columns(protocols, target, self.samples.has_masks))
        for row, maps in ((CENTERED_BOX, box), (CEILING, baselines.oracle_maps(target))):
            self._put_columns(protocols, row, rows, self._compute_columns(protocols, maps, target))
        if batch.saliency is not None:
            self._upsample_and_put(protocols, OBJECT_SALIENCY, rows, batch.saliency, target)
        upsampled = self._upsample_and_put(protocols, MODEL, rows, batch.maps, target)
        missing = torch.tensor(sorted(batch.missing), dtype=torch.int64)
        for rules in protocols:  # a missing map is a failure; where no map could be scored, it is not scored
            for name, column in self.protocol_columns[rules, MODEL].items():
                best = self.protocol_columns[rules, CEILING][name][missing]
                column[missing] = torch.where(best.isnan(), best, 0)
        main = _rules(self.protocols[0])
        for kind, by_index in batch.negatives.items() if main in protocols else ():
            if by_index:
                chosen = _positions(batch.indices, by_index)
                self._upsample_and_put([main], kind, rows[chosen], [*by_index.values()], target[chosen])
        return upsampled

    def _compute_columns(self, protocols: list[Protocol], maps: Tensor, target: Tensor) -> list[Columns]:
        columns = compute_columns(protocols, maps, target, self.samples.has_masks)
        custom = compute_map_columns(maps, target)
        return [of_protocol | custom for of_protocol in columns]

    def _upsample_and_put(
        self, protocols: list[Protocol], row: str, rows: Int[Tensor, " b"], maps: MapList, target: Tensor
    ) -> Tensor:
        """Compute the numbers of one row; protocols that upsample maps alike share the work.

        Returns:
            The maps as the first of the protocols upsamples them.
        """
        by_upsampling: dict[object, list[Protocol]] = {}
        for rules in protocols:
            is_resized = any(scores.shape[-2:] != (rules.size, rules.size) for scores in maps)
            by_upsampling.setdefault((rules.tau, rules.upsampling if is_resized else None), []).append(rules)
        stacks, results = _stack(maps), []
        for group in by_upsampling.values():
            results.append(upsampled := _upsample(group[0], stacks))
            self._put_columns(group, row, rows, self._compute_columns(group, upsampled, target))
        return results[0]

    def _put_columns(
        self, protocols: list[Protocol], row: str, rows: Int[Tensor, " b"], columns: Iterable[Columns]
    ) -> None:
        for rules, of_protocol in zip(protocols, columns, strict=True):
            _put(self.protocol_columns.setdefault((rules, row), {}), rows, of_protocol, len(self.samples.ids))

    def _update_free_columns(
        self,
        main: Protocol,
        batch: PredictionBatch,
        rows: Int[Tensor, " b"],
        target: Tensor,
        maps: Float[Tensor, "b s s"],
    ) -> None:
        """Compute areas, confidences, peaks, overlaps, and the predictions at the universal threshold."""
        n, raw_units = len(self.samples.ids), replace(main, tau=None)
        area = torch.from_numpy(np.count_nonzero(target.flatten(1).numpy(), axis=1) / target[0].numel())
        self.missing += sorted(batch.missing)
        is_known = torch.tensor([i not in batch.missing for i in batch.indices])
        columns = {"confidence": F.confidence(maps), "peak_own": _peaks(batch.maps)}
        for name in columns:
            columns[name][~is_known] = math.nan
        if target.dtype == torch.bool and self._has_source_ap:
            is_source = self._present[rows] & (area > 0)
            columns |= _source_columns(maps, target, self.samples.group_index[rows], is_source, is_known)
        if self.threshold is not None:
            raw = maps if main.tau is None else _upsample(raw_units, _stack(batch.maps))
            iou = compute_overlaps(raw, target, [ThresholdRule(self.threshold, "drop")]).iou[0]
            columns["iou_universal"] = iou.masked_fill(~is_known, 0)
            if batch.missing:  # all is predicted: a failure here too
                full = torch.ones(len(batch.missing), dtype=torch.float64)
                _put(self.free_columns, rows[~is_known], {f"pia_{kind}": full for kind in batch.negatives}, n)
        _put(self.free_columns, rows, {"area": area} | columns, n)
        for kind, by_index in batch.negatives.items():
            if not by_index:
                continue
            chosen, negatives = _positions(batch.indices, by_index), [*by_index.values()]
            own = [batch.maps[i] for i in chosen.tolist()]
            columns = {
                f"peak_{kind}": _peaks(negatives),
                f"overlap_{kind}": _map_overlaps(own, negatives, area[chosen]),
            }
            if self.threshold is not None:
                columns[f"pia_{kind}"] = F.pia(_upsample(raw_units, _stack(negatives)), self.threshold)
            _put(self.free_columns, rows[chosen], columns, n)

    def _update_mixtures(self, main: Protocol, batch: PredictionBatch, target: Tensor) -> None:
        """Compute the numbers of images that have maps of a mixture, of the model and of reference rows."""
        if not batch.mixtures or target.dtype != torch.bool:
            return
        position = {i: row for row, i in enumerate(batch.indices)}
        members = [[position[i] for i in self.samples.sources_by_group[group]] for group in batch.mixtures]
        targets, has_source = F.pad_groups([target[rows] for rows in members])
        no_maps = target.new_zeros(0, *target.shape[1:]).float()
        maps_of_rows = {
            MODEL: [_upsample(main, _stack(maps)) if maps else no_maps for maps in batch.mixtures.values()],
            # a map for each source, all alike: what ignores the sound may guess as often as the model
            CENTERED_BOX: [_centered_box(main.size).expand(len(rows), -1, -1) for rows in members],
            # each oracle so far above the rest that the sum of all ranks the pixels of any source first
            CEILING: [baselines.oracle_maps(target[rows]) + (len(rows) - 1) * target[rows] for rows in members],
        }
        if batch.saliency is not None:
            maps_of_rows[OBJECT_SALIENCY] = [
                _upsample(main, _stack([batch.saliency[row] for row in rows])) for rows in members
            ]
        for row, maps in maps_of_rows.items():
            columns = _mixture_columns(*F.pad_groups(maps), targets, has_source)
            groups = torch.tensor([*batch.mixtures])
            _put(self.mixtures.setdefault(row, {}), groups, columns, len(self.samples.group_first))


_centered_box = cache(lambda size: baselines.centered_box(size, size))


def _rules(protocol: Protocol) -> Protocol:
    """Return a protocol without its names: protocols that differ in their names alone are computed once."""
    return replace(protocol, name="", summary="", source="")


def _put(columns: Columns, rows: Int[Tensor, " b"], values: Columns, n: int) -> None:
    """Write values into rows of columns of n numbers; columns that are new are nan elsewhere."""
    for name, column in values.items():
        if name not in columns:
            columns[name] = torch.full((n, *column.shape[1:]), math.nan, dtype=torch.float64)
        columns[name][rows] = column.double()


def _select(columns: Columns, rows: Int[Tensor, " b"]) -> Columns:
    return {name: column[rows] for name, column in columns.items()}


def _positions(indices: list[int], chosen: Iterable[int]) -> Int[Tensor, " m"]:
    position = {i: row for row, i in enumerate(indices)}
    return torch.tensor([position[i] for i in chosen])


def _target_maps(truth_of_samples: list[GroundTruth], size: int, consensus: str) -> Tensor:
    """Return ground truths as (b, size, size), bool where none is a consensus."""
    target = torch.stack([truth.to_map(size, size, consensus == "annotators") for truth in truth_of_samples])
    return target.bool() if all(truth.rule != "consensus" for truth in truth_of_samples) else target


def _upsample(protocol: Protocol, stacks: list[Tensor]) -> Float[Tensor, "b s s"]:
    first, *others = [protocol.upsample(maps) for maps in stacks]
    return torch.cat([first, *others]) if others else first


def _stack(maps: MapList) -> list[Float[Tensor, "b h w"]]:
    """Return maps of one size as one tensor, others as one tensor each."""
    return [torch.stack(maps)] if len({scores.shape for scores in maps}) == 1 else [scores[None] for scores in maps]


def _peaks(maps: MapList) -> Float[Tensor, " b"]:
    return torch.cat([stack.flatten(1).amax(dim=1) for stack in _stack(maps)])


def _whole_image_columns(protocols: list[Protocol], target: Tensor, is_mask: bool) -> list[Columns]:
    """Compute the numbers of predicting every pixel: the same in the adaptive columns."""
    rule: dict[str, Any] = {
        "threshold_rule": ThresholdRule(0.5, "keep"),
        "adaptive_rule": None,
        "candidate_thresholds": (),
    }
    fixed = [replace(rules, scaling="none", fscore="threshold", **rule) for rules in protocols]
    maps = torch.ones(target.shape[1:]).expand(target.shape)
    custom = compute_map_columns(maps, target)
    return [
        columns | {f"{name}_adaptive": column for name, column in columns.items() if rules.adaptive_rule} | custom
        for rules, columns in zip(protocols, compute_columns(fixed, maps, target, is_mask), strict=True)
    ]


def _source_columns(
    maps: Float[Tensor, "b s s"],
    target: Bool[Tensor, "b s s"],
    groups: Int[Tensor, " b"],
    is_source: Bool[Tensor, " b"],
    is_known: Bool[Tensor, " b"],
) -> Columns:
    """Compute pixel AP of images with several sources: `cap` of each source, `piap` of each image at its first one."""
    members = [((groups == group) & is_source).nonzero()[:, 0] for group in groups.unique()]
    members = [rows for rows in members if len(rows) > 1]
    if not members:
        return {}
    columns = {name: torch.full((len(maps),), math.nan, dtype=torch.float64) for name in SOURCE_AP}
    padded, has_source = F.pad_groups([maps[rows] for rows in members])
    targets, has_map = (F.pad_groups([values[rows] for rows in members])[0] for values in (target, is_known))
    ap = F.source_ap(padded, targets, has_source, has_map)
    columns["cap"][torch.cat(members)] = ap.cap.where(ap.valid, math.nan)[has_source]
    is_complete = torch.stack([is_known[rows].all() for rows in members])  # an image with a map missing is a failure
    columns["piap"][torch.stack([rows[0] for rows in members])] = ap.piap.where(is_complete, 0)
    return columns


def _mixture_columns(
    maps: Float[Tensor, "g m s s"],
    has_map: Bool[Tensor, "g m"],
    target: Bool[Tensor, "g k s s"],
    has_source: Bool[Tensor, "g k"],
) -> Columns:
    """Compute `assigned_sources` and `matched_sources` of each image: sums and counts, and its PIAP.

    An image without a map of an audible source is a failure for each of its sources; the released code skips it.
    """
    iou = F.assigned_sources(maps, target, has_source, has_map)
    matched = F.matched_sources(maps, target, has_source, has_map, shared_image=True)
    is_empty = ~has_map.any(dim=1)
    n = torch.where(is_empty, has_source.sum(dim=1), matched.valid.sum(dim=1)).double()

    def sum_and_count(values: Tensor) -> Float[Tensor, "g 2"]:
        return torch.stack([(values.double() * matched.valid).sum(dim=1), n], dim=1)

    return {
        "ciou_mixture_adaptive": torch.stack([(iou >= F.IOU_THRESHOLD).sum(dim=1), (~iou.isnan()).sum(dim=1)], dim=1),
        "ciou_mixture": sum_and_count(matched.iou >= F.IOU_THRESHOLD),
        "ciou_mixture@0.3": sum_and_count(matched.iou >= 0.3),
        "cap_mixture": sum_and_count(torch.where(matched.valid, matched.cap, 0)),
        "piap_mixture": torch.where(is_empty, 0.0, matched.piap.double()),
    }


def _map_overlaps(own: MapList, negatives: MapList, area: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Compute the IoU of the highest pixels of each pair of maps, as many as the object has: 1 where audio is ignored.

    At the maps' own resolution. Pixels that tie share what is left, so two constant maps overlap fully.
    """
    overlaps = []
    own_stacks, negative_stacks = _stack(own), _stack(negatives)
    for a, b, areas in zip(own_stacks, negative_stacks, area.split(len(own_stacks[0])), strict=True):
        num_pixels = (areas * a[0].numel()).round().clamp(min=1)
        target = (torch.arange(a[0].numel()) < num_pixels[:, None]).view(a.shape)  # of this area; where does not matter
        selected = [select_pixels(maps, target, TARGET_AREA) for maps in (a, b)]
        overlaps.append(torch.minimum(*selected).sum((1, 2)) / torch.maximum(*selected).sum((1, 2)))
    return torch.cat(overlaps)
