"""The catalog format: `annotations.json` and the files it names. Its schema and all of its rules are here.

    {"version": 1, "images": [{...}, ...], "audio": [{...}, ...]}

Images and recordings are listed separately and are paired by category, unless an image names its recording (`sound`).
Paths are relative to the folder, with forward slashes. Coordinates are pixels of the image as stored, upright. `group`
names what must not be divided between splits: one photograph, video, speaker or recording session. An image that
serves several categories has an entry for each, and one with neither boxes nor mask holds no source of its sound.
`soundspot data check` lists everything that is wrong with a folder.
"""

import difflib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from soundspot.data.datasets.annotation_files import is_box
from soundspot.data.media.file_types import DirectoryIndex
from soundspot.data.validation.findings import Problem
from soundspot.errors import DataError
from soundspot.types import Box
from soundspot.utils.safe_read import parse_json

FORMAT_VERSION = 1
ANNOTATIONS_FILE = "annotations.json"
SPLITS = ("train", "val", "test")
TOLERANCE = 1.0  # pixels that a box may leave its image by, as rounding does


def _key(expected: str, key: str = "", type: type | None = None, **options: Any) -> Any:
    """Declare a key of the file: the expected value, for messages, and its name and JSON type where they differ."""
    return field(metadata={"expected": expected, "key": key, "type": type}, **options)


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """A file of one category. Further keys in annotations.json are the owner's and are left alone.

    Attributes:
        id: path of the file, and more where the file has several entries.
        file: path of the file relative to the catalog's folder, with forward slashes.
        category: name of what sounds.
        split: `train`, `val` or `test`.
        group: name shared by all entries that must stay in one split.
        license: license of the file (key `licence`); None where none is given.
        non_commercial: whether the license forbids commercial use.
        unstated: whether the source states no license.
    """

    id: str
    file: str = _key("a path relative to the folder")
    category: str = _key("the name of what sounds")
    split: str = _key("train, val or test")
    group: str = _key("a name shared by all entries that must stay in one split")
    license: str | None = _key("text or null", key="licence", default=None)
    non_commercial: bool = _key("true or false", default=False)
    unstated: bool = _key("true where the source states no license, or false", default=False)

    @property
    def license_name(self) -> str:
        """Name of the license, without version and remarks; empty where none is stated or commercial use is not free.

        `CC BY 4.0 (the photographs come from a web search)` is `CC BY`.
        """
        if self.license is None or self.unstated or self.non_commercial:
            return ""
        return re.sub(r"\s+[\d.]+$", "", self.license.partition("(")[0].strip())


@dataclass(frozen=True, kw_only=True)
class ImageEntry(CatalogEntry):
    """An image of one category.

    Attributes:
        width, height: size of the upright image in pixels.
        boxes: boxes around the category's objects, in pixels of the image; empty where no source is in it.
        mask: path of a mask of the same size, white on the object; None where there is none.
        annotation: origin of boxes and mask, such as `human` or `auto`.
        audio: file of the recording the image belongs to (key `sound`); None: any recording of the category.
        attributes: name -> text of what else is known, such as `light` -> `night`, by which reports divide scores; None
            where nothing is.
    """

    width: int = _key("whole pixels")
    height: int = _key("whole pixels")
    boxes: tuple[Box, ...] = _key("a list of [x0, y0, x1, y1] in pixels", type=list)
    mask: str | None = _key("an image of the same size, white on black, or null", default=None)
    annotation: str = _key("who made boxes and mask, such as human or auto", default="human")
    audio: str | None = _key("the file of its recording, or null for any of its category", key="sound", default=None)
    attributes: Mapping[str, Any] | None = _key("an object of names and texts", type=dict, default=None)


@dataclass(frozen=True, kw_only=True)
class AudioEntry(CatalogEntry):
    """A recording of one category.

    Attributes:
        subcategory: name of a finer category; None where there is none.
        seconds: duration in seconds; None where it is not given.
    """

    subcategory: str | None = _key("text or null", default=None)
    seconds: float | int | None = _key("a length", default=None)


def _keys(entry_type: type[CatalogEntry]) -> dict[str, Field[Any]]:
    """Return the keys of an entry in the file, with the attributes that hold their values."""
    return {spec.metadata["key"] or spec.name: spec for spec in fields(entry_type) if spec.name != "id"}


@dataclass(frozen=True)
class Annotations:
    """The content of `annotations.json`.

    Attributes:
        root: folder of the catalog.
        images, audio: entries without errors; boxes are clipped to their image.
        problems: all problems of the file, errors and warnings, in the order in which they were detected.
    """

    root: Path
    images: tuple[ImageEntry, ...]
    audio: tuple[AudioEntry, ...]
    problems: tuple[Problem, ...]

    @property
    def entries(self) -> tuple[CatalogEntry, ...]:
        """All entries: images, then recordings."""
        return (*self.images, *self.audio)

    def raise_errors(self) -> None:
        """Raise the first error among the problems, if there are any; warnings are ignored.

        Raises:
            DataError: at least one problem is an error; the message counts the others.
        """
        errors = [problem for problem in self.problems if problem.severity == "error"]
        if errors:
            more = f" ({len(errors) - 1} more: `soundspot data check {self.root}` lists them.)" if errors[1:] else ""
            raise DataError(f"{self.root / ANNOTATIONS_FILE}: {errors[0]}{more}")


