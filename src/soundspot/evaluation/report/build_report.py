"""From the sample table of an evaluation to its report: rows, samples, notes, and the sound sensitivity."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soundspot.data.datasets.base import check_choice
from soundspot.evaluation import functional as F
from soundspot.evaluation.engine.disk_tensor import DiskTensor, RowView
from soundspot.evaluation.engine.items import SampleIndex, hash_id, hash_samples
from soundspot.evaluation.engine.localizers import LocalizerInfo
from soundspot.evaluation.engine.predict import EncodedAudio
from soundspot.evaluation.engine.sample_table import (
    CEILING,
    CENTERED_BOX,
    MODEL,
    OBJECT_SALIENCY,
    WHOLE_IMAGE,
    SampleTable,
)
from soundspot.evaluation.metrics.bootstrap import (
    GroupedMean,
    GroupWeights,
    compute_intervals,
    quantile_interval,
    resample_scores,
)
from soundspot.evaluation.metrics.inputs import FREE_COLUMNS, MAP_NEEDS, RULE_COLUMNS, THRESHOLD_NEEDS, compute_scores
from soundspot.evaluation.metrics.presence import presence_probabilities
from soundspot.evaluation.metrics.registry import NEGATIVES, NOISE, OFFSCREEN, SILENCE, map_metrics
from soundspot.evaluation.metrics.relevance import RetrievalInputs, compute_relevance
from soundspot.evaluation.protocols.presets import Protocol
from soundspot.evaluation.report.report import (
    ProtocolRows,
    ReliabilityBin,
    Report,
    ReportRow,
    RowKind,
    SampleRow,
    SubsetRows,
)
from soundspot.evaluation.report.sound_sensitivity import SoundSensitivity, compute_sound_sensitivity
from soundspot.types import AudioVisualDataset

MIN_IMAGES = 10  # of a subset whose scores have intervals: draws of fewer say little of others like them
# Rows beside the model: what they are called, and of what kind they are.
REFERENCE_ROWS: dict[str, tuple[str, RowKind]] = {
    WHOLE_IMAGE: (WHOLE_IMAGE, "sound-blind"),
    CENTERED_BOX: (CENTERED_BOX, "sound-blind"),
    OBJECT_SALIENCY: (OBJECT_SALIENCY, "sound-blind"),
    SILENCE: ("muted", "sound-blind"),
    NOISE: ("noise", "sound-blind"),
    OFFSCREEN: ("swapped audio", "sound-blind"),
    CEILING: (CEILING, "ceiling"),
}


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of a test set; rows are empty where the localizer has none.

    Attributes:
        images: (p, d) unit-norm embedding of each image.
        audio: encoded audio of each sample, with its embeddings.
    """

    images: DiskTensor
    audio: EncodedAudio


def build_report(
    info: LocalizerInfo,
    table: SampleTable,
    embeddings: Embeddings | None,
    bootstraps: int,
    seed: int,
    source: Mapping[str, Any] | None,
    group_by: Sequence[str] = (),
) -> Report:
    """Build the report of an evaluation.

    Args:
        info: description of the localizer; its notes come first in the report.
        table: numbers of all samples.
        embeddings: embeddings of the test set; None where only maps are known.
        bootstraps: number of bootstrap draws for the 95 % intervals; 0: no intervals.
        seed: random seed of the bootstrap.
        source: origin of model and data; None: unknown. The sample ids of its `calibration` are left out of the report,
            and the whole `calibration` where no threshold is used.
        group_by: attributes of samples by whose values the scores are divided, checked by `check_attributes`.

    Returns:
        The report, without maps.
    """
    samples, (own, *others) = table.samples, table.protocols
    weights = GroupWeights(len(samples.group_first), bootstraps, seed)
    source = dict(source or {})
    calibration = dict(source.pop("calibration", None) or {})
    if table.threshold is None:  # a threshold that is not used
        calibration = {}
    num_calibrated = len(set(calibration.pop("ids", ())) & set(map(hash_id, samples.ids)))
    if calibration:
        source["calibration"] = calibration
    if table.calibration is not None:
        source["presence"] = table.calibration.as_dict()
    retrieval = _retrieval_inputs(samples, embeddings) if embeddings else None
    scores = compute_scores(table.metric_inputs(own, MODEL, retrieval=retrieval))
    draws = resample_scores(scores, weights)
    intervals = {key: quantile_interval(score.value, draws[key]) for key, score in scores.items()}
    rows = [ReportRow(info.name, "model", intervals), *_build_reference_rows(table, own, weights)]
    if retrieval and (chance := retrieval.chance_scores()):
        rows.append(ReportRow("chance", "sound-blind", compute_intervals(chance, weights)))
    return Report(
        table.data.name,
        own.as_dict(),
        len(samples.ids),
        tuple(rows),
        tuple(_build_sample_rows(table)),
        notes=(*info.notes, *_iter_notes(table, embeddings, num_calibrated)),
        front_end=info.front_end,
        other_protocols=tuple(_build_protocol_rows(info.name, table, protocol, weights) for protocol in others),
        sound_sensitivity=_build_sound_sensitivity(table, weights),
        source={
            **source,
            "samples": hash_samples(samples),
            "seed": seed,
            "bootstraps": bootstraps,
            "threshold": table.threshold,
        },
        subsets=tuple(row for name in group_by for row in _build_subsets(info.name, table, name, weights)),
        reliability=tuple(_build_reliability(table)),
        draws={key: drawn.numpy().astype(np.float32) for key, drawn in draws.items() if len(drawn)},
    )


