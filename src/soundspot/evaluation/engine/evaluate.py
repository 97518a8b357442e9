"""`evaluate` a localizer, or `evaluate_maps` made elsewhere: any data set, any protocol."""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundspot.config.presence_calibration import PresenceCalibration
from soundspot.config.refinement import Refinement
from soundspot.data.datasets.registry import open_dataset, scoring_options
from soundspot.errors import DataError
from soundspot.evaluation.engine.disk_tensor import DiskTensor
from soundspot.evaluation.engine.distributed import SINGLE_PROCESS, RankShard
from soundspot.evaluation.engine.items import index_samples
from soundspot.evaluation.engine.localizers import LocalizerInfo, as_batched
from soundspot.evaluation.engine.predict import (
    PredictionBatch,
    all_gather_rows,
    check_counts,
    encode_audio,
    iter_batches,
    iter_predictions,
)
from soundspot.evaluation.engine.predictions import MapWriter, Predictions, StoredMaps, TemporaryMapFolder
from soundspot.evaluation.engine.sample_table import SOURCE_AP, SampleTable
from soundspot.evaluation.metrics.registry import NEGATIVES, expand_metric_keys
from soundspot.evaluation.protocols.presets import Protocol, resolve_protocols
from soundspot.evaluation.report.build_report import Embeddings, build_report, check_attributes
from soundspot.evaluation.report.report import MAPS_FOLDER, REPORT_FILE, Report
from soundspot.types import AudioVisualDataset
from soundspot.utils.atomic_io import atomic_write_folder, check_output
from soundspot.utils.progress import track

MAPS_PER_MESSAGE = 64  # maps sent at once from one process to another
ProtocolChoice = str | Protocol | Sequence[str | Protocol]


