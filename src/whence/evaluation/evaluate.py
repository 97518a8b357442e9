"""`evaluate`: any localizer on any data set under any protocol, with the rows that need no model beside it."""

import math
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from whence.data.datasets import open_dataset
from whence.errors import DataError
from whence.evaluation import baselines, tallies
from whence.evaluation.asking import Answers, Embedded, Items, ask, describe
from whence.evaluation.bootstrap import auroc_interval, group_weights, intervals
from whence.evaluation.functional import confidence
from whence.evaluation.protocols import Protocol, get_protocol
from whence.evaluation.report import Interval, Kind, Report, Row, SampleRow
from whence.output import check_output
from whence.types import AudioVisualDataset

BLIND: dict[str, Kind] = {
    "whole image": "sound-blind",
    "centred box": "sound-blind",
    "object saliency": "sound-blind",
    "ceiling": "ceiling",
}
Pair = tuple[Float[Tensor, " n"], Float[Tensor, " n"]]  # IoU and adaptive IoU


def evaluate(
    localizer: Any,
    data: str | AudioVisualDataset,
    *,
    root: str | Path | None = None,
    protocol: str | Protocol = "corrected",
    batch_size: int = 32,
    output: str | Path | None = None,
    seed: int = 0,
    bootstraps: int = 1000,
    overwrite: bool = False,
    progress: bool = False,
) -> Report:
    """Score a localizer.

    Items without a source in the picture (silence, noise, off-screen sound) do not enter the localisation scores; with
    them `presence_auroc` says how often the map of a present source is more confident than one of an absent source.

    Args:
        localizer: a callable (picture, Sound) -> map: a (h, w) array, or a value with such `scores`. One that offers
            `asking.BatchedLocalizer` is asked in batches, and for its saliency and its embeddings where it has them.
        data: a data set, or the name of one (a catalogue's test split) in the folder `root`.
        batch_size: pictures, sounds and maps at a time; moves no number but by the model's own rounding.
        output: a folder to save the report in; it must not exist unless `overwrite` is set.
        seed: of the foreign sounds and of the bootstrap.
        bootstraps: draws behind the 95 % intervals; 0 leaves them out.
        progress: show a bar.
    """
    if output is not None:
        check_output(Path(output), overwrite)
    rules = get_protocol(protocol)
    if isinstance(data, str):
        data = open_dataset(data, root, **({"split": "test"} if data == "catalogue" else {}))
    if not len(data):
        raise DataError(f"the data set {data.name} has no items; there is nothing to score.")
    items = describe(data, [data.truth(i).present for i in range(len(data))], seed)
    embedded, board = Embedded(), _Board(rules, len(data))
    for answers in _shown(ask(localizer, data, items, batch_size, embedded), len(data), progress):
        board.add(answers, data)
    weights = group_weights(len(items.first), bootstraps, seed)
    report = Report(
        data.name,
        rules.as_dict(),
        len(data),
        tuple(_rows(_name(localizer), board, items, embedded, weights)),
        tuple(_samples(board, items)),
        {items.ids[i]: board.maps[i].numpy() for i in range(len(data))},
        tuple(_notes(board, items, embedded)),
        _front_end(localizer),
    )
    if output is not None:
        report.save(output, overwrite)
    return report


class _Board:
    """Numbers of each item as they come in; of maps only the raw ones are kept."""

    def __init__(self, protocol: Protocol, n: int) -> None:
        self.protocol = protocol
        self.maps: dict[int, Tensor] = {}
        self.model, self.blind = _nothing(n), {name: _nothing(n) for name in BLIND}
        self.confidence, self.own, self.foreign, self.area = torch.full((4, n), math.nan, dtype=torch.float64)
        self.centre = baselines.centred_box(protocol.size, protocol.size)

    def add(self, answers: Answers, data: AudioVisualDataset) -> None:
        here, size = torch.tensor(answers.items), self.protocol.size
        found = [data.truth(i) for i in answers.items]
        truths = torch.stack([truth.map(size, size) for truth in found])
        if all(truth.rule != "consensus" for truth in found):
            truths = truths.bool()
        large = self._read_out(answers.maps)
        self._put(self.model, here, large, truths)
        self._put(self.blind["centred box"], here, self.centre.expand_as(large), truths)
        self._put(self.blind["ceiling"], here, baselines.oracle(truths), truths)
        if answers.saliency is not None:
            self._put(self.blind["object saliency"], here, self._read_out(answers.saliency), truths)
        whole = baselines.whole_image_iou(truths)
        for column in self.blind["whole image"]:
            column[here] = whole
        self.confidence[here] = confidence(self.protocol.rescaled(large))
        self.own[here] = torch.tensor([float(one.max()) for one in answers.maps], dtype=torch.float64)
        for i, peak in answers.foreign.items():
            self.foreign[i] = peak
        self.area[here] = (truths != 0).flatten(1).double().mean(dim=1)
        self.maps.update(zip(answers.items, answers.maps, strict=True))

    def _read_out(self, maps: list[Tensor]) -> Float[Tensor, "b s s"]:
        if len({one.shape for one in maps}) == 1:
            return self.protocol.read_out(torch.stack(maps))
        return torch.cat([self.protocol.read_out(one[None]) for one in maps])

    def _put(self, columns: Pair, here: Int[Tensor, " b"], maps: Tensor, truths: Tensor) -> None:
        for column, values in zip(columns, self.protocol.score(maps, truths), strict=True):
            column[here] = values

    def scored(self, present: list[bool]) -> Bool[Tensor, " n"]:
        """Which items enter the localisation scores."""
        return torch.tensor(present) & ((self.area > 0) | (self.protocol.empty_truth == "failure"))


