"""Validation of authors' lists and annotation files: their kind and content, and test clips in training lists.

A list of ids all of whose clips are in one test set is a list of that test set; any other is one to train on.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from soundspot.data.datasets.annotation_files import (
    BOX_FIELDS,
    FRACTION_BOX_FIELDS,
    MASK_FIELDS,
    UNUSED_FIELDS,
    IdList,
    read_entries,
    read_ids,
    read_json,
    read_negatives,
    to_box,
)
from soundspot.data.datasets.base import BOX_SIZE
from soundspot.data.datasets.clip_ids import id_format
from soundspot.data.datasets.is3_vpo_avsbench import BENCHMARKS
from soundspot.data.datasets.lists import bundled_ids
from soundspot.data.validation.findings import Cell, Findings, FindingsTable, Problem, merge_findings
from soundspot.data.validation.ground_truth import validate_ground_truth
from soundspot.data.validation.leakage import TrainTestOverlap, find_overlaps
from soundspot.errors import DataError
from soundspot.types import GroundTruth

HEADER = ("file", "content", "rows", "samples", "boxes", "empty", "far outside")
LEAKS_HEADER = ("list", "test set", "clips", "of", "heard", "unheard", "other", "of the 4655", "videos")
_OWNERS = {file: name for name, spec in BENCHMARKS.items() for file in (*spec.box_files, *spec.mask_files)}
PUBLISHED_ROWS = {  # rows of the files in kaistmm/SSLalignment metadata/ e7ae3c55, headers not counted
    "vggss.json": 5158,
    "vggss_test.csv": 5158,
    "vggss_heard_test.csv": 2564,
    "vggss_unheard_test.csv": 2575,
    "ours_vggss.txt": 4655,
    "vggss_test_plus_silent.csv": 5158,
    "vggss_144k.txt": 144000,
    "vggss_10k.txt": 10000,
    "vggss_heard.txt": 59468,
    "flickr_test.csv": 250,
    "flickr_test_249.csv": 249,
    "test_flickr_250.txt": 250,
    "test_flickr_249.txt": 249,
    "flickr_test_plus_silent.csv": 250,
    "flickr_10k.txt": 10000,
    "flickr_144k.txt": 144000,
    **{file: BENCHMARKS[name].num_samples for file, name in _OWNERS.items()},
}


def validate_lists(folder: Path) -> Findings | None:
    """Validate every list and annotation file of a folder and of its subfolder `metadata`.

    Args:
        folder: folder of the files; those of other kinds are skipped.

    Returns:
        Tables and problems of all files together; None where no list or annotation file can be read.
    """
    folders = [path for path in (folder, folder / "metadata") if path.is_dir()]
    results = [result for path in folders for file in sorted(path.iterdir()) if (result := _validate_file(file))]
    return merge_findings(*results) if any(result.tables for result in results) else None


def validate_train_lists(paths: Iterable[Path]) -> Findings:
    """Validate lists that are trained on, whatever they look like.

    Args:
        paths: paths of files of ids.

    Returns:
        Tables of the lists and of the test clips in them, and the problems; a test clip is an error.

    Raises:
        DataError: a file cannot be read, or holds no id.
    """
    return merge_findings(*(_validate_ids(read_ids(path), is_train=True) for path in paths))


def validate_list(path: Path) -> Findings:
    """Validate the form of a list of ids, leaks aside.

    Args:
        path: path of the file.

    Returns:
        Table of a single row with the numbers of rows and of different ids, and the problems: duplicates, ids of no
        known form, oddities of the file.

    Raises:
        DataError: the file cannot be read, or holds no id.
    """
    ids = read_ids(path)
    return Findings("lists", (_row(path, "ids", len(ids.ids) + len(ids.duplicates), len(ids.ids)),), tuple(_form(ids)))


def build_leak_table(name: str, overlaps: Iterable[TrainTestOverlap]) -> tuple[FindingsTable, list[Problem]]:
    """Convert the overlaps of a list with the test sets to a table and problems.

    Args:
        name: name of the list.
        overlaps: overlap with each test set.

    Returns:
        Table of a row for each overlap, and a problem for each: an error where clips (of AVSBench, videos) are in
        common, a warning where only other parts of the same videos are.
    """
    rows: list[tuple[Cell, ...]] = []
    problems = []
    for overlap in overlaps:
        counts, details, other = overlap.subset_counts, "", None
        if "heard" in counts:
            other = overlap.num_clips - counts["heard"] - counts["unheard"]
            details = (
                f"{counts['heard']} heard, {counts['unheard']} unheard, {other} other; {counts['4655']} of the 4655"
            )
        cells = (counts.get("heard"), counts.get("unheard"), other, counts.get("4655"), overlap.num_videos)
        num_clips = None if overlap.by_video else overlap.num_clips
        rows.append((name, overlap.test_set, num_clips, overlap.num_total, *cells))
        problems.append(_leak_problem(name, overlap, details if counts.get("heard") else ""))
    return FindingsTable("leaks", LEAKS_HEADER, tuple(rows)), problems


def _leak_problem(name: str, overlap: TrainTestOverlap, details: str) -> Problem:
    first, test_set = ", ".join(overlap.examples), overlap.test_set
    if overlap.num_leaks:
        unit = "videos" if overlap.by_video else "clips"
        more = "; ".join(filter(None, (details, f"first: {first}")))
        leaks = f"{overlap.num_leaks} of the {overlap.num_total} {unit} of {test_set} ({more})"
        message = f"found {leaks}, expected none to be trained on"
        return Problem("error", name, message, f"Leave them out by `exclude: [{test_set}]`")
    videos = "1 YouTube video" if overlap.num_videos == 1 else f"{overlap.num_videos} YouTube videos"
    message = f"found other parts of {videos} of {test_set} ({first}), though none of its clips"
    remedy = "Scores there are not of unseen videos; leave these out by a list of your own"
    return Problem("warning", name, message, remedy)


def _validate_file(path: Path) -> Findings | None:
    """Validate a list or annotation file; None for a file of another kind."""
    suffix = path.suffix.lower()
    if not path.is_file() or suffix not in (".json", ".csv", ".txt"):
        return None
    try:
        if suffix == ".json":
            return _validate_json(path)
        if _beginning(path).startswith("video,audio"):
            count = len(read_negatives(path))
            return Findings("lists", (_row(path, "negatives", count, count),), tuple(_check_rows(path, count)))
        ids = read_ids(path)
    except DataError as error:
        is_foreign = suffix == ".json" and path.name not in PUBLISHED_ROWS and not _beginning(path).startswith("[")
        if suffix == ".txt" or is_foreign:  # a README.txt or a package.json, say
            return None
        location, _, message = str(error).removeprefix(f"{path.parent}/").partition(": ")
        return Findings("lists", (), (Problem("error", location, message.rstrip("."), "Or take the file away"),))
    formats = Counter(id_format(id) for id in ids.ids)
    return _validate_ids(ids) if formats[""] < len(ids.ids) / 2 else None


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(100).decode("utf-8-sig", "replace").replace(" ", "")


def _validate_ids(ids: IdList, is_train: bool = False) -> Findings:
    count = len(ids.ids) + len(ids.duplicates)
    family = {"vggsound": "VGGSound", "flickr": "Flickr"}.get(id_format(ids.ids[0]), "other")
    test_set = next((test for test in ("vggss", "flickr") if set(bundled_ids(test)).issuperset(ids.ids)), "")
    problems = [*_form(ids), *_check_rows(ids.path, count)]
    if not is_train and test_set:
        row = _row(ids.path, f"test list of {test_set}", count, len(ids.ids))
        return Findings("lists", (row,), tuple(problems))
    table, leaks = build_leak_table(ids.path.name, find_overlaps(ids.ids))
    row = _row(ids.path, f"training list of {family}", count, len(ids.ids))
    return Findings("lists", (row, table) if table.rows else (row,), (*leaks, *problems))


def _form(ids: IdList) -> list[Problem]:
    """Return the problems of a list's form: duplicates, ids of no known form, oddities of the file."""
    name, problems = ids.path.name, []
    if ids.duplicates:
        message = (
            f"found {len(ids.duplicates)} rows that repeat a clip ({', '.join(ids.duplicates[:3])}), expected each once"
        )
        problems.append(Problem("warning", name, message, "Each is used once; take the others out"))
    unknown = [id for id in ids.ids if not id_format(id)]
    if unknown and len(unknown) < len(ids.ids):
        first = ", ".join(unknown[:3])
        message = f"found {len(unknown)} ids of neither VGGSound's form nor Flickr's (first: {first})"
        problems.append(Problem("warning", name, message, "Correct them: leaks are found by the form"))
    if ids.quirks:
        problems.append(Problem("note", name, f"found {', '.join(ids.quirks)}", "Read all the same"))
    return problems


