"""`evaluate` a localizer, or `score` maps made elsewhere: any data set, any protocol."""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whence.data.datasets import open_dataset, scoring_options
from whence.errors import DataError
from whence.evaluation import assemble
from whence.evaluation.asking import NEGATIVES, Answers, Embedded, ask, batches, refuse_counts
from whence.evaluation.bootstrap import GroupWeights
from whence.evaluation.items import describe, fingerprint, id_hash
from whence.evaluation.predictions import MapWriter, Predictions, Scratch, StoredMaps
from whence.evaluation.protocols import Protocol, choose
from whence.evaluation.report import MAPS, REPORT, Report
from whence.evaluation.scoring import Board
from whence.evaluation.shares import WHOLE, Share
from whence.output import check_output, whole_folder
from whence.refinement import Refinement
from whence.types import AudioVisualDataset

RELAYED = 64  # maps that travel together from one process to another
Protocols = str | Protocol | Sequence[str | Protocol]


def evaluate(
    localizer: Any,
    data: str | AudioVisualDataset,
    *,
    root: str | Path | None = None,
    protocol: Protocols = "corrected",
    threshold: float | None = None,
    negatives: Sequence[str] = NEGATIVES,
    batch_size: int = 32,
    output: str | Path | None = None,
    seed: int = 0,
    bootstraps: int = 1000,
    overwrite: bool = False,
    progress: bool = False,
    source: Mapping[str, Any] | None = None,
    shared: bool = False,
) -> Report:
    """Score a localizer.

    Memory does not grow with the test set but by what reports hold of each item, about 2 kB: maps go to disk as they
    come, vectors of pictures and sounds too.

    Items without a source in the picture (silence, noise, off-screen sound) do not enter the localisation scores; with
    them come AP, max-F1, LocAcc and `presence_auroc`, how often a present source's map is the more confident.

    Args:
        localizer: a callable (picture, Sound) -> map: a (h, w) array, or a value with such `scores`. One that offers
            `asking.BatchedLocalizer` is asked in batches, and for its saliency and its embeddings where it has them.
        data: a data set, or the name of one (a catalogue's test split) in the folder `root`.
        protocol: a name, `all`, or several: the same maps are scored under each; the first is the report's own.
        threshold: peak from which a source counts as present, fitted on held-out data (`whence calibrate`); by default
            the localizer's own. With one come the scores of negative sounds: pIA, AUC-N, F-LOC, F-AUC.
        negatives: what each picture is asked with besides its own sound; none of it is faster and does not tell
            whether the model listens.
        batch_size: pictures, sounds and maps at a time; moves no number but by the model's own rounding.
        output: a folder to save the report in; it must not exist unless `overwrite` is set.
        seed: of the foreign sounds and of the bootstrap.
        bootstraps: draws behind the 95 % intervals; 0 leaves them out.
        progress: show a bar.
        source: where model and data come from, for report.json.
        shared: each of the processes that torchrun started asks for its share of the items, and all of them must call
            this. All get the same report, to the bit that of one process; the first alone writes `output` and has maps.
    """
    share = Share.of_process() if shared else WHOLE
    saved = Path(output) if output is not None and share.is_first else None
    if saved is not None:
        check_output(saved, overwrite)
    refuse_counts(batch_size, bootstraps)
    rules, opened = choose(protocol), _opened(data, root)
    items = describe(opened, seed, share)
    known = _threshold(getattr(localizer, "threshold", None) if threshold is None else threshold)
    board, embedded = Board(rules, opened, items, known), Embedded()
    scratch = Scratch()
    with whole_folder(saved, overwrite, holds=REPORT) if saved else nullcontext(scratch.path) as folder:
        (folder / MAPS).mkdir()
        writer = MapWriter(folder / MAPS)
        answered = ask(localizer, opened, items, batch_size, embedded, negatives, share)
        for answers in _shown(answered, len(opened), progress, share):
            board.add(answers)
            for i, one in zip(answers.items, answers.maps, strict=True):
                writer.add(items.ids[i], one.numpy())
        board.share(share)
        _collect(writer, share)
        told = (*getattr(localizer, "notes", ()), *getattr(localizer, "supervision", ()))  # refined maps, labels
        if refinement := getattr(localizer, "refinement", None):
            source = {**(source or {}), "refinement": refinement.as_dict()}
        report = _report(_name(localizer), board, embedded, _front_end(localizer), bootstraps, seed, source, told)
        if share.is_first:
            writer.close(report.made())
        if saved is not None:
            report.write(folder)
    return replace(report, maps=StoredMaps((saved or scratch.path) / MAPS, scratch)) if share.is_first else report


def _collect(writer: MapWriter, share: Share) -> None:
    """Bring the maps of all processes to the first one's writer."""
    mine: Iterable[list[tuple[str, NDArray[np.float32]]]] = ()
    if not share.is_first:
        writer.close({})
        maps = StoredMaps(writer.folder)
        mine = ([(id, maps[id]) for id in some] for some in batches(list(maps), RELAYED))
    for some in share.relayed(mine, first=1):
        for id, one in some if share.is_first else ():
            writer.add(id, one)


