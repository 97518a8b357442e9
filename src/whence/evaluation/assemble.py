"""From the board of an evaluation to its report: rows, samples, notes, and whether the model listens."""

import math
from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from whence.evaluation import scores
from whence.evaluation.asking import NEGATIVES, NOISE, OFFSCREEN, SILENCE, Embedded
from whence.evaluation.bootstrap import GroupWeights, intervals
from whence.evaluation.items import Items
from whence.evaluation.listening import Listening, listening
from whence.evaluation.protocols import Protocol
from whence.evaluation.relevance import Relevance, relevance
from whence.evaluation.report import Kind, Row, Ruled, SampleRow
from whence.evaluation.rows import Chosen
from whence.evaluation.scores import Scores, Tally
from whence.evaluation.scoring import CEILING, CENTRED, MODEL, SALIENCY, WHOLE, Board

FIXED = ("pia_", "aucn_", "f_", "presence_")  # scores that no cut moves

# What stands beside the model, what it is called, and of what kind it is.
BESIDE: dict[str, tuple[str, Kind]] = {
    WHOLE: (WHOLE, "sound-blind"),
    CENTRED: (CENTRED, "sound-blind"),
    SALIENCY: (SALIENCY, "sound-blind"),
    SILENCE: ("muted", "sound-blind"),
    NOISE: ("noise", "sound-blind"),
    OFFSCREEN: ("swapped sound", "sound-blind"),
    CEILING: (CEILING, "ceiling"),
}


def ruled(name: str, board: Board, protocol: Protocol, weights: GroupWeights) -> Ruled:
    """The rows of another protocol than the report's own: what its cuts move."""
    present = torch.tensor(board.items.present)
    found = scores.of_samples(board.columns(protocol, MODEL), board.number, present, board.items.group, protocol)
    moved = {key: score for key, score in found.items() if not (key.startswith(FIXED) or key.endswith("_universal"))}
    rows = [Row(name, "model", intervals(moved, weights))]
    return Ruled(protocol.as_dict(), (*rows, *_beside(board, protocol, weights)))


def rows(name: str, board: Board, items: Items, embedded: Embedded, weights: GroupWeights) -> Iterable[Row]:
    """All rows under the report's own protocol, the model's first."""
    protocol, present = board.protocols[0], torch.tensor(items.present)
    found = scores.of_samples(board.columns(protocol, MODEL), board.number, present, items.group, protocol)
    found |= _sources(board, protocol) | _mixtures(board, MODEL)
    chance: Scores = {}
    if len(embedded.images) and len(embedded.sounds):
        pictures, asked, relevant = _relevance(items)
        own, sounds = items.group[asked], Chosen(embedded.sounds, embedded.place[asked])
        found |= scores.retrieval(Chosen(embedded.images, pictures), sounds, relevant, pictures, own)
        chance = scores.retrieval_chance(relevant, pictures, own)
        if embedded.images.shape[1:] == embedded.sounds.shape[1:]:
            found |= scores.embedding(Chosen(embedded.images, own), sounds, own)
    yield Row(name, "model", intervals(found, weights))
    yield from _beside(board, protocol, weights, own=True)
    if chance:
        yield Row("chance", "sound-blind", intervals(chance, weights))


def panel(board: Board, weights: GroupWeights) -> Listening | None:
    """Whether the model listens; of the samples that were asked with every kind of negative there is."""
    protocol = board.protocols[0]
    kinds = [kind for kind in NEGATIVES if board.columns(protocol, kind)]
    asked = board.scored(protocol)
    for kind in kinds:
        asked &= ~board.number(f"overlap_{kind}").isnan()
    if not kinds or not bool(asked.any()):
        return None
    others = {BESIDE[kind][0]: _located(board, protocol, kind, asked) for kind in kinds}
    groups = board.items.group[asked]
    overlaps = {BESIDE[kind][0]: Tally(board.number(f"overlap_{kind}")[asked], groups) for kind in kinds}
    return listening(_located(board, protocol, MODEL, asked), others, overlaps, weights)


def located(board: Board, protocol: Protocol, row: str) -> Scores:
    """Localisation scores of one of the board's rows, over the samples that it has."""
    return _located(board, protocol, row, board.scored(protocol))


def _located(board: Board, protocol: Protocol, row: str, some: Bool[Tensor, " n"]) -> Scores:
    if row in NEGATIVES:
        some = some & ~board.number(f"overlap_{row}").isnan()  # not every picture has a foreign sound
    columns = scores.settled(board.columns(protocol, row), protocol, some)
    if not columns:
        return {}
    chosen = {name: column[some] for name, column in columns.items()}
    return scores.localisation(chosen, board.items.group[some], protocol)


def _beside(board: Board, protocol: Protocol, weights: GroupWeights, own: bool = False) -> Iterable[Row]:
    """The rows beside the model, under the report's own protocol with scores of mixtures, which no cut moves."""
    for row, (name, kind) in BESIDE.items():
        if found := located(board, protocol, row) | (_mixtures(board, row) if own else {}):
            yield Row(name, kind, intervals(found, weights))