def _validate_json(path: Path) -> Findings | None:
    entries = read_json(path)
    keys = set(entries[0]) if isinstance(entries[0], dict) else set()
    if keys >= set(FRACTION_BOX_FIELDS):
        fields = FRACTION_BOX_FIELDS
    elif keys >= set(BOX_FIELDS):
        fields = MASK_FIELDS if isinstance(entries[0]["gt_box"], str) else BOX_FIELDS
    else:
        return None
    read_entries(path, fields, "file" if fields is FRACTION_BOX_FIELDS else "image")
    problems = _check_rows(path, len(entries))
    unknown = Counter(key for entry in entries for key in entry if key not in {*fields, *UNUSED_FIELDS})
    if unknown:
        listing = ", ".join(f"{key!r} in {times}" for key, times in unknown.items())
        problems.append(Problem("note", path.name, f"found keys that nothing reads: {listing}", "They are left alone"))
    absolute = [value for entry in entries for value in entry.values() if isinstance(value, str) and value[:1] == "/"]
    if absolute:
        message = f"found {len(absolute)} paths of another machine (first: {absolute[0]})"
        problems.append(Problem("note", path.name, message, "Only their last components are used"))
    counts: dict[str, int] = {}
    if fields is not MASK_FIELDS:
        counts, box_problems = validate_ground_truth(path.name, map(_ground_truth, entries))
        problems += box_problems
    owner = "VGG-SS" if fields is FRACTION_BOX_FIELDS else _OWNERS.get(path.name, "")
    content = f"{'masks' if fields is MASK_FIELDS else 'boxes'} of {owner}".removesuffix(" of ")
    return Findings("lists", (_row(path, content, len(entries), len(entries), counts),), tuple(problems))


def _ground_truth(entry: dict[str, Any]) -> tuple[str, GroundTruth]:
    """Return the name and the ground truth of an entry."""
    if "file" in entry:
        return str(entry["file"]), GroundTruth(1, 1, tuple(to_box(box) for box in entry["bbox"]))
    return Path(entry["image"]).stem, GroundTruth(BOX_SIZE, BOX_SIZE, (to_box(entry["gt_box"]),))


def _check_rows(path: Path, rows: int) -> list[Problem]:
    expected = PUBLISHED_ROWS.get(path.name, rows)
    message = f"found {rows} rows, published with {expected}"
    remedy = "Scores on unequal sets do not compare; fetch the complete file"
    return [Problem("warning", path.name, message, remedy)] if rows != expected else []


def _row(path: Path, content: str, rows: int, samples: int, counts: dict[str, int] | None = None) -> FindingsTable:
    cells = tuple((counts or {}).get(key) for key in HEADER[4:])
    return FindingsTable("lists", HEADER, ((path.name, content, rows, samples, *cells),))