def score(
    folder: str | Path,
    data: str | AudioVisualDataset,
    *,
    root: str | Path | None = None,
    protocol: Protocols = "corrected",
    threshold: float | None = None,
    allow_missing: bool = False,
    batch_size: int = 64,
    seed: int = 0,
    bootstraps: int = 1000,
    progress: bool = False,
    source: Mapping[str, Any] | None = None,
    shared: bool = False,
) -> Report:
    """Score maps that any model has written into a folder (`whence.evaluation.predictions` says how).

    No picture and no sound is read, only truths. Arguments are as `evaluate` has them.

    Args:
        folder: holds `maps*.npz` and `meta.json`.
        data: a data set, or the name of one; `root` then needs its annotation files alone.
        threshold: by default what meta.json says.
        allow_missing: items without a map count as failures, and a note says how many; otherwise they are refused.

    Raises:
        DataError, InputError: maps that are missing, of a wrong shape or not finite.
    """
    refuse_counts(batch_size, bootstraps)
    rules, opened = choose(protocol), _opened(data, root, truths_only=True)
    share = Share.of_process() if shared else WHOLE
    items = describe(opened, seed, share)
    predictions = Predictions(Path(folder))
    predictions.check(items, allow_missing)
    meta = predictions.meta
    board = Board(rules, opened, items, _threshold(meta.get("threshold") if threshold is None else threshold))
    for answers in _shown(predictions.answers(items, batch_size, share), len(opened), progress, share):
        board.add(answers)
    board.share(share)
    name = str(meta.get("model", Path(folder).resolve().name))
    if refinement := Refinement.from_dict(meta.get("refinement")):
        source = {**(source or {}), "refinement": refinement.as_dict()}
    ignored = predictions.ignored(items)
    report = _report(name, board, Embedded(), meta.get("front_end"), bootstraps, seed, source, ignored)
    return replace(report, maps=predictions.maps)


def _opened(data: str | AudioVisualDataset, root: str | Path | None, truths_only: bool = False) -> AudioVisualDataset:
    if isinstance(data, str):
        data = open_dataset(data, root, **scoring_options(data, truths_only=truths_only))
    if not len(data):
        raise DataError(f"the data set {data.name} has no items; there is nothing to score.")
    return data


def _report(
    name: str,
    board: Board,
    embedded: Embedded,
    front_end: dict[str, Any] | None,
    bootstraps: int,
    seed: int,
    source: Mapping[str, Any] | None,
    told: Sequence[str] = (),
) -> Report:
    items, (own, *others) = board.items, board.protocols
    weights = GroupWeights(len(items.first), bootstraps, seed)
    source = dict(source or {})
    stored = source.pop("calibration", None) or {}
    fitted = {} if board.threshold is None else dict(stored)  # of a threshold that is used
    on_these = len(set(fitted.pop("ids", ())) & set(map(id_hash, items.ids)))
    if fitted:
        source["calibration"] = fitted
    return Report(
        board.data.name,
        own.as_dict(),
        len(items.ids),
        tuple(assemble.rows(name, board, items, embedded, weights)),
        tuple(assemble.samples(board)),
        notes=(*told, *assemble.notes(board, embedded, on_these)),
        front_end=front_end,
        others=tuple(assemble.ruled(name, board, protocol, weights) for protocol in others),
        listening=assemble.panel(board, weights),
        source={
            **source,
            "items": fingerprint(items),
            "seed": seed,
            "bootstraps": bootstraps,
            "threshold": board.threshold,
        },
    )


def _threshold(value: Any) -> float | None:
    """A threshold as it was given or found, if it is one.

    Raises:
        DataError: it is no finite number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"found the threshold {value!r}, expected a finite number or none. Correct it, or calibrate.")
    return float(value)


def _name(localizer: Any) -> str:
    method = getattr(localizer, "method", localizer)
    if title := getattr(localizer, "title", None):
        return str(title)
    return str(getattr(method, "name", None) or getattr(method, "__name__", None) or type(method).__name__)


def _front_end(localizer: Any) -> dict[str, Any] | None:
    front_end = getattr(getattr(localizer, "method", localizer), "front_end", None)
    return asdict(front_end) if is_dataclass(front_end) and not isinstance(front_end, type) else None


def _shown(answers: Iterable[Answers], n: int, progress: bool, share: Share) -> Iterable[Answers]:
    """The same answers, with a bar that counts their items; those of other processes are taken to come as quickly."""
    if not progress or not share.is_first:
        yield from answers
        return
    from rich.progress import Progress

    with Progress() as bar:
        task = bar.add_task("scoring", total=n)
        for some in answers:
            yield some
            bar.advance(task, len(some.items) * share.world)
