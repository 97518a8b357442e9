"""The doctor: what a folder of data holds and everything that is wrong with it, told at once (`soundspot data check`)."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from soundspot.data.datasets.catalog_format import ANNOTATIONS_FILE, SPLITS, Annotations, read_annotations
from soundspot.data.validation.catalog import validate_catalog
from soundspot.data.validation.findings import Cell, Findings, FindingsTable, merge_findings
from soundspot.data.validation.lists import validate_lists, validate_train_lists
from soundspot.data.validation.problems import Problem
from soundspot.data.validation.samples import validate_dataset, validate_media

PathLike = str | os.PathLike[str]


def validate_data(
    root: PathLike,
    dataset: str | None = None,
    options: Mapping[str, Any] | None = None,
    train_lists: Iterable[PathLike] = (),
    read_files: bool = False,
) -> Findings:
    """What `root` holds and all of its problems; opens nothing for writing.

    Args:
        root: a catalogue, a folder of authors' lists and annotation files, or one of pictures and sounds.
        data: check this data set there (`soundspot.data.datasets.registry.datasets()`); None: recognise what there is.
        options: of that data set.
        train_lists: files of ids that are or will be trained on, checked for clips of the test sets.
        read_files: also decode every picture, mask and sound.

    Raises:
        RecipeError: no such data set or option. DataError: composed scenes, which have no files.
    """
    root = Path(root)
    trained = validate_train_lists(Path(path) for path in train_lists)
    if dataset is not None and dataset != "catalogue":
        return merge_findings(validate_dataset(dataset, root, dict(options or {}), read_files), trained)
    if dataset == "catalogue" or (root / ANNOTATIONS_FILE).is_file():
        return merge_findings(_catalogue(root, read_files), trained)
    found = [part for part in (validate_lists(root), validate_media(root, read_files)) if part is not None]
    if not found and not trained.tables:
        there = (
            f"a folder without {ANNOTATIONS_FILE}, known lists, or frames and audio"
            if root.is_dir()
            else "no such folder"
        )
        expected = "expected a catalogue, authors' lists, or pictures and sounds"
        nothing = Problem("error", str(root), f"found {there}, {expected}", "Check the path, or name the set by `data`")
        return Findings("nothing", problems=(nothing,))
    return merge_findings(*found, trained)


def _catalogue(root: Path, read_files: bool) -> Findings:
    annotations = read_annotations(root)
    return Findings("catalogue", _counts(annotations), tuple(validate_catalog(root, read_files)))


def _counts(annotations: Annotations) -> tuple[FindingsTable, ...]:
    """How many entries without errors there are, by category and split."""
    if not annotations.entries:
        return ()
    counts: dict[str, Counter[str]] = {
        category: Counter() for category in sorted({e.category for e in annotations.entries})
    }
    for kind, entries in (("pictures", annotations.images), ("recordings", annotations.audio)):
        for entry in entries:
            counts[entry.category][f"{kind} {entry.split}"] += 1
    counts["all"] = sum(counts.values(), Counter())
    columns = [f"{kind} {split}" for kind in ("pictures", "recordings") for split in SPLITS]
    columns = [column for column in columns if counts["all"][column]]
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (category, *(of[column] for column in columns)) for category, of in counts.items()
    )
    return (FindingsTable("entries", ("category", *columns), rows),)