def _sources(board: Board, protocol: Protocol) -> Scores:
    """Pixel AP of pictures with several sources, each asked with its own sound."""
    found: Scores = {}
    for name in ("cap", "piap"):
        some = ~board.number(name).isnan() & board.scored(protocol)
        if bool(some.any()):
            found[name] = Tally(board.number(name)[some], board.items.group[some])
    return found


def _mixtures(board: Board, row: str) -> Scores:
    """Scores of the pictures that were asked with all of their sources at once."""
    found: Scores = {}
    for name, values in board.mixtures.get(row, {}).items():
        some = (~values.isnan()).reshape(len(values), -1).all(dim=1)
        found[name] = Tally(values[some], some.nonzero()[:, 0], _ratio if values.ndim > 1 else None)
    return found


def _ratio(means: Float[Tensor, "d 2"]) -> Float[Tensor, " d"]:
    return means[:, 0] / means[:, 1]


def _relevance(items: Items) -> tuple[Int[Tensor, " p"], Int[Tensor, " n"], dict[str, Relevance]]:
    """The pictures and the sounds that have a source, and which belong together, by instance and by category."""
    sounds = torch.tensor(items.present).nonzero()[:, 0]
    pictures = items.group[sounds].unique()
    names = {name: at for at, name in enumerate(dict.fromkeys(items.categories))}
    kinds = torch.tensor([names[name] for name in items.categories])
    return pictures, sounds, relevance(items.group[sounds], kinds[sounds])


def samples(board: Board) -> Iterable[SampleRow]:
    """A line for each item, in the data set's order; nan where an item does not enter the localisation scores."""
    protocol, items = board.protocols[0], board.items
    outside = ~board.scored(protocol)
    columns = scores.settled(board.columns(protocol, MODEL), protocol, ~outside)
    unknown = torch.full((len(items.ids),), math.nan, dtype=torch.float64)

    def of(name: str) -> list[float]:
        found: list[float] = columns.get(name, unknown).masked_fill(outside, math.nan).tolist()
        return found

    located = (of("iou"), of("iou_adaptive"), of("f"), of("f_adaptive"))
    numbers = (board.number(name).tolist() for name in SampleRow.numbers())
    lines = zip(items.ids, items.groups, items.categories, items.present, *located, *numbers, strict=True)
    return (SampleRow(*line) for line in lines)


def notes(board: Board, embedded: Embedded, fitted_on_these: int) -> Iterable[str]:
    """What a reader should know before trusting the numbers.

    Args:
        fitted_on_these: how many of the items the threshold was fitted on.
    """
    protocol, items = board.protocols[0], board.items
    if board.unanswered:
        named = _named(board.unanswered, items)
        yield f"{len(board.unanswered)} items have no map and count as failures: {named}."
    silent = sorted(i for i in embedded.silent if items.present[i])
    if silent:
        yield f"{len(silent)} sounds of sources in the picture are silent: {_named(silent, items)}."
    empty = (torch.tensor(items.present) & (board.number("area") == 0)).nonzero()[:, 0].tolist()
    if empty:
        fates = {
            "failure": "count as failures",
            "apart": "are not scored",
            "background": "are scored by the background",
        }
        fate = fates[protocol.empty_truth]
        yield f"{len(empty)} truths have no pixel at the protocol's size and {fate}: {_named(empty, items)}."
    if absent := items.present.count(False):
        yield f"{absent} items have no source in the picture; they are not scored for localisation."
    if protocol.best_of:
        yield "The threshold was chosen on this very set, as the released code does; read the numbers as optimistic."
    if fitted_on_these:
        told = f"The threshold was fitted on {fitted_on_these} of these very items"
        yield f"{told}; scores of negative sounds (pIA, F-LOC...) are optimistic."
    asked = [kind for kind in NEGATIVES if f"overlap_{kind}" in board.numbers]
    if asked and len(asked) < len(NEGATIVES):
        lacking = " and ".join(kind for kind in NEGATIVES if kind not in asked)
        yield f"No picture was asked with {lacking}, so F-LOC and F-AUC, which are of all three kinds, are left out."
    for kind in asked:
        known = ~board.number(f"overlap_{kind}").isnan() | (board.number(f"pia_{kind}") == 1)
        without = int((board.scored(protocol) & ~known).sum())
        if without:
            yield f"{without} pictures were not asked with {kind}; scores of negative sounds are of the others."
    if OFFSCREEN in asked and not any(items.categories):
        yield "Nobody said what sounds here, so an off-screen or swapped sound may be of the same kind as the own one."
    if board.threshold is None and any(name.startswith("overlap_") for name in board.numbers):
        yield "There is no threshold of these maps (`whence calibrate` fits one): no pIA, AUC-N, F-LOC and F-AUC."


def _named(some: list[int], items: Items, most: int = 5) -> str:
    return ", ".join(items.ids[i] for i in some[:most]) + (", ..." if len(some) > most else "")
