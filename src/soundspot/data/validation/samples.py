"""Pictures and sounds: how many there are, which are missing or broken, and what of the test sets is among them."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from soundspot.data.datasets.auxiliary import AuxiliaryDataset
from soundspot.data.datasets.base import ClipDataset, GroundTruthFile, SampleEntry
from soundspot.data.datasets.clip_ids import normalize_clip_id
from soundspot.data.datasets.layouts import LAYOUTS, ClipPaths
from soundspot.data.datasets.lists import BUNDLED_LISTS, bundled_ids
from soundspot.data.datasets.registry import DATASET_SUMMARIES, open_dataset
from soundspot.data.media.audio import read_audio
from soundspot.data.media.image import read_image, read_mask
from soundspot.data.validation.findings import Cell, Findings, FindingsTable, merge_findings
from soundspot.data.validation.ground_truth import validate_ground_truth
from soundspot.data.validation.leakage import find_overlaps
from soundspot.data.validation.lists import build_leak_table, validate_list
from soundspot.data.validation.problems import Problem
from soundspot.errors import DataError, SoundspotError
from soundspot.types import GroundTruth

HEADER = ("data set", "items", "pictures", "categories", "absent", "boxes", "empty", "skipped", "excluded")


def validate_dataset(name: str, root: Path, options: dict[str, Any], read_files: bool = False) -> Findings:
    """One data set under `root`: its items, missing files, odd boxes, and of a training set what must not be in it."""
    if name not in DATASET_SUMMARIES:
        open_dataset(name, root, **options)  # an unknown name or option is told
        raise DataError(f"{name}: composed scenes have no files of their own, so there is nothing to check")
    parts = [validate_list(Path(options["list"]))] if Path(str(options.get("list", ""))).is_file() else []
    problems: list[Problem] = []
    data = _opened(name, root, options, problems)
    if data is None:
        return merge_findings(*parts, Findings(name, (), tuple(problems)))
    counts: dict[str, int] = {}
    if data.split == "test":
        counts, odd = validate_ground_truth(name, _truths(data, problems))
        problems += odd
    else:
        table, leaks = build_leak_table(data.name, find_overlaps(clip.id for clip in data.samples))
        parts.append(Findings(name, (table,) if table.rows else (), tuple(leaks)))
    if read_files:
        problems += _unreadable(data.samples)
    return merge_findings(*parts, Findings(name, (_row(data, counts),), tuple(problems)))


def validate_media(root: Path, read_files: bool = False) -> Findings | None:
    """A folder of pictures and sounds in one of the released codes' layouts; None where it is not."""
    try:
        places = ClipPaths(root, LAYOUTS)
    except DataError:
        return None
    pictures, sounds = (set(map(normalize_clip_id, finder.iter_names())) for finder in (places.images, places.audio))
    both = sorted(pictures & sounds)
    rows: list[tuple[Cell, ...]] = [
        ("layout", places.layout.name),
        ("pictures", len(pictures)),
        ("sounds", len(sounds)),
        ("both", len(both)),
    ]
    problems = []
    for what, alone, lacks in (("pictures", pictures - sounds, "sound"), ("sounds", sounds - pictures, "picture")):
        if alone:
            named = ", ".join(sorted(alone)[:3])
            told = f"found {len(alone)} {what} without their {lacks} (first: {named}), expected pairs"
            problems.append(Problem("warning", str(root), told, "Fetch the others; until then these clips are missing"))
    if not both:
        told = "found no clip that has both a picture and a sound, expected pairs of one name"
        problems.append(Problem("error", str(root), told, "Check the names of the files"))
    held = {leak.test_set: leak for leak in find_overlaps(both)}
    for test, leak in held.items():
        if leak.num_leaks:
            told = f"holds {leak.num_leaks} of the {leak.num_total} {'videos' if leak.by_video else 'clips'} of {test}"
            remedy = f"Who trains on everything here leaves them out by `exclude: [{test}]`"
            problems.append(Problem("note", str(root), told, remedy))
    covered = tuple(
        (test, held[test].num_leaks if test in held else 0, len(bundled_ids(test))) for test in BUNDLED_LISTS
    )
    if read_files:
        clips = ((id, places.resolve(id, id)) for id in both)
        problems += _unreadable(SampleEntry(id, id, "", image, sound) for id, (image, sound, _) in clips)
    tables = (
        FindingsTable("media", ("what", "found"), tuple(rows)),
        FindingsTable("test sets", ("test set", "there", "of"), covered),
    )
    return Findings("media", tables, tuple(problems))