def read_annotations(root: str | os.PathLike[str]) -> Annotations:
    """Read and validate the annotations of a catalog; the files they name are looked for, but not opened.

    Nothing is raised for wrong content: it is returned as problems.

    Args:
        root: folder that holds annotations.json.

    Returns:
        Entries without errors, and the problems. Where the file is missing or is no JSON of the format, no entries and
        a single problem.
    """
    root = Path(root)
    document = _read_document(root)
    if isinstance(document, Problem):
        return Annotations(root, (), (), (document,))
    files = DirectoryIndex(root)
    problems: list[Problem] = []
    images: list[ImageEntry] = []
    audio: list[AudioEntry] = []
    uses = Counter(key for entry in document["images"] for key in (_file_of(entry), _pair_of(entry)))
    for index, entry in enumerate(document["images"]):
        location = f"images[{index}] ({_file_of(entry)})"
        entry_problems = list(_check_entry(entry, location, ImageEntry, files))
        entry_problems += [] if entry_problems else _check_boxes(entry, location)
        problems += entry_problems
        if all(problem.severity == "warning" for problem in entry_problems):
            values = _attributes(entry, ImageEntry) | {"boxes": _clipped_boxes(entry)}
            images.append(ImageEntry(id=_image_id(entry, uses), **values))
    for index, entry in enumerate(document["audio"]):
        entry_problems = list(_check_entry(entry, f"audio[{index}] ({_file_of(entry)})", AudioEntry, files))
        problems += entry_problems
        if not entry_problems:
            audio.append(AudioEntry(id=entry["file"], **_attributes(entry, AudioEntry)))
    problems += [*_check_duplicates(images, audio), *check_splits([*images, *audio]), *_check_pairs(images, audio)]
    return Annotations(root, tuple(images), tuple(audio), tuple(problems))


def _read_document(root: Path) -> Mapping[str, Any] | Problem:
    """Return the JSON object with its lists `images` and `audio`, or the reason why there is none."""
    error = partial(Problem, "error", ANNOTATIONS_FILE)
    path = root / ANNOTATIONS_FILE
    if not path.is_file():
        kind = f"a folder without {ANNOTATIONS_FILE}" if root.is_dir() else "no such folder"
        return error(f"found {kind}, expected a catalog", "Check the path, or write the file")
    try:
        document = parse_json(path.read_text(encoding="utf-8-sig"))
    except ValueError as reason:
        return error(f"found no valid JSON ({reason}), expected one object", "Correct it, or write it again")
    if not isinstance(document, dict):
        return error(
            f"found {_describe(document)}, expected an object", "Write version, images and audio in one object"
        )
    version = document.get("version")
    if type(version) is not int or version != FORMAT_VERSION:
        remedy = "Write the catalog again, or use the version of soundspot that wrote it"
        return error(f"found version {version!r}, expected {FORMAT_VERSION}", remedy)
    for key in ("images", "audio"):
        value = document.get(key)
        if not isinstance(value, list):
            return error(f"found {_describe(value)} for {key!r}, expected a list", "Write [] where it is empty")
    box_format = document.get("box_format", "xyxy pixels")
    if not str(box_format).startswith("xyxy pixels"):
        return error(f"found box_format {box_format!r}, expected xyxy pixels", "Convert the boxes")
    return document


def _attributes(entry: Mapping[str, Any], entry_type: type[CatalogEntry]) -> dict[str, Any]:
    return {spec.name: entry[key] for key, spec in _keys(entry_type).items() if key in entry}


def _file_of(entry: Any) -> str:
    return str(entry.get("file", "no file")) if isinstance(entry, dict) else "no entry"


def _pair_of(entry: Any) -> tuple[str, str]:
    return _file_of(entry), str(entry.get("category")) if isinstance(entry, dict) else ""


def _image_id(entry: Mapping[str, Any], uses: Mapping[str | tuple[str, str], int]) -> str:
    """Return the file, and as much more as distinguishes the entries of one image: its category, then its sound."""
    names = [entry["file"], entry["category"], entry.get("sound")]
    count = 1 if uses[_file_of(entry)] == 1 else 2 if uses[_pair_of(entry)] == 1 else 3
    return "#".join(str(name) for name in names[:count])


def _describe(value: Any) -> str:
    return "nothing" if value is None else f"{value!r:.60} ({type(value).__name__})"


