"""The catalogue format: `annotations.json` and the files it names. Its schema and all of its rules are here.

    {"version": 1, "images": [{...}, ...], "audio": [{...}, ...]}

Pictures and recordings are listed apart and meet by category, unless a picture names its recording (`sound`). Paths
are relative to the folder, with forward slashes. Coordinates are pixels of the picture as stored, upright. `group`
names what must not be divided between splits: one photograph, video, speaker or recording session. A picture that
serves several categories has an entry for each, and one with neither boxes nor mask holds no source of its sound.
`soundspot data check` tells everything that is wrong with a folder.
"""

import difflib
import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from soundspot.data.media.file_types import DirectoryIndex
from soundspot.data.validation.problems import Problem
from soundspot.errors import DataError
from soundspot.types import Box

FORMAT_VERSION = 1
ANNOTATIONS_FILE = "annotations.json"
SPLITS = ("train", "val", "test")
TOLERANCE = 1.0  # pixels a box may leave its picture by, as rounding does

# key: (types, what is expected, whether an entry must have it). Further keys are the owner's and are left alone.
_Schema = dict[str, tuple[tuple[type, ...], str, bool]]
ENTRY_SCHEMA: _Schema = {
    "file": ((str,), "a path relative to the folder", True),
    "category": ((str,), "the name of what sounds", True),
    "split": ((str,), "train, val or test", True),
    "group": ((str,), "a name shared by all entries that must stay in one split", True),
    "licence": ((str, type(None)), "text or null", False),
    "non_commercial": ((bool,), "true or false", False),
    "unstated": ((bool,), "true where the source states no licence, or false", False),
}
IMAGE_SCHEMA: _Schema = {
    **ENTRY_SCHEMA,
    "width": ((int,), "whole pixels", True),
    "height": ((int,), "whole pixels", True),
    "boxes": ((list,), "a list of [x0, y0, x1, y1] in pixels", True),
    "mask": ((str, type(None)), "a picture of the same size, white on black, or null", False),
    "annotation": ((str,), "who made boxes and mask, such as human or auto", False),
    "sound": ((str, type(None)), "the file of the recording it is asked with, or null for any of its category", False),
}
AUDIO_SCHEMA: _Schema = {
    **ENTRY_SCHEMA,
    "subcategory": ((str, type(None)), "text or null", False),
    "seconds": ((int, float, type(None)), "a length", False),
}


@dataclass(frozen=True)
class ImageEntry:
    """A picture of one category; the keys of `PICTURE`. `id` is its file, and more where it has several entries."""

    id: str
    file: str
    category: str
    split: str
    group: str
    width: int
    height: int
    boxes: tuple[Box, ...] = ()
    mask: str | None = None
    annotation: str = "human"
    audio: str | None = None
    license: str | None = None
    non_commercial: bool = False
    unstated: bool = False


@dataclass(frozen=True)
class AudioEntry:
    """A recording of one category; the keys of `RECORDING`. `id` is its file."""

    id: str
    file: str
    category: str
    split: str
    group: str
    subcategory: str | None = None
    seconds: float | None = None
    license: str | None = None
    non_commercial: bool = False
    unstated: bool = False


@dataclass(frozen=True)
class Annotations:
    """What `annotations.json` of the folder `root` lists, entries with errors left out, and all its problems."""

    root: Path
    images: tuple[ImageEntry, ...]
    audio: tuple[AudioEntry, ...]
    problems: tuple[Problem, ...]

    @property
    def entries(self) -> tuple[ImageEntry | AudioEntry, ...]:
        return (*self.images, *self.audio)

    def raise_errors(self) -> None:
        """Raise DataError with the first error, if there is one."""
        errors = [problem for problem in self.problems if problem.severity == "error"]
        if errors:
            more = (
                f" ({len(errors) - 1} more: `soundspot data check {self.root}` lists them.)" if len(errors) > 1 else ""
            )
            raise DataError(f"{self.root / ANNOTATIONS_FILE}: {errors[0]}{more}")