def _opened(name: str, root: Path, options: dict[str, Any], problems: list[Problem]) -> ClipDataset | None:
    """The data set; where files are missing, which is told, what is left; of a test set without any, all of it."""
    option = "missing" if DATASET_SUMMARIES[name].startswith("training") else "media"
    for policy in ("refuse", "skip", "unchecked")[: 2 if option == "missing" else 3]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # what is warned of is told as a problem
                data = open_dataset(name, root, **{**options, option: policy})
        except DataError as error:
            if policy == "refuse":
                problems.append(_told(error, name))
            continue
        data = data.dataset if isinstance(data, AuxiliaryDataset) else data
        if not isinstance(data, ClipDataset):
            raise DataError(
                f"{name}: found {data.name}, expected a data set of files: what shards hold is compared with their "
                "checksums whenever it is read. Check what they were made of"
            )
        return data
    return None


def _truths(data: ClipDataset, problems: list[Problem]) -> Iterable[tuple[str, GroundTruth]]:
    """Id and truth of each item; masks are not opened here, absent files are told before, broken ones are told here."""
    for clip in data.samples:
        if isinstance(clip.ground_truth, GroundTruth):
            yield clip.id, clip.ground_truth
        elif (
            isinstance(clip.ground_truth, GroundTruthFile)
            and clip.ground_truth.format != "mask"
            and Path(clip.ground_truth.path).is_file()
        ):
            try:
                yield clip.id, clip.ground_truth.read()
            except SoundspotError as error:
                problems.append(_told(error, clip.id))


def _unreadable(clips: Iterable[SampleEntry]) -> list[Problem]:
    """Decodes every file once."""
    problems: list[Problem] = []
    seen: set[str] = set()
    for clip in clips:
        mask = (
            [clip.ground_truth.path]
            if isinstance(clip.ground_truth, GroundTruthFile) and clip.ground_truth.format == "mask"
            else []
        )
        for read, path in [(read_image, clip.image), (read_audio, clip.audio), *((read_mask, one) for one in mask)]:
            if path in seen:
                continue
            seen.add(path)
            try:
                found = read(path)  # type: ignore[operator]
            except SoundspotError as error:
                problems.append(_told(error, clip.id))
                continue
            if read is read_audio and found.is_silent:
                problems.append(Problem("warning", path, "found silence, expected a sound", "Fetch it again"))
    return problems


def _told(error: SoundspotError, name: str) -> Problem:
    where, colon, what = str(error).partition(": ")
    return Problem("error", where if colon else name, (what or str(error)).rstrip("."), "Mend it, or leave it out")


def _row(data: ClipDataset, counts: dict[str, int]) -> FindingsTable:
    categories = {clip.category for clip in data.samples} - {""}
    test = data.split == "test"
    absent = sum(isinstance(clip.ground_truth, GroundTruth) and not clip.ground_truth.present for clip in data.samples)
    cells = (
        data.name,
        len(data),
        len({clip.group for clip in data.samples}),
        len(categories),
        absent if test else None,
        counts.get("boxes"),
        counts.get("empty"),
        len(data.skipped),
        len(data.excluded) if not test else None,
    )
    return FindingsTable("data set", HEADER, (cells,))