def _nothing(n: int) -> Pair:
    return torch.full((n,), math.nan, dtype=torch.float64), torch.full((n,), math.nan, dtype=torch.float64)


def _rows(name: str, board: _Board, items: Items, embedded: Embedded, weights: Float[Tensor, "d g"]) -> Iterable[Row]:
    scored, group = board.scored(items.present), items.group

    def scores(columns: Pair) -> dict[str, Interval]:
        iou, adaptive = (column[scored] for column in columns)
        return intervals(tallies.localisation(iou, adaptive, group[scored], board.protocol), weights)

    metrics, chance = scores(board.model), {}
    present = torch.tensor(items.present)
    if bool(present.any()) and not bool(present.all()):
        sides = (board.confidence[present].float(), board.confidence[~present].float())
        metrics["presence_auroc"] = auroc_interval(*sides, group[present], group[~present], weights)
    if embedded.images and embedded.sounds:
        relevant, pictures, sounds = _relevance(items)
        vectors = torch.cat(embedded.images)[pictures].float(), torch.cat(embedded.sounds)[sounds].float()
        metrics |= intervals(tallies.retrieval(*vectors, relevant, pictures, group[sounds]), weights)
        chance = intervals(tallies.retrieval_chance(relevant, pictures, group[sounds]), weights)
    yield Row(name, "model", metrics)
    for other, columns in board.blind.items():
        if not bool(columns[0].isnan().all()) and (found := scores(columns)):
            yield Row(other, BLIND[other], found)
    if chance:
        yield Row("chance", "sound-blind", chance)


def _relevance(items: Items) -> tuple[Bool[Tensor, "p n"], Int[Tensor, " p"], Int[Tensor, " n"]]:
    """Which sounds are of a category that is in which picture, over those that have a source; their numbers."""
    sounds = torch.tensor(items.present).nonzero()[:, 0]
    kinds = {name: at for at, name in enumerate(dict.fromkeys(items.categories))}
    kind = torch.tensor([kinds[name] for name in items.categories])
    shows = torch.zeros(len(items.first), len(kinds), dtype=torch.bool)
    shows[items.group[sounds], kind[sounds]] = True
    pictures = shows.any(dim=1).nonzero()[:, 0]
    return shows[pictures][:, kind[sounds]], pictures, sounds


def _samples(board: _Board, items: Items) -> Iterable[SampleRow]:
    outside = ~board.scored(items.present)
    ious = (column.masked_fill(outside, math.nan).tolist() for column in board.model)
    numbers = (column.tolist() for column in (board.confidence, board.own, board.foreign, board.area))
    columns = (items.ids, items.groups, items.categories, *ious, *numbers, items.present)
    return (SampleRow(*line) for line in zip(*columns, strict=True))


def _notes(board: _Board, items: Items, embedded: Embedded) -> Iterable[str]:
    silent = sorted(i for i in embedded.silent if items.present[i])
    if silent:
        yield f"{len(silent)} sounds of sources in the picture are silent: {_named(silent, items)}."
    empty = (torch.tensor(items.present) & (board.area == 0)).nonzero()[:, 0].tolist()
    if empty:
        fate = "count as failures" if board.protocol.empty_truth == "failure" else "are not scored"
        yield f"{len(empty)} truths have no pixel at the protocol's size and {fate}: {_named(empty, items)}."
    if absent := items.present.count(False):
        yield f"{absent} items have no source in the picture; they are not scored for localisation."


def _named(some: list[int], items: Items, most: int = 5) -> str:
    return ", ".join(items.ids[i] for i in some[:most]) + (", ..." if len(some) > most else "")


def _name(localizer: Any) -> str:
    method = getattr(localizer, "method", localizer)
    return str(getattr(method, "name", None) or getattr(method, "__name__", None) or type(method).__name__)


def _front_end(localizer: Any) -> dict[str, Any] | None:
    front_end = getattr(getattr(localizer, "method", localizer), "front_end", None)
    return asdict(front_end) if is_dataclass(front_end) and not isinstance(front_end, type) else None


def _shown(answers: Iterable[Answers], n: int, progress: bool) -> Iterable[Answers]:
    """The same answers, with a bar that counts their items."""
    if not progress:
        yield from answers
        return
    from rich.progress import Progress

    with Progress() as bar:
        task = bar.add_task("scoring", total=n)
        for some in answers:
            yield some
            bar.advance(task, len(some.items))