def evaluate(
    localizer: Any,
    data: str | AudioVisualDataset,
    *,
    root: str | Path | None = None,
    protocol: ProtocolChoice = "corrected",
    metrics: Sequence[str] | None = None,
    threshold: float | None = None,
    negatives: Sequence[str] = NEGATIVES,
    batch_size: int = 32,
    output: str | Path | None = None,
    seed: int = 0,
    bootstraps: int = 1000,
    overwrite: bool = False,
    progress: bool = False,
    source: Mapping[str, Any] | None = None,
    group_by: Sequence[str] = (),
    distributed: bool = False,
) -> Report:
    """Score a localizer on a data set.

    Memory grows by what reports hold of each sample, about 2 kB: maps and embeddings go to disk as they come.

    Samples without a source in the image (silence, noise, off-screen sound) do not enter the localization scores; they
    add AP, max-F1, LocAcc and `presence_auroc`, the probability that the map of a present source is the more confident.

    Args:
        localizer: a callable (image, Audio) -> (h, w) map, or a value with such `scores`; or a
            `localizers.BatchedLocalizer`, which predicts in batches, with saliency and embeddings where it has them.
        data: a data set, or the name of one (a catalog's test split).
        root: folder of the data set, where `data` is a name.
        protocol: a protocol or its name, several of them, or `all`: the same maps are scored under each; the first is
            the report's own.
        metrics: keys of metrics, each with its variants, or report keys (`list_metrics`); None: all.
        threshold: least peak of a raw map at which a source counts as present, fitted on held-out data (`soundspot
            calibrate`); None: the localizer's own, if any. With a threshold, pIA, AUC-N, F-LOC and F-AUC are computed.
        negatives: kinds of negative audio that each image is also localized with: of `silence`, `noise`, `offscreen`.
            () is faster, and does not show whether the maps depend on the sound.
        batch_size: number of images, audio clips and maps processed at once; changes numbers by the model's rounding
            only.
        output: folder to save the report in; None: the report is not saved.
        seed: random seed of the off-screen audio, the choice of noise, and the bootstrap.
        bootstraps: number of bootstrap draws for the 95 % intervals; 0: no intervals.
        overwrite: replace a report in `output`.
        progress: show a progress bar in the terminal.
        source: origin of model and data, for report.json.
        group_by: attributes of samples (of VGGSounder, of a catalog's images), or `category`, by whose values the
            report divides the model's scores too.
        distributed: share the work among the processes that torchrun started, all of which must call this. All return
            the same report, equal to that of one process to the bit; only the first writes `output` and has maps.

    Returns:
        The report; its maps lie on disk and are read when they are looked up.

    Raises:
        DataError: the data set has no samples or its files are wrong, or the threshold is not a finite number.
        InputError: the localizer is of another type, or a map is not (h, w) finite numbers.
        OutputError: `output` exists and `overwrite` is not set, or cannot be written.
        RecipeError: the data set, a protocol, a metric or an attribute is unknown, `batch_size` is below 1, or
            `bootstraps` negative.
    """
    shard = RankShard.from_process_group() if distributed else SINGLE_PROCESS
    saved = Path(output) if output is not None and shard.is_first else None
    if saved is not None:
        check_output(saved, overwrite)
    check_counts(batch_size, bootstraps)
    keys = None if metrics is None else expand_metric_keys(metrics)
    protocols, data = resolve_protocols(protocol), _open_test_set(data, root)
    check_attributes(group_by, data)
    samples, info = index_samples(data, seed, shard), LocalizerInfo.of(localizer)
    threshold = _check_threshold(info.threshold if threshold is None else threshold)
    table = SampleTable(protocols, data, samples, threshold, info.calibration)
    temporary, batched = TemporaryMapFolder(), as_batched(localizer, data)
    with (
        atomic_write_folder(saved, overwrite, marker_file=REPORT_FILE) if saved else nullcontext(temporary.path)
    ) as folder:
        (folder / MAPS_FOLDER).mkdir()
        writer, image_embeddings = MapWriter(folder / MAPS_FOLDER), DiskTensor()
        audio = encode_audio(batched, data, samples, batch_size, shard)
        batches = iter_predictions(batched, data, samples, audio, batch_size, negatives, shard)
        for batch in _show_progress(batches, len(data), progress, shard):
            table.update(batch)
            if batch.image_embeddings is not None:
                image_embeddings.append(batch.image_embeddings)
            for i, scores in zip(batch.indices, batch.maps, strict=True):
                writer.add(samples.ids[i], scores.numpy())
        table.all_gather(shard)
        _gather_maps(writer, shard)
        embeddings = Embeddings(all_gather_rows(image_embeddings, shard), audio)
        if info.refinement:
            source = {**(source or {}), "refinement": info.refinement.as_dict()}
        report = build_report(info, table, embeddings, bootstraps, seed, source, group_by)
        report = report if keys is None else report.select_metrics(keys)
        if shard.is_first:
            writer.close(report.map_metadata())
        if saved is not None:
            report.write(folder)
    maps_folder = (saved or temporary.path) / MAPS_FOLDER
    return replace(report, maps=StoredMaps(maps_folder, temporary)) if shard.is_first else report


def _gather_maps(writer: MapWriter, shard: RankShard) -> None:
    """Send the maps of all processes to the first one's writer."""
    local: Iterable[list[tuple[str, NDArray[np.float32]]]] = ()
    if not shard.is_first:
        writer.close({})
        maps = StoredMaps(writer.folder)
        local = ([(id, maps[id]) for id in ids] for ids in iter_batches([*maps], MAPS_PER_MESSAGE))
    for message in shard.iter_gathered(local, first_rank=1):
        for id, scores in message if shard.is_first else ():
            writer.add(id, scores)


