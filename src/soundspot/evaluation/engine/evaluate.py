"""`evaluate` a localizer, or `score` maps made elsewhere: any data set, any protocol."""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundspot.config.refinement import Refinement
from soundspot.data.datasets.registry import open_dataset, scoring_options
from soundspot.errors import DataError
from soundspot.evaluation.engine.distributed import SINGLE_PROCESS, RankShard
from soundspot.evaluation.engine.items import hash_id, hash_samples, index_samples
from soundspot.evaluation.engine.predict import (
    NEGATIVES,
    Embeddings,
    PredictionBatch,
    check_counts,
    iter_batches,
    iter_predictions,
)
from soundspot.evaluation.engine.predictions import MapWriter, Predictions, StoredMaps, TemporaryMapFolder
from soundspot.evaluation.engine.sample_table import SampleTable
from soundspot.evaluation.protocols.presets import Protocol, resolve_protocols
from soundspot.evaluation.report import build_report as assemble
from soundspot.evaluation.report.bootstrap import GroupWeights
from soundspot.evaluation.report.report import MAPS_FOLDER, REPORT_FILE, Report
from soundspot.types import AudioVisualDataset
from soundspot.utils.atomic_io import atomic_write_folder, check_output

MAPS_PER_MESSAGE = 64  # maps that travel together from one process to another
ProtocolChoice = str | Protocol | Sequence[str | Protocol]


