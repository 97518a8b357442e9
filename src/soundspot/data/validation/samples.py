"""Validation of images and audio: their number, missing and broken files, and clips of the test sets among them."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from soundspot.data.datasets.auxiliary import AuxiliaryDataset
from soundspot.data.datasets.base import MISSING_POLICIES, ClipDataset, GroundTruthFile, SampleEntry
from soundspot.data.datasets.layouts import ClipPaths
from soundspot.data.datasets.registry import is_composed, is_test_set, open_dataset
from soundspot.data.datasets.vggsound_flickr import TRAIN_LAYOUTS
from soundspot.data.media.audio import read_audio
from soundspot.data.media.file_types import (
    AUDIO_SUFFIXES,
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    count_passed_over,
    format_passed_over,
    iter_files,
)
from soundspot.data.media.image import read_image
from soundspot.data.media.mask import is_soft_mask, read_mask
from soundspot.data.validation.findings import (
    Findings,
    FindingsTable,
    Problem,
    audio_notes,
    merge_findings,
    soft_mask_note,
)
from soundspot.data.validation.ground_truth import validate_ground_truth
from soundspot.data.validation.leakage import find_overlaps
from soundspot.data.validation.lists import build_leak_table, validate_list
from soundspot.errors import DataError, SoundspotError
from soundspot.types import GroundTruth
from soundspot.utils.progress import track

HEADER = ("data set", "samples", "images", "categories", "absent", "boxes", "empty", "skipped", "excluded")
MEDIA_SUFFIXES = (*IMAGE_SUFFIXES, *AUDIO_SUFFIXES, *VIDEO_SUFFIXES)
REMEDY = "Correct it, or leave it out"


def validate_dataset(name: str, root: Path, options: dict[str, Any], read_files: bool = False) -> Findings:
    """Validate a data set: its samples, missing files, odd boxes, and test clips in a training set.

    Args:
        name: name of the data set, a key of `list_datasets()`.
        root: folder of the data set.
        options: options with which it is opened; `missing` is overridden.
        read_files: whether to decode every file too.

    Returns:
        Tables of the content, and the problems.

    Raises:
        RecipeError: an unknown name or option.
        DataError: scenes or shards, which have no files to check.
    """
    if is_composed(name):
        open_dataset(name, root, **options)  # an unknown option is reported
        raise DataError(f"{name}: composed scenes have no files of their own, so there is nothing to check")
    list_file = Path(str(options.get("list", "")))
    results = [validate_list(list_file)] if list_file.is_file() else []
    problems: list[Problem] = []
    data = _open_leniently(name, root, options, problems)
    if data is None:
        return merge_findings(*results, Findings(name, (), tuple(problems)))
    is_test = data.split == "test"
    counts: dict[str, int] = {}
    if is_test:
        counts, box_problems = validate_ground_truth(name, _annotated_samples(data, problems))
        problems += box_problems
    else:
        table, leaks = build_leak_table(data.name, find_overlaps(sample.id for sample in data.samples))
        results.append(Findings(name, (table,) if table.rows else (), tuple(leaks)))
    if read_files:
        problems += _unreadable_files(data.samples)
    absent = sum(isinstance(s.ground_truth, GroundTruth) and not s.ground_truth.present for s in data.samples)
    row = (
        data.name,
        len(data),
        len({sample.group for sample in data.samples}),
        len({sample.category for sample in data.samples} - {""}),
        absent if is_test else None,
        counts.get("boxes"),
        counts.get("empty"),
        len(data.skipped),
        None if is_test else len(data.excluded),
    )
    return merge_findings(*results, Findings(name, (FindingsTable("data set", HEADER, (row,)),), tuple(problems)))


def validate_media(root: Path, read_files: bool = False) -> Findings | None:
    """Validate a folder of images and audio in a training layout of the released codes.

    Args:
        root: folder of the images and audio.
        read_files: whether to decode every file too.

    Returns:
        Tables of the content, and the problems; None where the folder has no such layout.
    """
    for name, layouts in TRAIN_LAYOUTS.items():
        try:
            ClipPaths(root, layouts)
        except DataError:
            continue
        findings = validate_dataset(name, root, {}, read_files)
        note = format_passed_over(count_passed_over(iter_files(root), MEDIA_SUFFIXES))
        problem = Problem("note", str(root), note, "They are neither images nor sounds by their suffixes")
        return merge_findings(findings, Findings(name, (), (problem,))) if note else findings
    return None


def _open_leniently(name: str, root: Path, options: dict[str, Any], problems: list[Problem]) -> ClipDataset | None:
    """Open the complete samples of a data set, or of a test set without any, all of them; errors become problems."""
    for policy in MISSING_POLICIES if is_test_set(name) else MISSING_POLICIES[:2]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # warnings are reported as problems
                data = open_dataset(name, root, **{**options, "missing": policy})
        except DataError as error:
            if policy == "error":
                problems.append(Problem.from_error(error, name, REMEDY))
            continue
        data = data.dataset if isinstance(data, AuxiliaryDataset) else data
        if not isinstance(data, ClipDataset):
            raise DataError(
                f"{name}: found {data.name}, expected a data set of files: the content of shards is compared with its "
                "checksums on every access. Check the files they were made of"
            )
        return data
    return None


def _annotated_samples(data: ClipDataset, problems: list[Problem]) -> Iterable[tuple[str, GroundTruth]]:
    """Yield (id, ground truth) of each sample that has boxes; a file that cannot be read becomes a problem."""
    for sample in data.samples:
        ground_truth = sample.ground_truth
        if isinstance(ground_truth, GroundTruth):
            yield sample.id, ground_truth
        elif ground_truth is not None and ground_truth.format != "mask" and Path(ground_truth.path).is_file():
            try:
                yield sample.id, ground_truth.read()
            except SoundspotError as error:
                problems.append(Problem.from_error(error, sample.id, REMEDY))


def _unreadable_files(samples: Sequence[SampleEntry]) -> list[Problem]:
    """Decode every file once and return the problems."""
    problems: list[Problem] = []
    decoded: set[str] = set()
    for sample in track(samples, "samples"):
        files: list[tuple[Any, str]] = [(read_image, sample.image), (read_audio, sample.audio)]
        if isinstance(sample.ground_truth, GroundTruthFile) and sample.ground_truth.format == "mask":
            files.append((read_mask, sample.ground_truth.path))
        for read, path in files:
            if path in decoded:
                continue
            decoded.add(path)
            try:
                content = read(path)
            except SoundspotError as error:
                problems.append(Problem.from_error(error, sample.id, REMEDY))
                continue
            if read is read_mask and is_soft_mask(path):
                problems.append(soft_mask_note(path))
            if read is read_audio and content.is_silent:
                problems.append(Problem("warning", path, "found silence, expected a sound", "Fetch it again"))
            if read is read_audio:
                problems += audio_notes(content, path)
    return problems