def check_attributes(names: Sequence[str], data: AudioVisualDataset) -> None:
    """Raise RecipeError where no sample has an attribute of a name.

    Args:
        names: names of attributes, or `category`.
        data: the data set.

    Raises:
        RecipeError: a name is not among those of the samples.
    """
    known = {"category", *(name for i in range(len(data)) for name in data.attributes(i))} if names else set()
    for name in names:
        check_choice("group_by (`attributes` of a catalog's images, or `vggsounder` in --options)", name, sorted(known))


def _build_subsets(name: str, table: SampleTable, attribute: str, weights: GroupWeights) -> Iterator[SubsetRows]:
    """Yield the rows of the samples of each value of an attribute, in the order of the values."""
    own, samples = table.protocols[0], table.samples
    values = [
        category if attribute == "category" else table.data.attributes(i).get(attribute, "")
        for i, category in enumerate(samples.categories)
    ]
    for value in sorted(set(values)):
        mask = torch.tensor([v == value for v in values])
        if num_scored := int((table.is_scored(own) & mask).sum()):
            is_enough = len(samples.group_index[mask].unique()) >= MIN_IMAGES
            own_weights = weights if is_enough else GroupWeights(len(samples.group_first), 0, 0)
            scores = compute_scores(table.metric_inputs(own, MODEL, mask), MAP_NEEDS)
            model = ReportRow(name, "model", compute_intervals(scores, own_weights))
            rows = (model, *_build_reference_rows(table, own, own_weights, mask))
            yield SubsetRows(attribute, value, num_scored, rows)


def _build_protocol_rows(name: str, table: SampleTable, protocol: Protocol, weights: GroupWeights) -> ProtocolRows:
    """Build the rows of another protocol than the report's own: the scores that its threshold rules move."""
    scores = compute_scores(table.metric_inputs(protocol, MODEL), THRESHOLD_NEEDS)
    model = ReportRow(name, "model", compute_intervals(scores, weights))
    return ProtocolRows(protocol.as_dict(), (model, *_build_reference_rows(table, protocol, weights)))


def _build_reference_rows(
    table: SampleTable, protocol: Protocol, weights: GroupWeights, mask: Tensor | None = None
) -> Iterator[ReportRow]:
    """Yield the rows beside the model that have scores; with a mask those of its samples, without mixtures."""
    needs = MAP_NEEDS if mask is not None else {*MAP_NEEDS, "mixtures"}
    for row, (name, kind) in REFERENCE_ROWS.items():
        if scores := compute_scores(table.metric_inputs(protocol, row, mask), needs):
            yield ReportRow(name, kind, compute_intervals(scores, weights))


def _build_sound_sensitivity(table: SampleTable, weights: GroupWeights) -> SoundSensitivity | None:
    """Compare audio conditions over the samples that have maps of every kind of negative audio in use."""
    protocol = table.protocols[0]
    overlaps = {
        kind: table.free_columns[f"overlap_{kind}"] for kind in NEGATIVES if f"overlap_{kind}" in table.free_columns
    }
    mask = table.is_scored(protocol)
    for overlap in overlaps.values():
        mask &= ~overlap.isnan()
    if not overlaps or not bool(mask.any()):
        return None
    scores = {row: compute_scores(table.metric_inputs(protocol, row, mask), MAP_NEEDS) for row in (MODEL, *overlaps)}
    groups = table.samples.group_index[mask]
    return compute_sound_sensitivity(
        scores.pop(MODEL),
        {REFERENCE_ROWS[kind][0]: of_kind for kind, of_kind in scores.items()},
        {REFERENCE_ROWS[kind][0]: GroupedMean(overlap[mask], groups) for kind, overlap in overlaps.items()},
        weights,
    )


def _build_reliability(table: SampleTable) -> Iterator[ReliabilityBin]:
    """Yield the bins of the reliability diagram; none without probabilities of presence."""
    for _, (probabilities, present, _) in presence_probabilities(table.metric_inputs(table.protocols[0], MODEL)):
        weights = F.balanced_weights(present, torch.ones(1, len(present), dtype=torch.int64))
        bins = [values[0].tolist() for values in F.reliability_bins(probabilities, present, weights)]
        for n, (share, probability, frequency) in enumerate(zip(*bins, strict=True)):
            yield ReliabilityBin(n / F.NUM_BINS, (n + 1) / F.NUM_BINS, share, probability, frequency)