def evaluate(
    localizer: Any,
    data: str | AudioVisualDataset,
    *,
    root: str | Path | None = None,
    protocol: ProtocolChoice = "corrected",
    threshold: float | None = None,
    negatives: Sequence[str] = NEGATIVES,
    batch_size: int = 32,
    output: str | Path | None = None,
    seed: int = 0,
    bootstraps: int = 1000,
    overwrite: bool = False,
    progress: bool = False,
    source: Mapping[str, Any] | None = None,
    distributed: bool = False,
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
        threshold: peak from which a source counts as present, fitted on held-out data (`soundspot calibrate`); by default
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
    share = RankShard.from_process_group() if distributed else SINGLE_PROCESS
    saved = Path(output) if output is not None and share.is_first else None
    if saved is not None:
        check_output(saved, overwrite)
    check_counts(batch_size, bootstraps)
    rules, opened = resolve_protocols(protocol), _opened(data, root)
    items = index_samples(opened, seed, share)
    known = _threshold(getattr(localizer, "threshold", None) if threshold is None else threshold)
    board, embedded = SampleTable(rules, opened, items, known), Embeddings()
    scratch = TemporaryMapFolder()
    with (
        atomic_write_folder(saved, overwrite, marker_file=REPORT_FILE) if saved else nullcontext(scratch.path) as folder
    ):
        (folder / MAPS_FOLDER).mkdir()
        writer = MapWriter(folder / MAPS_FOLDER)
        answered = iter_predictions(localizer, opened, items, batch_size, embedded, negatives, share)
        for answers in _shown(answered, len(opened), progress, share):
            board.update(answers)
            for i, one in zip(answers.indices, answers.maps, strict=True):
                writer.add(items.ids[i], one.numpy())
        board.all_gather(share)
        _collect(writer, share)
        told = (*getattr(localizer, "notes", ()), *getattr(localizer, "supervision", ()))  # refined maps, labels
        if refinement := getattr(localizer, "refinement", None):
            source = {**(source or {}), "refinement": refinement.as_dict()}
        report = _report(_name(localizer), board, embedded, _front_end(localizer), bootstraps, seed, source, told)
        if share.is_first:
            writer.close(report.map_metadata())
        if saved is not None:
            report.write(folder)
    return (
        replace(report, maps=StoredMaps((saved or scratch.path) / MAPS_FOLDER, scratch)) if share.is_first else report
    )


def _collect(writer: MapWriter, share: RankShard) -> None:
    """Bring the maps of all processes to the first one's writer."""
    mine: Iterable[list[tuple[str, NDArray[np.float32]]]] = ()
    if not share.is_first:
        writer.close({})
        maps = StoredMaps(writer.folder)
        mine = ([(id, maps[id]) for id in some] for some in iter_batches(list(maps), MAPS_PER_MESSAGE))
    for some in share.iter_gathered(mine, first_rank=1):
        for id, one in some if share.is_first else ():
            writer.add(id, one)


def evaluate_maps(
    folder: str | Path,
    data: str | AudioVisualDataset,
    *,
    root: str | Path | None = None,
    protocol: ProtocolChoice = "corrected",
    threshold: float | None = None,
    allow_missing: bool = False,
    batch_size: int = 64,
    seed: int = 0,
    bootstraps: int = 1000,
    progress: bool = False,
    source: Mapping[str, Any] | None = None,
    distributed: bool = False,
) -> Report:
    """Score maps that any model has written into a folder (`soundspot.evaluation.engine.predictions` says how).

    No picture and no sound is read, only truths. Arguments are as `evaluate` has them.

    Args:
        folder: holds `maps*.npz` and `meta.json`.
        data: a data set, or the name of one; `root` then needs its annotation files alone.
        threshold: by default what meta.json says.
        allow_missing: items without a map count as failures, and a note says how many; otherwise they are refused.

    Raises:
        DataError, InputError: maps that are missing, of a wrong shape or not finite.
    """
    check_counts(batch_size, bootstraps)
    rules, opened = resolve_protocols(protocol), _opened(data, root, truths_only=True)
    share = RankShard.from_process_group() if distributed else SINGLE_PROCESS
    items = index_samples(opened, seed, share)
    predictions = Predictions(Path(folder))
    predictions.check_complete(items, allow_missing)
    meta = predictions.meta
    board = SampleTable(rules, opened, items, _threshold(meta.get("threshold") if threshold is None else threshold))
    for answers in _shown(predictions.iter_predictions(items, batch_size, share), len(opened), progress, share):
        board.update(answers)
    board.all_gather(share)
    name = str(meta.get("model", Path(folder).resolve().name))
    if refinement := Refinement.from_dict(meta.get("refinement")):
        source = {**(source or {}), "refinement": refinement.as_dict()}
    ignored = predictions.list_ignored(items)
    report = _report(name, board, Embeddings(), meta.get("front_end"), bootstraps, seed, source, ignored)
    return replace(report, maps=predictions.maps)


def _opened(data: str | AudioVisualDataset, root: str | Path | None, truths_only: bool = False) -> AudioVisualDataset:
    if isinstance(data, str):
        data = open_dataset(data, root, **scoring_options(data, ground_truth_only=truths_only))
    if not len(data):
        raise DataError(f"the data set {data.name} has no items; there is nothing to score.")
    return data


def _report(
    name: str,
    board: SampleTable,
    embedded: Embeddings,
    front_end: dict[str, Any] | None,
    bootstraps: int,
    seed: int,
    source: Mapping[str, Any] | None,
    told: Sequence[str] = (),
) -> Report:
    items, (own, *others) = board.samples, board.protocols
    weights = GroupWeights(len(items.group_first), bootstraps, seed)
    source = dict(source or {})
    stored = source.pop("calibration", None) or {}
    fitted = {} if board.threshold is None else dict(stored)  # of a threshold that is used
    on_these = len(set(fitted.pop("ids", ())) & set(map(hash_id, items.ids)))
    if fitted:
        source["calibration"] = fitted
    return Report(
        board.data.name,
        own.as_dict(),
        len(items.ids),
        tuple(assemble.build_rows(name, board, items, embedded, weights)),
        tuple(assemble.build_sample_rows(board)),
        notes=(*told, *assemble.iter_notes(board, embedded, on_these)),
        front_end=front_end,
        other_protocols=tuple(assemble.build_protocol_rows(name, board, protocol, weights) for protocol in others),
        sound_sensitivity=assemble.build_sound_sensitivity(board, weights),
        source={
            **source,
            "items": hash_samples(items),
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


def _shown(answers: Iterable[PredictionBatch], n: int, progress: bool, share: RankShard) -> Iterable[PredictionBatch]:
    """The same answers, with a bar that counts their items; those of other processes are taken to come as quickly."""
    if not progress or not share.is_first:
        yield from answers
        return
    from rich.progress import Progress

    with Progress() as bar:
        task = bar.add_task("scoring", total=n)
        for some in answers:
            yield some
            bar.advance(task, len(some.indices) * share.world_size)
