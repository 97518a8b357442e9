"""From numbers per sample to scores: the inputs of metrics, by the kind that a metric needs."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import groupby

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soundspot.config.presence_calibration import PresenceCalibration
from soundspot.evaluation import functional as F
from soundspot.evaluation.metrics.bootstrap import GroupedMean, Scores
from soundspot.evaluation.metrics.registry import INPUTS, METRICS, NEGATIVES, map_metrics, metric_inputs
from soundspot.evaluation.metrics.relevance import RetrievalInputs
from soundspot.evaluation.protocols.presets import Columns, Protocol

RULE_COLUMNS = ("iou", "iou_adaptive", "f", "f_adaptive")  # of each sample, by the protocol's threshold rules
FREE_COLUMNS = (  # of each sample, whatever the threshold rules
    *("confidence", "area", "peak_own", *(f"peak_{kind}" for kind in NEGATIVES)),
    *(f"overlap_{kind}" for kind in NEGATIVES),
    *("iou_universal", *(f"pia_{kind}" for kind in NEGATIVES)),
)
MAP_NEEDS = frozenset({"maps", "success", "iou", "masks", "groups"})  # inputs that every row of a report has
THRESHOLD_NEEDS = MAP_NEEDS | {"detections"}  # inputs that a protocol's threshold rules move


@dataclass(frozen=True)
class MetricInputs:
    """Numbers per sample of one row of a report.

    Attributes:
        protocol: the scoring rules.
        present: (n,) True where the source of the audio is in the image.
        groups: (n,) index of each sample's image.
        is_scored: (n,) True where the sample enters the localization scores.
        columns: name -> (n,) or (n, k) numbers under the protocol's threshold rules, such as `iou` and `iou_adaptive`.
        free_columns: name -> (n,) numbers that do not depend on threshold rules; nan where unknown.
        mixtures: metric key -> (g,) number of each image, or (g, 2) numerator and denominator; nan without a mixture.
        retrieval: embeddings of the test set; None where the model has none.
        calibration: probability of presence by the peak; None: unknown.
    """

    protocol: Protocol
    present: Bool[Tensor, " n"]
    groups: Int[Tensor, " n"]
    is_scored: Bool[Tensor, " n"]
    columns: Columns
    free_columns: Columns = field(default_factory=dict)
    mixtures: Columns = field(default_factory=dict)
    retrieval: RetrievalInputs | None = None
    calibration: PresenceCalibration | None = None

    @property
    def suffixes(self) -> list[str]:
        """Suffixes of the threshold rules that the protocol has: "" and, where it has an adaptive rule, "_adaptive"."""
        return [suffix for suffix in ("", "_adaptive") if f"iou{suffix}" in self.columns]

    def free_column(self, name: str) -> Float[Tensor, " n"]:
        """Return a column of `free_columns`.

        Args:
            name: name of the column.

        Returns:
            (n,) float64; all nan where the column is unknown.
        """
        return self.free_columns.get(name, torch.full(self.present.shape, torch.nan, dtype=torch.float64))

    def mean_of_known(self, values: Float[Tensor, " n"]) -> GroupedMean | None:
        """Return the mean over scored samples whose value is known.

        Args:
            values: (n,) numbers of the samples; nan where unknown.

        Returns:
            The mean over samples that are scored and not nan; None where there are none.
        """
        is_known = ~values.isnan() & self.is_scored
        return GroupedMean(values[is_known], self.groups[is_known]) if bool(is_known.any()) else None


@metric_inputs("row")
def whole_row(inputs: MetricInputs) -> Iterator[tuple[str, MetricInputs]]:
    """Yield the inputs of a row unchanged.

    Args:
        inputs: numbers per sample of a row of a report.

    Yields:
        One pair: the empty suffix and the inputs.
    """
    yield "", inputs


def compute_scores(inputs: MetricInputs, needs: Collection[str] = ()) -> Scores:
    """Compute all registered metrics of one row of a report.

    Args:
        inputs: numbers per sample.
        needs: kinds of inputs (`MetricInfo.needs`); only metrics that take one of these are computed. Empty: all
            metrics.

    Returns:
        Report key (metric key and suffix of the variant) -> score: kinds of inputs in the order of registration, within
        a kind by variant and then by metric. Metrics that the inputs do not allow are left out.
    """
    scores: Scores = {}
    for kind, group in groupby(METRICS.values(), key=lambda metric: metric.needs):
        metrics = [*group]
        if needs and kind not in needs:
            continue
        if kind == "maps":
            known = {m.key: inputs.mean_of_known(inputs.columns[m.key]) for m in metrics if m.key in inputs.columns}
            scores |= {key: score for key, score in known.items() if score}
            continue
        for suffix, view in INPUTS[kind].generate(inputs):
            for metric in metrics:
                assert metric.function is not None
                score = metric.function(view)
                by_suffix = score if isinstance(score, dict) else {"": score}
                scores |= {f"{metric.key}{suffix}{more}": s for more, s in by_suffix.items() if s is not None}
    return scores


def compute_map_columns(maps: Float[Tensor, "b s s"], target: Tensor) -> Columns:
    """Compute all registered metrics that need maps alone.

    Args:
        maps: (b, s, s) maps at the protocol's size.
        target: (b, s, s) ground truth in [0, 1].

    Returns:
        Metric key -> (b,) float64 number of each sample.
    """
    return {key: function(maps, target).double() for key, function in map_metrics().items()}


def select_best_threshold(columns: Columns, protocol: Protocol, is_scored: Bool[Tensor, " n"]) -> Columns:
    """Select the candidate threshold with the best AUC, for a protocol that tries several on the test set itself.

    Args:
        columns: name -> (n, t) numbers of the samples at t candidate thresholds, or (n,) (`compute_columns`).
        protocol: scoring rules; where it has no candidate thresholds, the columns are returned unchanged.
        is_scored: (n,) True for the samples that enter the AUC.

    Returns:
        Name -> (n,) numbers at the best threshold.
    """
    if not protocol.candidate_thresholds or not columns or columns["iou"].ndim == 1:
        return columns
    candidates = columns["iou"][is_scored].T
    areas = torch.stack([F.auc_terms(iou, protocol.auc_grid).mean() for iou in candidates])
    best = (areas >= areas.amax() - 1e-9).nonzero()[0]  # of equals the first, in whatever order the samples are summed
    return {name: column if column.ndim == 1 else column[:, int(best)] for name, column in columns.items()}


def is_scored(present: Bool[Tensor, " n"], area: Float[Tensor, " n"], protocol: Protocol) -> Bool[Tensor, " n"]:
    """Return which samples enter the localization scores.

    Args:
        present: (n,) True where the source is in the image.
        area: (n,) area of the ground truth; 0: it has no pixel at the protocol's size.
        protocol: scoring rules.

    Returns:
        (n,) bool: True for samples with a source, but for those of area 0 where the protocol excludes empty targets.
    """
    return present & ((area > 0) | (protocol.empty_target != "exclude"))