def read_annotations(root: str | os.PathLike[str]) -> Annotations:
    """Read and validate the annotations of a catalogue; opens none of the files it names, only looks for them."""
    root = Path(root)
    document = _read_document(root)
    if isinstance(document, Problem):
        return Annotations(root, (), (), (document,))
    files = DirectoryIndex(root)
    problems: list[Problem] = []
    pictures: list[ImageEntry] = []
    recordings: list[AudioEntry] = []
    served = Counter(key for entry in document["images"] for key in (_file(entry), _asked(entry)))
    for index, entry in enumerate(document["images"]):
        where = f"images[{index}] ({_file(entry)})"
        found = list(_entry_problems(entry, where, IMAGE_SCHEMA, files))
        found += [] if found else _picture_problems(entry, where)
        problems += found
        if all(problem.severity == "warning" for problem in found):
            known = {key: entry[key] for key in IMAGE_SCHEMA if key in entry and key != "boxes"}
            pictures.append(ImageEntry(id=_picture_id(entry, served), **known, boxes=_boxes(entry)))
    for index, entry in enumerate(document["audio"]):
        found = list(_entry_problems(entry, f"audio[{index}] ({_file(entry)})", AUDIO_SCHEMA, files))
        problems += found
        if not found:
            known = {key: entry[key] for key in AUDIO_SCHEMA if key in entry}
            recordings.append(AudioEntry(id=entry["file"], **known))
    problems += _joint_problems(pictures, recordings)
    return Annotations(root, tuple(pictures), tuple(recordings), tuple(problems))


def _read_document(root: Path) -> Mapping[str, Any] | Problem:
    """The JSON object with its lists `images` and `audio`, or why there is none."""

    error = partial(Problem, "error", ANNOTATIONS_FILE)
    path = root / ANNOTATIONS_FILE
    if not path.is_file():
        there = f"a folder without {ANNOTATIONS_FILE}" if root.is_dir() else "no such folder"
        return error(f"found {there}, expected a catalogue", "Check the path, or write the file")
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as reason:
        return error(f"found no valid JSON ({reason}), expected one object", "Mend it, or write it again")
    if not isinstance(document, dict):
        return error(f"found {_words(document)}, expected an object", "Write version, images and audio in one object")
    version = document.get("version")
    if type(version) is not int or version != FORMAT_VERSION:
        remedy = "Write the catalogue again, or use the version of soundspot that wrote it"
        return error(f"found version {version!r}, expected {FORMAT_VERSION}", remedy)
    for key in ("images", "audio"):
        if not isinstance(document.get(key), list):
            return error(
                f"found {_words(document.get(key))} for {key!r}, expected a list", "Write [] where it is empty"
            )
    box_format = document.get("box_format", "xyxy pixels")
    if not str(box_format).startswith("xyxy pixels"):
        return error(f"found box_format {box_format!r}, expected xyxy pixels", "Convert the boxes")
    return document


def _file(entry: Any) -> str:
    return str(entry.get("file", "no file")) if isinstance(entry, dict) else "no entry"


def _asked(entry: Any) -> tuple[str, str]:
    return _file(entry), str(entry.get("category")) if isinstance(entry, dict) else ""


def _picture_id(entry: Mapping[str, Any], served: Mapping[str | tuple[str, str], int]) -> str:
    """The file, and as much more as tells the entries of one picture apart: its category, then its sound."""
    parts = [entry["file"], entry["category"], entry.get("sound")]
    kept = 1 if served[_file(entry)] == 1 else 2 if served[_asked(entry)] == 1 else 3
    return "#".join(str(part) for part in parts[:kept])


def _words(value: Any) -> str:
    return "nothing" if value is None else f"{value!r:.60} ({type(value).__name__})"


def _entry_problems(entry: Any, where: str, schema: _Schema, files: DirectoryIndex) -> Iterator[Problem]:
    """Errors any entry can have: keys, types, split, files."""

    error = partial(Problem, "error", where)
    if not isinstance(entry, dict):
        yield error(f"found {_words(entry)}, expected an object", "Write one object for each file")
        return
    complete = True
    for key, (types, expected, required) in schema.items():
        if key not in entry:
            if required:
                complete = False
                near = difflib.get_close_matches(key, set(entry) - set(schema), n=1)
                instead = f" (found {near[0]!r})" if near else ""
                yield error(f"the key {key!r} is missing{instead}, expected {expected}", "Add it to the entry")
        elif not isinstance(entry[key], types) or (isinstance(entry[key], bool) and bool not in types):
            complete = False
            yield error(f"found {_words(entry[key])} for {key!r}, expected {expected}", "Correct the entry")
    if not complete:
        return
    if entry["split"] not in SPLITS:
        yield error(f"found split {entry['split']!r}, expected train, val or test", "Correct the entry")
    for key in ("file", "mask"):
        file = entry.get(key)
        if file is None:
            continue
        if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
            yield error(f"found {key} {file!r}, expected a path inside the folder", "Write it relative to the folder")
        elif file not in files:
            remedy = "Fetch the file again, correct its path, or take the entry out"
            yield error(f"found no {key} {file!r}, expected it beside {ANNOTATIONS_FILE}", remedy)


