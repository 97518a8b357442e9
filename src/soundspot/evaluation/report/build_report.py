"""From the board of an evaluation to its report: rows, samples, notes, and whether the model listens."""

import math
from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soundspot.evaluation.engine import aggregate as scores
from soundspot.evaluation.engine.aggregate import GroupedMean, Scores
from soundspot.evaluation.engine.disk_tensor import RowView
from soundspot.evaluation.engine.items import SampleIndex
from soundspot.evaluation.engine.predict import NEGATIVES, NOISE, OFFSCREEN, SILENCE, Embeddings
from soundspot.evaluation.engine.relevance import Relevance, compute_relevance
from soundspot.evaluation.engine.sample_table import (
    CEILING,
    CENTERED_BOX,
    MODEL,
    OBJECT_SALIENCY,
    WHOLE_IMAGE,
    SampleTable,
)
from soundspot.evaluation.protocols.presets import Protocol
from soundspot.evaluation.report.bootstrap import GroupWeights, compute_intervals
from soundspot.evaluation.report.report import ProtocolRows, ReportRow, RowKind, SampleRow
from soundspot.evaluation.report.sound_sensitivity import SoundSensitivity, compute_sound_sensitivity

THRESHOLD_FREE_PREFIXES = ("pia_", "aucn_", "f_", "presence_")  # scores that no cut moves

# What stands beside the model, what it is called, and of what kind it is.
REFERENCE_ROWS: dict[str, tuple[str, RowKind]] = {
    WHOLE_IMAGE: (WHOLE_IMAGE, "sound-blind"),
    CENTERED_BOX: (CENTERED_BOX, "sound-blind"),
    OBJECT_SALIENCY: (OBJECT_SALIENCY, "sound-blind"),
    SILENCE: ("muted", "sound-blind"),
    NOISE: ("noise", "sound-blind"),
    OFFSCREEN: ("swapped audio", "sound-blind"),
    CEILING: (CEILING, "ceiling"),
}


def build_protocol_rows(name: str, table: SampleTable, protocol: Protocol, weights: GroupWeights) -> ProtocolRows:
    """The rows of another protocol than the report's own: what its cuts move."""
    present = torch.tensor(table.samples.present)
    found = scores.compute_sample_scores(
        table.get_protocol_columns(protocol, MODEL),
        table.get_sample_column,
        present,
        table.samples.group_index,
        protocol,
    )
    moved = {
        key: score
        for key, score in found.items()
        if not (key.startswith(THRESHOLD_FREE_PREFIXES) or key.endswith("_universal"))
    }
    rows = [ReportRow(name, "model", compute_intervals(moved, weights))]
    return ProtocolRows(protocol.as_dict(), (*rows, *_beside(table, protocol, weights)))


def build_rows(
    name: str, table: SampleTable, samples: SampleIndex, embeddings: Embeddings, weights: GroupWeights
) -> Iterable[ReportRow]:
    """All rows under the report's own protocol, the model's first."""
    protocol, present = table.protocols[0], torch.tensor(samples.present)
    found = scores.compute_sample_scores(
        table.get_protocol_columns(protocol, MODEL), table.get_sample_column, present, samples.group_index, protocol
    )
    found |= _sources(table, protocol) | _mixtures(table, MODEL)
    chance: Scores = {}
    if len(embeddings.images) and len(embeddings.audio):
        pictures, asked, relevant = _relevance(samples)
        own, sounds = samples.group_index[asked], RowView(embeddings.audio, embeddings.audio_rows[asked])
        found |= scores.compute_retrieval_scores(RowView(embeddings.images, pictures), sounds, relevant, pictures, own)
        chance = scores.compute_retrieval_chance(relevant, pictures, own)
        if embeddings.images.shape[1:] == embeddings.audio.shape[1:]:
            found |= scores.compute_embedding_scores(RowView(embeddings.images, own), sounds, own)
    yield ReportRow(name, "model", compute_intervals(found, weights))
    yield from _beside(table, protocol, weights, own=True)
    if chance:
        yield ReportRow("chance", "sound-blind", compute_intervals(chance, weights))


def build_sound_sensitivity(table: SampleTable, weights: GroupWeights) -> SoundSensitivity | None:
    """Whether the model listens; of the samples that were asked with every kind of negative there is."""
    protocol = table.protocols[0]
    kinds = [kind for kind in NEGATIVES if table.get_protocol_columns(protocol, kind)]
    asked = table.is_scored(protocol)
    for kind in kinds:
        asked &= ~table.get_sample_column(f"overlap_{kind}").isnan()
    if not kinds or not bool(asked.any()):
        return None
    others = {REFERENCE_ROWS[kind][0]: _located(table, protocol, kind, asked) for kind in kinds}
    groups = table.samples.group_index[asked]
    overlaps = {
        REFERENCE_ROWS[kind][0]: GroupedMean(table.get_sample_column(f"overlap_{kind}")[asked], groups)
        for kind in kinds
    }
    return compute_sound_sensitivity(_located(table, protocol, MODEL, asked), others, overlaps, weights)


def compute_row_scores(table: SampleTable, protocol: Protocol, row: str) -> Scores:
    """Localisation scores of one of the board's rows, over the samples that it has."""
    return _located(table, protocol, row, table.is_scored(protocol))


def _located(board: SampleTable, protocol: Protocol, row: str, some: Bool[Tensor, " n"]) -> Scores:
    if row in NEGATIVES:
        some = some & ~board.get_sample_column(f"overlap_{row}").isnan()  # not every picture has a foreign sound
    columns = scores.select_best_threshold(board.get_protocol_columns(protocol, row), protocol, some)
    if not columns:
        return {}
    chosen = {name: column[some] for name, column in columns.items()}
    return scores.compute_localization_scores(chosen, board.samples.group_index[some], protocol)