def _retrieval_inputs(samples: SampleIndex, embeddings: Embeddings) -> RetrievalInputs | None:
    """Return the embeddings of the images and the audio that have a source; None where there are none."""
    images, audio = embeddings.images, embeddings.audio.embeddings
    if not len(images) or not len(audio):
        return None
    sounding = torch.tensor(samples.present).nonzero()[:, 0]
    audio_groups = samples.group_index[sounding]
    image_groups = audio_groups.unique()
    numbers = {name: number for number, name in enumerate(dict.fromkeys(samples.categories))}
    categories = torch.tensor([numbers[name] for name in samples.categories])
    return RetrievalInputs(
        RowView(images, image_groups),
        RowView(audio, embeddings.audio.rows[sounding]),
        RowView(images, audio_groups) if images.shape[1:] == audio.shape[1:] else None,
        compute_relevance(audio_groups, samples.audio_index[sounding], categories[sounding]),
        image_groups,
        audio_groups,
    )


def _build_sample_rows(table: SampleTable) -> Iterable[SampleRow]:
    """Build a row of each sample, in the data set's order; nan where it does not enter the localization scores."""
    samples, inputs = table.samples, table.metric_inputs(table.protocols[0], MODEL)
    unknown = torch.full(inputs.present.shape, torch.nan, dtype=torch.float64)
    columns = {
        name: inputs.columns.get(name, unknown).where(inputs.is_scored, torch.nan).tolist()
        for name in (*RULE_COLUMNS, *map_metrics())
    }
    columns |= {name: inputs.free_column(name).tolist() for name in FREE_COLUMNS}
    values = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return map(SampleRow, samples.ids, samples.groups, samples.categories, samples.present, values)


def _iter_notes(table: SampleTable, embeddings: Embeddings | None, num_calibrated: int) -> Iterator[str]:
    """Yield what a reader should know before trusting the numbers.

    Args:
        table: numbers of all samples.
        embeddings: None where only maps are known.
        num_calibrated: samples that the threshold was fitted on.
    """
    protocol, samples = table.protocols[0], table.samples
    if table.missing:
        yield f"{len(table.missing)} samples have no map and count as failures: {_list_ids(table.missing, samples)}."
    silent = sorted(i for i in embeddings.audio.silent_indices if samples.present[i]) if embeddings else []
    if silent:
        yield f"The audio of {len(silent)} sources in the image is silent: {_list_ids(silent, samples)}."
    empty = (torch.tensor(samples.present) & (table.get_free_column("area") == 0)).nonzero()[:, 0].tolist()
    if empty:
        consequence = {
            "failure": "count as failures",
            "exclude": "are not scored",
            "background": "are scored by the background",
        }[protocol.empty_target]
        yield (
            f"{len(empty)} ground truths have no pixel at the protocol's size and {consequence}: "
            f"{_list_ids(empty, samples)}."
        )
    if absent := samples.present.count(False):
        yield f"{absent} samples have no source in the image; they are not scored for localization."
    if protocol.candidate_thresholds:
        yield "The threshold was chosen on this very set, as the released code does; read the numbers as optimistic."
    if num_calibrated:
        yield (
            f"The threshold was fitted on {num_calibrated} of these very samples; scores of negatives (pIA, F-LOC...) "
            "are optimistic."
        )
    kinds = [kind for kind in NEGATIVES if f"overlap_{kind}" in table.free_columns]
    if kinds and len(kinds) < len(NEGATIVES):
        lacking = " and ".join(kind for kind in NEGATIVES if kind not in kinds)
        yield f"No image was asked with {lacking}, so F-LOC and F-AUC, which are of all three kinds, are left out."
    for kind in kinds:
        is_known = ~table.get_free_column(f"overlap_{kind}").isnan() | (table.get_free_column(f"pia_{kind}") == 1)
        if num_unknown := int((table.is_scored(protocol) & ~is_known).sum()):
            yield f"{num_unknown} images were not asked with {kind}; scores of negatives are of the others."
    if OFFSCREEN in kinds and not any(samples.categories):
        yield "Categories are unknown here, so off-screen or swapped audio may be of the same kind as the own one."
    if table.threshold is None and kinds:
        yield "There is no threshold of these maps (`soundspot calibrate` fits one): no pIA, AUC-N, F-LOC and F-AUC."


def _list_ids(indices: list[int], samples: SampleIndex, limit: int = 5) -> str:
    return ", ".join(samples.ids[i] for i in indices[:limit]) + (", ..." if len(indices) > limit else "")
