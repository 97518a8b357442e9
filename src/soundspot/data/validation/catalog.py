"""Everything that is wrong with a catalogue, told at once: what `soundspot data check` prints."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from soundspot.data.datasets.catalog_format import Annotations, AudioEntry, ImageEntry, read_annotations
from soundspot.data.media.audio import read_audio
from soundspot.data.media.image import read_image, read_mask
from soundspot.data.validation.problems import Problem, severity_rank
from soundspot.errors import SoundspotError


def validate_catalog(root: str | os.PathLike[str], read_files: bool = False) -> list[Problem]:
    """All problems of the catalogue in folder `root`, errors first; none means that it is sound.

    Args:
        root: the folder that holds annotations.json.
        read_files: also decode every picture, mask and recording (some 5 ms each), compare sizes, and look for one
            content under several names.
    """
    annotations = read_annotations(root)
    problems = list(annotations.problems)
    if read_files:
        problems += _file_problems(annotations)
    return sorted(problems, key=severity_rank)


def _file_problems(annotations: Annotations) -> Iterator[Problem]:
    for picture in annotations.images:
        yield from _picture_problems(annotations.root, picture)
    for recording in {recording.file: recording for recording in annotations.audio}.values():
        yield from _recording_problems(annotations.root, recording)
    yield from _copies(annotations)


def _picture_problems(root: Path, picture: ImageEntry) -> Iterator[Problem]:
    expected = (picture.width, picture.height)
    for file in filter(None, (picture.file, picture.mask)):
        try:
            image = read_image(root / file)
        except SoundspotError as error:
            yield _unreadable(root, file, error)
            continue
        if image.size != expected:
            what = f"found {image.width} x {image.height} pixels, expected {expected[0]} x {expected[1]} as annotated"
            yield Problem("error", file, what, "Correct width and height with the boxes, or resize the file")
        if file == picture.mask and not read_mask(root / file).any():
            what = "found a mask that is black all over, expected the object in white"
            yield Problem("warning", file, what, "Draw the object, or write null where it is not in the picture")


def _recording_problems(root: Path, recording: AudioEntry) -> Iterator[Problem]:
    try:
        sound = read_audio(root / recording.file)
    except SoundspotError as error:
        yield _unreadable(root, recording.file, error)
        return
    if sound.is_silent:
        yield Problem(
            "warning", recording.file, "found silence, expected a sound", "Take the entry out, or record again"
        )


def _unreadable(root: Path, file: str, error: SoundspotError) -> Problem:
    what = str(error).removeprefix(f"{root / file}: ").rstrip(".")
    return Problem("error", file, what, "Or take the entry out")


def _copies(annotations: Annotations) -> Iterator[Problem]:
    """One content under several names: a leak where it is on both sides of a split, else only a repetition."""
    contents: dict[str, dict[str, ImageEntry | AudioEntry]] = defaultdict(dict)
    for entry in annotations.entries:
        digest = hashlib.blake2s((annotations.root / entry.file).read_bytes()).hexdigest()
        contents[digest].setdefault(entry.file, entry)
    for copies in contents.values():
        splits, groups = {entry.split for entry in copies.values()}, {entry.group for entry in copies.values()}
        found = f"found the same content as {', '.join(list(copies)[1:])}"
        first = next(iter(copies))
        if len(splits) > 1:
            what = f"{found} in splits {' and '.join(sorted(splits))}, expected in one"
            yield Problem("error", first, what, "Give the copies one group and one split")
        elif len(groups) > 1:
            yield Problem("warning", first, f"{found}, expected one group", "Take one out, or give them one group")