def _beside(board: SampleTable, protocol: Protocol, weights: GroupWeights, own: bool = False) -> Iterable[ReportRow]:
    """The rows beside the model, under the report's own protocol with scores of mixtures, which no cut moves."""
    for row, (name, kind) in REFERENCE_ROWS.items():
        if found := compute_row_scores(board, protocol, row) | (_mixtures(board, row) if own else {}):
            yield ReportRow(name, kind, compute_intervals(found, weights))


def _sources(board: SampleTable, protocol: Protocol) -> Scores:
    """Pixel AP of pictures with several sources, each asked with its own sound."""
    found: Scores = {}
    for name in ("cap", "piap"):
        some = ~board.get_sample_column(name).isnan() & board.is_scored(protocol)
        if bool(some.any()):
            found[name] = GroupedMean(board.get_sample_column(name)[some], board.samples.group_index[some])
    return found


def _mixtures(board: SampleTable, row: str) -> Scores:
    """Scores of the pictures that were asked with all of their sources at once."""
    found: Scores = {}
    for name, values in board.mixtures.get(row, {}).items():
        some = (~values.isnan()).reshape(len(values), -1).all(dim=1)
        found[name] = GroupedMean(values[some], some.nonzero()[:, 0], _ratio if values.ndim > 1 else None)
    return found


def _ratio(means: Float[Tensor, "d 2"]) -> Float[Tensor, " d"]:
    return means[:, 0] / means[:, 1]


def _relevance(items: SampleIndex) -> tuple[Int[Tensor, " p"], Int[Tensor, " n"], dict[str, Relevance]]:
    """The pictures and the sounds that have a source, and which belong together, by instance and by category."""
    sounds = torch.tensor(items.present).nonzero()[:, 0]
    pictures = items.group_index[sounds].unique()
    names = {name: at for at, name in enumerate(dict.fromkeys(items.categories))}
    kinds = torch.tensor([names[name] for name in items.categories])
    return pictures, sounds, compute_relevance(items.group_index[sounds], kinds[sounds])


def build_sample_rows(table: SampleTable) -> Iterable[SampleRow]:
    """A line for each item, in the data set's order; nan where an item does not enter the localisation scores."""
    protocol, items = table.protocols[0], table.samples
    outside = ~table.is_scored(protocol)
    columns = scores.select_best_threshold(table.get_protocol_columns(protocol, MODEL), protocol, ~outside)
    unknown = torch.full((len(items.ids),), math.nan, dtype=torch.float64)

    def of(name: str) -> list[float]:
        found: list[float] = columns.get(name, unknown).masked_fill(outside, math.nan).tolist()
        return found

    located = (of("iou"), of("iou_adaptive"), of("f"), of("f_adaptive"))
    numbers = (table.get_sample_column(name).tolist() for name in SampleRow.threshold_free_columns())
    lines = zip(items.ids, items.groups, items.categories, items.present, *located, *numbers, strict=True)
    return (SampleRow(*line) for line in lines)


def iter_notes(table: SampleTable, embeddings: Embeddings, num_calibrated: int) -> Iterable[str]:
    """What a reader should know before trusting the numbers.

    Args:
        fitted_on_these: how many of the items the threshold was fitted on.
    """
    protocol, items = table.protocols[0], table.samples
    if table.missing:
        named = _named(table.missing, items)
        yield f"{len(table.missing)} items have no map and count as failures: {named}."
    silent = sorted(i for i in embeddings.silent_indices if items.present[i])
    if silent:
        yield f"{len(silent)} sounds of sources in the picture are silent: {_named(silent, items)}."
    empty = (torch.tensor(items.present) & (table.get_sample_column("area") == 0)).nonzero()[:, 0].tolist()
    if empty:
        fates = {
            "failure": "count as failures",
            "exclude": "are not scored",
            "background": "are scored by the background",
        }
        fate = fates[protocol.empty_target]
        yield f"{len(empty)} truths have no pixel at the protocol's size and {fate}: {_named(empty, items)}."
    if absent := items.present.count(False):
        yield f"{absent} items have no source in the picture; they are not scored for localisation."
    if protocol.candidate_thresholds:
        yield "The threshold was chosen on this very set, as the released code does; read the numbers as optimistic."
    if num_calibrated:
        told = f"The threshold was fitted on {num_calibrated} of these very items"
        yield f"{told}; scores of negative sounds (pIA, F-LOC...) are optimistic."
    asked = [kind for kind in NEGATIVES if f"overlap_{kind}" in table.sample_columns]
    if asked and len(asked) < len(NEGATIVES):
        lacking = " and ".join(kind for kind in NEGATIVES if kind not in asked)
        yield f"No picture was asked with {lacking}, so F-LOC and F-AUC, which are of all three kinds, are left out."
    for kind in asked:
        known = ~table.get_sample_column(f"overlap_{kind}").isnan() | (table.get_sample_column(f"pia_{kind}") == 1)
        without = int((table.is_scored(protocol) & ~known).sum())
        if without:
            yield f"{without} pictures were not asked with {kind}; scores of negative sounds are of the others."
    if OFFSCREEN in asked and not any(items.categories):
        yield "Nobody said what sounds here, so an off-screen or swapped audio may be of the same kind as the own one."
    if table.threshold is None and any(name.startswith("overlap_") for name in table.sample_columns):
        yield "There is no threshold of these maps (`soundspot calibrate` fits one): no pIA, AUC-N, F-LOC and F-AUC."


def _named(some: list[int], items: SampleIndex, most: int = 5) -> str:
    return ", ".join(items.ids[i] for i in some[:most]) + (", ..." if len(some) > most else "")