def _check_entry(entry: Any, location: str, entry_type: type[CatalogEntry], files: DirectoryIndex) -> Iterator[Problem]:
    """Yield the errors that any entry can have: keys, types, split, files."""
    error = partial(Problem, "error", location)
    if not isinstance(entry, dict):
        yield error(f"found {_describe(entry)}, expected an object", "Write one object for each file")
        return
    is_complete, keys = True, _keys(entry_type)
    for key, spec in keys.items():
        expected: str = spec.metadata["expected"]
        types: Any = spec.metadata["type"] or spec.type
        if key not in entry:
            if spec.default is MISSING:
                is_complete = False
                near = difflib.get_close_matches(key, set(entry) - set(keys), n=1)
                instead = f" (found {near[0]!r})" if near else ""
                yield error(f"the key {key!r} is missing{instead}, expected {expected}", "Add it to the entry")
        elif not isinstance(entry[key], types) or (isinstance(entry[key], bool) and types is not bool):
            is_complete = False
            yield error(f"found {_describe(entry[key])} for {key!r}, expected {expected}", "Correct the entry")
    if not is_complete:
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


def _check_boxes(entry: Mapping[str, Any], location: str) -> Iterator[Problem]:
    """Yield the errors of size and boxes of an image whose keys and types are right."""
    error = partial(Problem, "error", location)
    width, height = entry["width"], entry["height"]
    if width < 1 or height < 1:
        yield error(f"found a size of {width} x {height}, expected pixels", "Correct width and height")
        return
    if len(entry["boxes"]) == 4 and all(isinstance(side, int | float) for side in entry["boxes"]):
        yield error(f"found one box {entry['boxes']}, expected a list of boxes", "Write [[x0, y0, x1, y1]]")
        return
    for box in entry["boxes"]:
        if not is_box(box):
            yield error(f"found box {box!r:.60}, expected [x0, y0, x1, y1]", "Correct the entry")
            continue
        x0, y0, x1, y1 = box
        if x0 >= x1 or y0 >= y1:
            remedy = "Boxes are [left, top, right, bottom], not [left, top, width, height]"
            yield error(f"found box {box} inverted or empty, expected x0 < x1 and y0 < y1", remedy)
        elif min(x0, y0) < -TOLERANCE or x1 > width + TOLERANCE or y1 > height + TOLERANCE:
            remedy = "Correct the box, or the width and height of the entry"
            yield error(f"found box {box} outside the image, expected it within {width} x {height} pixels", remedy)
        elif x1 <= 1 and y1 <= 1 and min(width, height) > 1:
            message = f"found box {box} of less than a pixel, expected pixels"
            yield Problem("warning", location, message, "Multiply fractions by width and height")


def _clipped_boxes(entry: Mapping[str, Any]) -> tuple[Box, ...]:
    """Return the boxes, clipped at the image border (they may leave it by the tolerance)."""
    width, height = entry["width"], entry["height"]
    return tuple(
        Box(max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
        for x0, y0, x1, y1 in (map(float, box) for box in entry["boxes"])
    )


def _check_duplicates(images: list[ImageEntry], audio: list[AudioEntry]) -> Iterator[Problem]:
    counts = Counter([("images", i.file, i.category, i.audio) for i in images])
    counts.update([("audio", a.file, a.category, None) for a in audio])
    for (kind, file, category, _), times in counts.items():
        if times > 1:
            message = f"found {times} entries of category {category!r}, expected one"
            yield Problem("error", f"{kind} ({file})", message, "Take the others out")


def check_splits(entries: Iterable[CatalogEntry]) -> Iterator[Problem]:
    """Detect groups and files that lie in several splits.

    Args:
        entries: all entries of a catalog.

    Yields:
        An error for each such group and file.
    """
    splits: dict[str, dict[str, str]] = defaultdict(dict)
    for entry in entries:
        splits[f"group {entry.group!r}"].setdefault(entry.split, entry.file)
        splits[f"file {entry.file!r}"].setdefault(entry.split, entry.file)
    for location, files in splits.items():
        if len(files) > 1:
            examples = " and ".join(f"{split} ({file})" for split, file in files.items())
            message = f"found on both sides of a split: {examples}, expected in one"
            yield Problem("error", location, message, "Move all entries of a group to one split")


def _check_pairs(images: list[ImageEntry], audio: list[AudioEntry]) -> Iterator[Problem]:
    """Yield the problems of images whose recording is not listed, or whose category has none in their split."""
    files = {entry.file for entry in audio}
    audible = {(entry.category, entry.split) for entry in audio}
    unpaired: Counter[tuple[str, str]] = Counter()
    for image in images:
        if image.audio is None:
            unpaired[image.category, image.split] += (image.category, image.split) not in audible
        elif image.audio not in files:
            message = f"found the sound {image.audio!r}, expected the file of an entry of audio"
            yield Problem("error", f"images ({image.id})", message, "List the recording, or correct the name")
    for (category, split), count in unpaired.items():
        if count:
            message = f"found {count} images in {split} without a recording, expected at least one"
            yield Problem("warning", f"category {category!r}", message, "They are left out until one is added")
