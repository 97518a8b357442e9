"""Authors' lists and annotation files: which they are, what they hold, and which training lists hold test clips.

A list of ids all of whose clips are in one test set is a list of that test set; any other is one to train on, unless
its name says `test`.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

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
from soundspot.data.datasets.is3_vpo_avsbench import AVSBENCH_MS3, AVSBENCH_S4, IS3, VPO_MS, VPO_SS
from soundspot.data.datasets.lists import bundled_ids
from soundspot.data.validation.findings import Cell, Findings, FindingsTable, merge_findings
from soundspot.data.validation.ground_truth import validate_ground_truth
from soundspot.data.validation.leakage import TrainTestOverlap, find_overlaps
from soundspot.data.validation.problems import Problem
from soundspot.errors import DataError
from soundspot.types import GroundTruth

HEADER = ("file", "what", "rows", "items", "boxes", "empty", "far outside")
LEAKS_HEADER = ("list", "test set", "clips", "of", "heard", "unheard", "other", "of the 4655", "videos")
_SETS = (IS3, VPO_SS, VPO_MS, AVSBENCH_S4, AVSBENCH_MS3)
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
    **{name: spec.num_samples for spec in _SETS for name in (*spec.box_files, *spec.mask_files)},
}


def validate_lists(folder: Path) -> Findings | None:
    """Every list and annotation file of a folder (or its `metadata`); None where there is none."""
    files = [path for place in (folder, folder / "metadata") if place.is_dir() for path in sorted(place.iterdir())]
    found = [part for part in map(_file, files) if part is not None]
    return merge_findings(*found) if any(part.tables for part in found) else None


def validate_train_lists(paths: Iterable[Path]) -> Findings:
    """Lists that are trained on, whatever they look like.

    Raises:
        DataError: one cannot be read.
    """
    return merge_findings(*(_ids(read_ids(path), path.name, trained=True) for path in paths))


def validate_list(path: Path) -> Findings:
    """The form of one list of ids, leaks aside."""
    listed = read_ids(path)
    return Findings(
        "lists",
        (_row(path.name, "ids", len(listed.ids) + len(listed.duplicates), len(listed.ids)),),
        tuple(_form(listed)),
    )


def build_leak_table(name: str, leaks: Iterable[TrainTestOverlap]) -> tuple[FindingsTable, list[Problem]]:
    """What a list shares with the test sets, as rows and as problems; `name` is the list's."""
    rows: list[tuple[Cell, ...]] = []
    problems = []
    for leak in leaks:
        heard, unheard, some = (leak.subset_counts.get(part) for part in ("heard", "unheard", "4655"))
        other = None if heard is None or unheard is None else leak.num_clips - heard - unheard
        rows.append(
            (
                name,
                leak.test_set,
                None if leak.by_video else leak.num_clips,
                leak.num_total,
                heard,
                unheard,
                other,
                some,
                leak.num_videos,
            )
        )
        problems.append(
            _leak(name, leak, f"{heard} heard, {unheard} unheard, {other} other; {some} of the 4655" if heard else "")
        )
    return FindingsTable("leaks", LEAKS_HEADER, tuple(rows)), problems


def _leak(name: str, leak: TrainTestOverlap, parts: str) -> Problem:
    first, unit = ", ".join(leak.examples), "videos" if leak.by_video else "clips"
    remedy = f"Leave them out by `exclude: [{leak.test_set}]`"
    if leak.num_leaks:
        more = "; ".join(filter(None, (parts, f"first: {first}")))
        what = f"found {leak.num_leaks} of the {leak.num_total} {unit} of {leak.test_set} ({more}), expected none to be trained on"
        return Problem("error", name, what, remedy)
    videos = "1 YouTube video" if leak.num_videos == 1 else f"{leak.num_videos} YouTube videos"
    what = f"found other parts of {videos} of {leak.test_set} ({first}), though none of its clips"
    return Problem(
        "warning", name, what, "Scores there are not of unseen videos; leave these out by a list of your own"
    )


def _file(path: Path) -> Findings | None:
    """What a file is and holds; None where it is of no interest."""
    if not path.is_file() or path.suffix.lower() not in (".json", ".csv", ".txt"):
        return None
    try:
        if path.suffix.lower() == ".json":
            return _json(path)
        if _begins(path).startswith("video,audio"):
            rows = read_negatives(path)
            return Findings(
                "lists", (_row(path.name, "negatives", len(rows), len(rows)),), tuple(_published(path, len(rows)))
            )
        listed = read_ids(path)
    except DataError as error:
        strange = (
            path.suffix.lower() == ".json" and path.name not in PUBLISHED_ROWS and not _begins(path).startswith("[")
        )
        if path.suffix.lower() == ".txt" or strange:  # a package.json, say: of no interest
            return None
        where, _, what = str(error).removeprefix(f"{path.parent}/").partition(": ")
        return Findings("lists", (), (Problem("error", where, what.rstrip("."), "Or take the file away"),))
    kinds = Counter(id_format(id) for id in listed.ids)
    return _ids(listed, path.name) if kinds[""] < len(listed.ids) / 2 else None


