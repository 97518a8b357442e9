"""Validation of a catalog: its annotations, and on request every file."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from soundspot.data.datasets.catalog_format import SPLITS, Annotations, CatalogEntry, ImageEntry, read_annotations
from soundspot.data.media.audio import read_audio
from soundspot.data.media.image import read_image
from soundspot.data.media.mask import is_soft_mask, read_mask
from soundspot.data.validation.findings import (
    Cell,
    Findings,
    FindingsTable,
    Problem,
    audio_notes,
    merge_findings,
    soft_mask_note,
)
from soundspot.errors import SoundspotError
from soundspot.utils.progress import track


def validate_catalog(root: Path, read_files: bool = False) -> Findings:
    """Detect all problems of a catalog and count its entries.

    Args:
        root: folder that holds annotations.json.
        read_files: whether to decode every image, mask and recording too (some 5 ms each), compare sizes, and look for
            equal content under several names.

    Returns:
        Table of the entries without errors by category and split, and the problems, errors first. A missing or broken
        annotations.json is a problem too.
    """
    annotations = read_annotations(root)
    problems = [*annotations.problems, *(_file_problems(annotations) if read_files else ())]
    return merge_findings(Findings("catalog", _count_entries(annotations), tuple(problems)))


def _count_entries(annotations: Annotations) -> tuple[FindingsTable, ...]:
    if not annotations.entries:
        return ()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, entries in (("images", annotations.images), ("audio", annotations.audio)):
        for entry in entries:
            counts[entry.category][f"{kind} {entry.split}"] += 1
    total = sum(counts.values(), Counter())
    columns = [f"{kind} {split}" for kind in ("images", "audio") for split in SPLITS]
    columns = [column for column in columns if total[column]]
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (category, *(count[column] for column in columns))
        for category, count in [*sorted(counts.items()), ("all", total)]
    )
    return (FindingsTable("entries", ("category", *columns), rows),)


def _file_problems(annotations: Annotations) -> Iterator[Problem]:
    for image in track(annotations.images, "images"):
        yield from _image_problems(annotations.root, image)
    for file in track(dict.fromkeys(entry.file for entry in annotations.audio), "sounds"):
        try:
            audio = read_audio(annotations.root / file)
        except SoundspotError as error:
            yield _unreadable(annotations.root, file, error)
            continue
        if audio.is_silent:
            yield Problem("warning", file, "found silence, expected a sound", "Take the entry out, or record again")
        yield from audio_notes(audio, file)
    yield from _copies(annotations)


def _image_problems(root: Path, entry: ImageEntry) -> Iterator[Problem]:
    for file in filter(None, (entry.file, entry.mask)):
        try:
            image = read_image(root / file)
        except SoundspotError as error:
            yield _unreadable(root, file, error)
            continue
        if image.size != (entry.width, entry.height):
            size = f"{image.width} x {image.height} pixels"
            message = f"found {size}, expected {entry.width} x {entry.height} as annotated"
            yield Problem("error", file, message, "Correct width and height with the boxes, or resize the file")
        if file == entry.mask and not read_mask(root / file).any():
            message = "found a mask that is black all over, expected the object in white"
            yield Problem("warning", file, message, "Draw the object, or write null where it is not in the image")
        if file == entry.mask and is_soft_mask(root / file):
            yield soft_mask_note(file)


def _unreadable(root: Path, file: str, error: SoundspotError) -> Problem:
    return Problem("error", file, str(error).removeprefix(f"{root / file}: ").rstrip("."), "Or take the entry out")


def _copies(annotations: Annotations) -> Iterator[Problem]:
    """Find one content under several names: a leak if it is on both sides of a split, else a repetition."""
    contents: dict[str, dict[str, CatalogEntry]] = defaultdict(dict)
    for entry in annotations.entries:
        digest = hashlib.blake2s((annotations.root / entry.file).read_bytes()).hexdigest()
        contents[digest].setdefault(entry.file, entry)
    for copies in contents.values():
        splits, groups = {entry.split for entry in copies.values()}, {entry.group for entry in copies.values()}
        first, *others = copies
        message = f"found the same content as {', '.join(others)}"
        if len(splits) > 1:
            message = f"{message} in splits {' and '.join(sorted(splits))}, expected in one"
            yield Problem("error", first, message, "Give the copies one group and one split")
        elif len(groups) > 1:
            yield Problem("warning", first, f"{message}, expected one group", "Take one out, or give them one group")
