"""The doctor: what a folder of data holds and everything that is wrong with it, told at once (`whence data check`)."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from whence.data.annotations import ANNOTATIONS, SPLITS, Annotations, read_annotations
from whence.data.check import check_catalogue
from whence.data.doctor.clips import check_dataset, check_media
from whence.data.doctor.findings import Cell, Findings, Table, together
from whence.data.doctor.lists import check_lists, check_train_lists
from whence.data.problems import Problem

Folder = str | os.PathLike[str]


def examine(
    root: Folder,
    data: str | None = None,
    options: Mapping[str, Any] | None = None,
    train_lists: Iterable[Folder] = (),
    read_files: bool = False,
) -> Findings:
    """What `root` holds and all of its problems; opens nothing for writing.

    Args:
        root: a catalogue, a folder of authors' lists and annotation files, or one of pictures and sounds.
        data: check this data set there (`whence.data.datasets.datasets()`); None: recognise what there is.
        options: of that data set.
        train_lists: files of ids that are or will be trained on, checked for clips of the test sets.
        read_files: also decode every picture, mask and sound.

    Raises:
        RecipeError: no such data set or option. DataError: composed scenes, which have no files.
    """
    root = Path(root)
    trained = check_train_lists(Path(path) for path in train_lists)
    if data is not None and data != "catalogue":
        return together(check_dataset(data, root, dict(options or {}), read_files), trained)
    if data == "catalogue" or (root / ANNOTATIONS).is_file():
        return together(_catalogue(root, read_files), trained)
    found = [part for part in (check_lists(root), check_media(root, read_files)) if part is not None]
    if not found and not trained.tables:
        there = (
            f"a folder without {ANNOTATIONS}, known lists, or frames and audio" if root.is_dir() else "no such folder"
        )
        expected = "expected a catalogue, authors' lists, or pictures and sounds"
        nothing = Problem("error", str(root), f"found {there}, {expected}", "Check the path, or name the set by `data`")
        return Findings("nothing", problems=(nothing,))
    return together(*found, trained)


def _catalogue(root: Path, read_files: bool) -> Findings:
    annotations = read_annotations(root)
    return Findings("catalogue", _counts(annotations), tuple(check_catalogue(root, read_files)))


def _counts(annotations: Annotations) -> tuple[Table, ...]:
    """How many entries without errors there are, by category and split."""
    if not annotations.entries:
        return ()
    counts: dict[str, Counter[str]] = {
        category: Counter() for category in sorted({e.category for e in annotations.entries})
    }
    for kind, entries in (("pictures", annotations.pictures), ("recordings", annotations.recordings)):
        for entry in entries:
            counts[entry.category][f"{kind} {entry.split}"] += 1
    counts["all"] = sum(counts.values(), Counter())
    columns = [f"{kind} {split}" for kind in ("pictures", "recordings") for split in SPLITS]
    columns = [column for column in columns if counts["all"][column]]
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (category, *(of[column] for column in columns)) for category, of in counts.items()
    )
    return (Table("entries", ("category", *columns), rows),)
