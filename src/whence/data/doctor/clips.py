"""Pictures and sounds: how many there are, which are missing or broken, and what of the test sets is among them."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from whence.data.audio import read_sound
from whence.data.beside import Beside
from whence.data.datasets import FOLDERS, open_dataset
from whence.data.datasets.layouts import LAYOUTS, Places
from whence.data.datasets.listed import Clip, Listed, TruthFile
from whence.data.doctor.findings import Cell, Findings, Table, together
from whence.data.doctor.lists import check_list, leak_table
from whence.data.doctor.truths import check_truths
from whence.data.identity import clip_id
from whence.data.image import read_image, read_mask
from whence.data.leaks import overlaps
from whence.data.lists import SHIPPED, shipped
from whence.data.problems import Problem
from whence.errors import DataError, WhenceError
from whence.types import Truth

HEAD = ("data set", "items", "pictures", "categories", "absent", "boxes", "empty", "skipped", "excluded")


def check_dataset(name: str, root: Path, options: dict[str, Any], read_files: bool = False) -> Findings:
    """One data set under `root`: its items, missing files, odd boxes, and of a training set what must not be in it."""
    if name not in FOLDERS:
        open_dataset(name, root, **options)  # an unknown name or option is told
        raise DataError(f"{name}: composed scenes have no files of their own, so there is nothing to check")
    parts = [check_list(Path(options["list"]))] if Path(str(options.get("list", ""))).is_file() else []
    problems: list[Problem] = []
    data = _opened(name, root, options, problems)
    if data is None:
        return together(*parts, Findings(name, (), tuple(problems)))
    counts: dict[str, int] = {}
    if data.split == "test":
        counts, odd = check_truths(name, _truths(data, problems))
        problems += odd
    else:
        table, leaks = leak_table(data.name, overlaps(clip.id for clip in data.clips))
        parts.append(Findings(name, (table,) if table.rows else (), tuple(leaks)))
    if read_files:
        problems += _unreadable(data.clips)
    return together(*parts, Findings(name, (_row(data, counts),), tuple(problems)))


def check_media(root: Path, read_files: bool = False) -> Findings | None:
    """A folder of pictures and sounds in one of the released codes' layouts; None where it is not."""
    try:
        places = Places(root, LAYOUTS)
    except DataError:
        return None
    pictures, sounds = (set(map(clip_id, finder.names())) for finder in (places.images, places.sounds))
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
    held = {leak.test: leak for leak in overlaps(both)}
    for test, leak in held.items():
        if leak.leaks:
            told = f"holds {leak.leaks} of the {leak.total} {'videos' if leak.by_video else 'clips'} of {test}"
            remedy = f"Who trains on everything here leaves them out by `exclude: [{test}]`"
            problems.append(Problem("note", str(root), told, remedy))
    covered = tuple((test, held[test].leaks if test in held else 0, len(shipped(test))) for test in SHIPPED)
    if read_files:
        clips = ((id, places.of(id, id)) for id in both)
        problems += _unreadable(Clip(id, id, "", image, sound) for id, (image, sound, _) in clips)
    tables = (Table("media", ("what", "found"), tuple(rows)), Table("test sets", ("test set", "there", "of"), covered))
    return Findings("media", tables, tuple(problems))


def _opened(name: str, root: Path, options: dict[str, Any], problems: list[Problem]) -> Listed | None:
    """The data set; where files are missing, which is told, what is left; of a test set without any, all of it."""
    option = "missing" if FOLDERS[name].startswith("training") else "media"
    for policy in ("refuse", "skip", "unchecked")[: 2 if option == "missing" else 3]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # what is warned of is told as a problem
                data = open_dataset(name, root, **{**options, option: policy})
        except DataError as error:
            if policy == "refuse":
                problems.append(_told(error, name))
            continue
        data = data.data if isinstance(data, Beside) else data
        if not isinstance(data, Listed):
            raise DataError(
                f"{name}: found {data.name}, expected a data set of files: what shards hold is compared with their "
                "checksums whenever it is read. Check what they were made of"
            )
        return data
    return None


def _truths(data: Listed, problems: list[Problem]) -> Iterable[tuple[str, Truth]]:
    """Id and truth of each item; masks are not opened here, absent files are told before, broken ones are told here."""
    for clip in data.clips:
        if isinstance(clip.truth, Truth):
            yield clip.id, clip.truth
        elif isinstance(clip.truth, TruthFile) and clip.truth.form != "mask" and Path(clip.truth.path).is_file():
            try:
                yield clip.id, clip.truth.read()
            except WhenceError as error:
                problems.append(_told(error, clip.id))


def _unreadable(clips: Iterable[Clip]) -> list[Problem]:
    """Decodes every file once."""
    problems: list[Problem] = []
    seen: set[str] = set()
    for clip in clips:
        mask = [clip.truth.path] if isinstance(clip.truth, TruthFile) and clip.truth.form == "mask" else []
        for read, path in [(read_image, clip.image), (read_sound, clip.sound), *((read_mask, one) for one in mask)]:
            if path in seen:
                continue
            seen.add(path)
            try:
                found = read(path)  # type: ignore[operator]
            except WhenceError as error:
                problems.append(_told(error, clip.id))
                continue
            if read is read_sound and found.is_silent:
                problems.append(Problem("warning", path, "found silence, expected a sound", "Fetch it again"))
    return problems


def _told(error: WhenceError, name: str) -> Problem:
    where, colon, what = str(error).partition(": ")
    return Problem("error", where if colon else name, (what or str(error)).rstrip("."), "Mend it, or leave it out")


def _row(data: Listed, counts: dict[str, int]) -> Table:
    categories = {clip.category for clip in data.clips} - {""}
    test = data.split == "test"
    absent = sum(isinstance(clip.truth, Truth) and not clip.truth.present for clip in data.clips)
    cells = (
        data.name,
        len(data),
        len({clip.group for clip in data.clips}),
        len(categories),
        absent if test else None,
        counts.get("boxes"),
        counts.get("empty"),
        len(data.skipped),
        len(data.excluded) if not test else None,
    )
    return Table("data set", HEAD, (cells,))