def evaluate_maps(
    folder: str | Path,
    data: str | AudioVisualDataset,
    *,
    root: str | Path | None = None,
    protocol: ProtocolChoice = "corrected",
    metrics: Sequence[str] | None = None,
    threshold: float | None = None,
    allow_missing: bool = False,
    batch_size: int = 64,
    seed: int = 0,
    bootstraps: int = 1000,
    progress: bool = False,
    source: Mapping[str, Any] | None = None,
    group_by: Sequence[str] = (),
    distributed: bool = False,
) -> Report:
    """Score maps that any code has written into a folder of predictions.

    No image and no audio is read, only ground truths. `soundspot.evaluation.engine.predictions` describes the files.

    Args:
        folder: folder of `maps*.npz` and `meta.json`.
        data: a data set, or the name of one; its annotation files are enough.
        root: folder of the data set, where `data` is a name.
        protocol: a protocol or its name, several of them, or `all`: the same maps are scored under each; the first is
            the report's own.
        metrics: keys of metrics, each with its variants, or report keys (`list_metrics`); None: all.
        threshold: least peak of a raw map at which a source counts as present; None: that of meta.json, if any.
        allow_missing: True: samples without a map count as failures, and a note says how many; False: they are an
            error.
        batch_size: number of maps processed at once; does not change numbers.
        seed: random seed of the bootstrap.
        bootstraps: number of bootstrap draws for the 95 % intervals; 0: no intervals.
        progress: show a progress bar in the terminal.
        source: origin of the maps, for report.json.
        group_by: attributes of samples (of VGGSounder, of a catalog's images), or `category`, by whose values the
            report divides the model's scores too.
        distributed: share the work among the processes that torchrun started, all of which must call this and get the
            same report.

    Returns:
        The report, with the maps of the folder.

    Raises:
        DataError: maps are missing or unreadable, the data set has no samples or its files are wrong, or the threshold
            or the calibration of presence in meta.json is not valid.
        InputError: a map is not (h, w) finite numbers.
        RecipeError: the data set, a protocol, a metric or an attribute is unknown, `batch_size` is below 1, or
            `bootstraps` negative.
    """
    check_counts(batch_size, bootstraps)
    keys = None if metrics is None else expand_metric_keys(metrics)
    protocols, data = resolve_protocols(protocol), _open_test_set(data, root, ground_truth_only=True)
    check_attributes(group_by, data)
    shard = RankShard.from_process_group() if distributed else SINGLE_PROCESS
    samples, predictions = index_samples(data, seed, shard), Predictions(Path(folder))
    predictions.check_complete(samples, allow_missing)
    meta = predictions.meta
    threshold = _check_threshold(meta.get("threshold") if threshold is None else threshold)
    calibration = PresenceCalibration.from_dict(meta.get("presence"))
    has_source_ap = keys is None or not keys.isdisjoint(SOURCE_AP)
    table = SampleTable(protocols, data, samples, threshold, calibration, has_source_ap)
    for batch in _show_progress(predictions.iter_predictions(samples, batch_size, shard), len(data), progress, shard):
        table.update(batch)
    table.all_gather(shard)
    if refinement := Refinement.from_dict(meta.get("refinement")):
        source = {**(source or {}), "refinement": refinement.as_dict()}
    name, notes = str(meta.get("model", Path(folder).resolve().name)), tuple(predictions.list_ignored(samples))
    info = LocalizerInfo(name, notes=notes, front_end=meta.get("front_end"))
    report = replace(build_report(info, table, None, bootstraps, seed, source, group_by), maps=predictions.maps)
    return report if keys is None else report.select_metrics(keys)


def _open_test_set(
    data: str | AudioVisualDataset, root: str | Path | None, ground_truth_only: bool = False
) -> AudioVisualDataset:
    if isinstance(data, str):
        data = open_dataset(data, root, **scoring_options(data, ground_truth_only=ground_truth_only))
    if not len(data):
        raise DataError(f"the data set {data.name} has no samples; there is nothing to score.")
    return data


def _check_threshold(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"found the threshold {value!r}, expected a finite number or none. Correct it, or calibrate.")
    return float(value)


def _show_progress(
    batches: Iterable[PredictionBatch], n: int, progress: bool, shard: RankShard
) -> Iterable[PredictionBatch]:
    """Yield batches with a bar that counts samples; those of other processes are assumed to come as quickly."""
    enabled = progress and shard.is_first
    yield from track(batches, "scoring", n, enabled, lambda batch: len(batch.indices) * shard.world_size)
