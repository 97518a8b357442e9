"""Authors' lists and annotation files: which they are, what they hold, and which training lists hold test clips.

A list of ids all of whose clips are in one test set is a list of that test set; any other is one to train on, unless
its name says `test`.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from whence.data.authors import (
    BOXED,
    FRACTIONS,
    MASKED,
    UNUSED,
    IdList,
    as_box,
    read_entries,
    read_ids,
    read_json,
    read_negatives,
)
from whence.data.datasets.framed import AVSBENCH_MS3, AVSBENCH_S4, IS3, VPO_MS, VPO_SS
from whence.data.datasets.listed import BOX_SIZE
from whence.data.doctor.findings import Cell, Findings, Table, together
from whence.data.doctor.truths import check_truths
from whence.data.identity import kind_of
from whence.data.leaks import Overlap, overlaps
from whence.data.lists import shipped
from whence.data.problems import Problem
from whence.errors import DataError
from whence.types import Truth

HEAD = ("file", "what", "rows", "items", "boxes", "empty", "far outside")
LEAKS = ("list", "test set", "clips", "of", "heard", "unheard", "other", "of the 4655", "videos")
_SETS = (IS3, VPO_SS, VPO_MS, AVSBENCH_S4, AVSBENCH_MS3)
PUBLISHED = {  # rows of the files in kaistmm/SSLalignment metadata/ e7ae3c55, headers not counted
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
    **{name: spec.n for spec in _SETS for name in (*spec.boxes, *spec.masks)},
}


def check_lists(folder: Path) -> Findings | None:
    """Every list and annotation file of a folder (or its `metadata`); None where there is none."""
    files = [path for place in (folder, folder / "metadata") if place.is_dir() for path in sorted(place.iterdir())]
    found = [part for part in map(_file, files) if part is not None]
    return together(*found) if any(part.tables for part in found) else None


def check_train_lists(paths: Iterable[Path]) -> Findings:
    """Lists that are trained on, whatever they look like.

    Raises:
        DataError: one cannot be read.
    """
    return together(*(_ids(read_ids(path), path.name, trained=True) for path in paths))


def check_list(path: Path) -> Findings:
    """The form of one list of ids, leaks aside."""
    listed = read_ids(path)
    return Findings(
        "lists",
        (_row(path.name, "ids", len(listed.ids) + len(listed.repeated), len(listed.ids)),),
        tuple(_form(listed)),
    )


def leak_table(name: str, leaks: Iterable[Overlap]) -> tuple[Table, list[Problem]]:
    """What a list shares with the test sets, as rows and as problems; `name` is the list's."""
    rows: list[tuple[Cell, ...]] = []
    problems = []
    for leak in leaks:
        heard, unheard, some = (leak.parts.get(part) for part in ("heard", "unheard", "4655"))
        other = None if heard is None or unheard is None else leak.clips - heard - unheard
        rows.append(
            (
                name,
                leak.test,
                None if leak.by_video else leak.clips,
                leak.total,
                heard,
                unheard,
                other,
                some,
                leak.videos,
            )
        )
        problems.append(
            _leak(name, leak, f"{heard} heard, {unheard} unheard, {other} other; {some} of the 4655" if heard else "")
        )
    return Table("leaks", LEAKS, tuple(rows)), problems


def _leak(name: str, leak: Overlap, parts: str) -> Problem:
    first, unit = ", ".join(leak.first), "videos" if leak.by_video else "clips"
    remedy = f"Leave them out by `exclude: [{leak.test}]`"
    if leak.leaks:
        more = "; ".join(filter(None, (parts, f"first: {first}")))
        what = f"found {leak.leaks} of the {leak.total} {unit} of {leak.test} ({more}), expected none to be trained on"
        return Problem("error", name, what, remedy)
    videos = "1 YouTube video" if leak.videos == 1 else f"{leak.videos} YouTube videos"
    what = f"found other parts of {videos} of {leak.test} ({first}), though none of its clips"
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
        strange = path.suffix.lower() == ".json" and path.name not in PUBLISHED and not _begins(path).startswith("[")
        if path.suffix.lower() == ".txt" or strange:  # a package.json, say: of no interest
            return None
        where, _, what = str(error).removeprefix(f"{path.parent}/").partition(": ")
        return Findings("lists", (), (Problem("error", where, what.rstrip("."), "Or take the file away"),))
    kinds = Counter(kind_of(id) for id in listed.ids)
    return _ids(listed, path.name) if kinds[""] < len(listed.ids) / 2 else None