def _picture_problems(entry: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Errors of the size and the boxes of a picture whose keys and types are right."""
    width, height = entry["width"], entry["height"]
    if width < 1 or height < 1:
        yield Problem(
            "error", where, f"found a size of {width} x {height}, expected pixels", "Correct width and height"
        )
        return
    for box in entry["boxes"]:
        if not (isinstance(box, list) and len(box) == 4 and all(_is_number(x) for x in box)):
            yield Problem("error", where, f"found box {box!r:.60}, expected [x0, y0, x1, y1]", "Correct the entry")
            continue
        x0, y0, x1, y1 = box
        if x0 >= x1 or y0 >= y1:
            what = f"found box {box} inverted or empty, expected x0 < x1 and y0 < y1"
            yield Problem("error", where, what, "Boxes are [left, top, right, bottom], not [left, top, width, height]")
        elif min(x0, y0) < -TOLERANCE or x1 > width + TOLERANCE or y1 > height + TOLERANCE:
            what = f"found box {box} outside the picture, expected it within {width} x {height} pixels"
            yield Problem("error", where, what, "Correct the box, or the width and height of the entry")
        elif x1 <= 1 and y1 <= 1 and min(width, height) > 1:
            what = f"found box {box} of less than a pixel, expected pixels"
            yield Problem("warning", where, what, "Multiply fractions by width and height")


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)


def _boxes(entry: Mapping[str, Any]) -> tuple[Box, ...]:
    """The boxes, cut at the picture's edge (what is left of the tolerance)."""
    width, height = entry["width"], entry["height"]
    return tuple(
        Box(max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
        for x0, y0, x1, y1 in (map(float, box) for box in entry["boxes"])
    )


def _joint_problems(pictures: list[ImageEntry], recordings: list[AudioEntry]) -> Iterator[Problem]:
    """What only shows when entries are seen together: duplicates, leaks between splits, sounds that are missing."""
    seen = Counter([("images", p.file, p.category, p.audio) for p in pictures])
    seen.update([("audio", r.file, r.category, None) for r in recordings])
    for (kind, file, category, _), times in seen.items():
        if times > 1:
            what = f"found {times} entries of category {category!r}, expected one"
            yield Problem("error", f"{kind} ({file})", what, "Take the others out")
    splits: dict[str, dict[str, str]] = defaultdict(dict)
    entries: list[ImageEntry | AudioEntry] = [*pictures, *recordings]
    for entry in entries:
        splits[f"group {entry.group!r}"].setdefault(entry.split, entry.file)
        splits[f"file {entry.file!r}"].setdefault(entry.split, entry.file)
    for where, files in splits.items():
        if len(files) > 1:
            found = " and ".join(f"{split} ({file})" for split, file in files.items())
            what = f"found on both sides of a split: {found}, expected in one"
            yield Problem("error", where, what, "Move all entries of a group to one split")
    listed = {recording.file for recording in recordings}
    sounding = {(recording.category, recording.split) for recording in recordings}
    silent: Counter[tuple[str, str]] = Counter()
    for picture in pictures:
        if picture.audio is None:
            silent[picture.category, picture.split] += (picture.category, picture.split) not in sounding
        elif picture.audio not in listed:
            what = f"found the sound {picture.audio!r}, expected the file of an entry of audio"
            yield Problem("error", f"images ({picture.id})", what, "List the recording, or correct the name")
    for (category, split), count in silent.items():
        if count:
            what = f"found {count} pictures in {split} without a recording, expected at least one"
            yield Problem("warning", f"category {category!r}", what, "They are left out until one is added")