def _begins(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(100).decode("utf-8-sig", "replace").replace(" ", "")


def _ids(listed: IdList, name: str, trained: bool = False) -> Findings:
    rows = len(listed.ids) + len(listed.duplicates)
    kind = {"vggsound": "VGGSound", "flickr": "Flickr"}.get(id_format(listed.ids[0]), "other")
    of = next((test for test in ("vggss", "flickr") if set(bundled_ids(test)).issuperset(listed.ids)), "")
    problems = [*_form(listed), *_published(listed.path, rows)]
    if not trained and of:
        return Findings("lists", (_row(name, f"test list of {of or kind}", rows, len(listed.ids)),), tuple(problems))
    table, leaks = build_leak_table(name, find_overlaps(listed.ids))
    row = _row(name, f"training list of {kind}", rows, len(listed.ids))
    return Findings("lists", (row, table) if table.rows else (row,), (*leaks, *problems))


def _form(listed: IdList) -> list[Problem]:
    name, problems = listed.path.name, []
    if listed.duplicates:
        first = ", ".join(listed.duplicates[:3])
        what = f"found {len(listed.duplicates)} rows that repeat a clip ({first}), expected each once"
        problems.append(Problem("warning", name, what, "Each is used once; take the others out"))
    strange = [id for id in listed.ids if not id_format(id)]
    if strange and len(strange) < len(listed.ids):
        what = f"found {len(strange)} ids of neither VGGSound's form nor Flickr's (first: {', '.join(strange[:3])})"
        problems.append(Problem("warning", name, what, "Correct them: leaks are found by the form"))
    if listed.quirks:
        problems.append(Problem("note", name, f"found {', '.join(listed.quirks)}", "Read all the same"))
    return problems


def _json(path: Path) -> Findings | None:
    entries = read_json(path)
    keys = set(entries[0]) if isinstance(entries[0], dict) else set()
    if not (keys >= set(FRACTION_BOX_FIELDS) or keys >= set(BOX_FIELDS)):
        return None
    kind = (
        FRACTION_BOX_FIELDS
        if keys >= set(FRACTION_BOX_FIELDS)
        else MASK_FIELDS
        if isinstance(entries[0]["gt_box"], str)
        else BOX_FIELDS
    )
    read_entries(path, kind, "file" if kind is FRACTION_BOX_FIELDS else "image")
    problems = [*_published(path, len(entries)), *_keys(path, entries, kind), *_paths(path, entries)]
    counts: dict[str, int] = {}
    if kind is not MASK_FIELDS:
        counts, odd = validate_ground_truth(path.name, ((_name(entry), _truth(entry)) for entry in entries))
        problems += odd
    owner = (
        "VGG-SS"
        if kind is FRACTION_BOX_FIELDS
        else next((s.name for s in _SETS if path.name in (*s.box_files, *s.mask_files)), "")
    )
    what = f"{'masks' if kind is MASK_FIELDS else 'boxes'} of {owner}".removesuffix(" of ")
    return Findings("lists", (_row(path.name, what, len(entries), len(entries), counts),), tuple(problems))


def _name(entry: dict[str, Any]) -> str:
    return str(entry["file"]) if "file" in entry else Path(entry["image"]).stem


def _truth(entry: dict[str, Any]) -> GroundTruth:
    if "file" in entry:
        return GroundTruth(1, 1, tuple(to_box(box) for box in entry["bbox"]))
    return GroundTruth(BOX_SIZE, BOX_SIZE, (to_box(entry["gt_box"]),))


def _keys(path: Path, entries: list[dict[str, Any]], known: dict[str, Any]) -> list[Problem]:
    strange = Counter(key for entry in entries for key in entry if key not in known and key not in UNUSED_FIELDS)
    told = ", ".join(f"{key!r} in {times}" for key, times in strange.items())
    return [_problem("note", path, f"found keys that nothing reads: {told}", "They are left alone")] if strange else []


def _paths(path: Path, entries: list[dict[str, Any]]) -> list[Problem]:
    absolute = [value for entry in entries for value in entry.values() if isinstance(value, str) and value[:1] == "/"]
    what = f"found {len(absolute)} paths of another machine (first: {absolute[0]})" if absolute else ""
    return [_problem("note", path, what, "Only their last parts are used")] if absolute else []


def _published(path: Path, rows: int) -> list[Problem]:
    expected = PUBLISHED_ROWS.get(path.name, rows)
    what = f"found {rows} rows, published with {expected}"
    return (
        [_problem("warning", path, what, "Scores on unequal sets do not compare; fetch it whole")]
        if rows != expected
        else []
    )


def _problem(severity: Literal["error", "warning", "note"], path: Path, what: str, remedy: str) -> Problem:
    return Problem(severity, path.name, what, remedy)


def _row(name: str, what: str, rows: int, items: int, counts: dict[str, int] | None = None) -> FindingsTable:
    told = tuple((counts or {}).get(key) for key in HEADER[4:])
    return FindingsTable("lists", HEADER, ((name, what, rows, items, *told),))