def _begins(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(100).decode("utf-8-sig", "replace").replace(" ", "")


def _ids(listed: IdList, name: str, trained: bool = False) -> Findings:
    rows = len(listed.ids) + len(listed.repeated)
    kind = {"vggsound": "VGGSound", "flickr": "Flickr"}.get(kind_of(listed.ids[0]), "other")
    of = next((test for test in ("vggss", "flickr") if set(shipped(test)).issuperset(listed.ids)), "")
    problems = [*_form(listed), *_published(listed.path, rows)]
    if not trained and of:
        return Findings("lists", (_row(name, f"test list of {of or kind}", rows, len(listed.ids)),), tuple(problems))
    table, leaks = leak_table(name, overlaps(listed.ids))
    row = _row(name, f"training list of {kind}", rows, len(listed.ids))
    return Findings("lists", (row, table) if table.rows else (row,), (*leaks, *problems))


def _form(listed: IdList) -> list[Problem]:
    name, problems = listed.path.name, []
    if listed.repeated:
        first = ", ".join(listed.repeated[:3])
        what = f"found {len(listed.repeated)} rows that repeat a clip ({first}), expected each once"
        problems.append(Problem("warning", name, what, "Each is used once; take the others out"))
    strange = [id for id in listed.ids if not kind_of(id)]
    if strange and len(strange) < len(listed.ids):
        what = f"found {len(strange)} ids of neither VGGSound's form nor Flickr's (first: {', '.join(strange[:3])})"
        problems.append(Problem("warning", name, what, "Correct them: leaks are found by the form"))
    if listed.forms:
        problems.append(Problem("note", name, f"found {', '.join(listed.forms)}", "Read all the same"))
    return problems


def _json(path: Path) -> Findings | None:
    entries = read_json(path)
    keys = set(entries[0]) if isinstance(entries[0], dict) else set()
    if not (keys >= set(FRACTIONS) or keys >= set(BOXED)):
        return None
    kind = FRACTIONS if keys >= set(FRACTIONS) else MASKED if isinstance(entries[0]["gt_box"], str) else BOXED
    read_entries(path, kind, "file" if kind is FRACTIONS else "image")
    problems = [*_published(path, len(entries)), *_keys(path, entries, kind), *_paths(path, entries)]
    counts: dict[str, int] = {}
    if kind is not MASKED:
        counts, odd = check_truths(path.name, ((_name(entry), _truth(entry)) for entry in entries))
        problems += odd
    owner = "VGG-SS" if kind is FRACTIONS else next((s.name for s in _SETS if path.name in (*s.boxes, *s.masks)), "")
    what = f"{'masks' if kind is MASKED else 'boxes'} of {owner}".removesuffix(" of ")
    return Findings("lists", (_row(path.name, what, len(entries), len(entries), counts),), tuple(problems))


def _name(entry: dict[str, Any]) -> str:
    return str(entry["file"]) if "file" in entry else Path(entry["image"]).stem


def _truth(entry: dict[str, Any]) -> Truth:
    if "file" in entry:
        return Truth(1, 1, tuple(as_box(box) for box in entry["bbox"]))
    return Truth(BOX_SIZE, BOX_SIZE, (as_box(entry["gt_box"]),))


def _keys(path: Path, entries: list[dict[str, Any]], known: dict[str, Any]) -> list[Problem]:
    strange = Counter(key for entry in entries for key in entry if key not in known and key not in UNUSED)
    told = ", ".join(f"{key!r} in {times}" for key, times in strange.items())
    return [_problem("note", path, f"found keys that nothing reads: {told}", "They are left alone")] if strange else []


def _paths(path: Path, entries: list[dict[str, Any]]) -> list[Problem]:
    absolute = [value for entry in entries for value in entry.values() if isinstance(value, str) and value[:1] == "/"]
    what = f"found {len(absolute)} paths of another machine (first: {absolute[0]})" if absolute else ""
    return [_problem("note", path, what, "Only their last parts are used")] if absolute else []


def _published(path: Path, rows: int) -> list[Problem]:
    expected = PUBLISHED.get(path.name, rows)
    what = f"found {rows} rows, published with {expected}"
    return (
        [_problem("warning", path, what, "Scores on unequal sets do not compare; fetch it whole")]
        if rows != expected
        else []
    )


def _problem(severity: Literal["error", "warning", "note"], path: Path, what: str, remedy: str) -> Problem:
    return Problem(severity, path.name, what, remedy)


def _row(name: str, what: str, rows: int, items: int, counts: dict[str, int] | None = None) -> Table:
    told = tuple((counts or {}).get(key) for key in HEAD[4:])
    return Table("lists", HEAD, ((name, what, rows, items, *told),))
