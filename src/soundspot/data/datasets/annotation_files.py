"""Authors' own annotation files, read as they are: lists of ids, tables of negatives, boxes in JSON and in XML.

What is merely odd (byte order marks, line ends, headers, rows listed twice, further keys) is read and told; what
cannot be meant (missing keys, boxes that are none, entities in XML) is an error that names file, entry and remedy.
"""

import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundspot.data.datasets.clip_ids import normalize_clip_id
from soundspot.errors import DataError
from soundspot.types import Box

_HEADERS = {"id", "ids", "file", "filename", "name", "video", "video_id", "ytid", "youtube_id", "clip"}
_FINITE = 1e300


@dataclass(frozen=True)
class IdList:
    """The ids of a text file, each once and in its order; see `soundspot.data.datasets.clip_ids.clip_id`.

    Attributes:
        repeated: the ids of further rows that name a clip again.
        forms: what is odd about the file and does no harm: `CRLF line ends`, `a header row`...
    """

    path: Path
    ids: tuple[str, ...]
    duplicates: tuple[str, ...] = ()
    quirks: tuple[str, ...] = ()


@dataclass(frozen=True)
class NegativePair:
    """A picture and a sound whose source is not in it."""

    video: str
    audio: str


def read_ids(path: str | os.PathLike[str], verbatim: bool = False) -> IdList:
    """A list of clips: one id in the first cell of each row; VGGSound's own table (`YouTube id,start,...`) also.

    Args:
        plain: take ids as they are written, whatever they look like.

    Raises:
        DataError: the file is missing, is no text, or holds no id.
    """
    path = Path(path)
    text, forms = _text(path, "the list of ids")
    found = [[cell.strip().strip('"') for cell in line.split(",")] for line in text.splitlines() if line.strip()]
    if found and found[0][0].lstrip("# ").lower() in _HEADERS:
        found, forms = found[1:], [*forms, "a header row"]
    ids = [row[0] if verbatim else row_to_id(row) for row in found]
    if not ids:
        raise DataError(f"{path}: the list of ids is empty; expected one id a line. Fetch it again")
    seen = Counter(ids)
    repeated = tuple(id for id, times in seen.items() for _ in range(times - 1))
    return IdList(path, tuple(seen), repeated, tuple(forms))


def read_unique_ids(path: str | os.PathLike[str], verbatim: bool = False) -> tuple[str, ...]:
    """The ids of a list, each once; rows that repeat a clip are counted in a warning. Errors as `read_ids`."""
    listed = read_ids(path, verbatim)
    if listed.duplicates:
        first = ", ".join(listed.duplicates[:3])
        warnings.warn(f"{path}: {len(listed.duplicates)} rows repeat a clip ({first}); each is used once", stacklevel=4)
    return listed.ids


def read_negatives(path: str | os.PathLike[str]) -> tuple[NegativePair, ...]:
    """The rows of `*_plus_silent.csv`: pictures asked with sounds that are not theirs, under `video,audio,label`.

    Raises:
        DataError: another header, or a row without a video or an audio (its line is named).
    """
    path = Path(path)
    lines = _text(path, "the table of negatives")[0].splitlines()
    header = [cell.strip() for cell in lines[0].split(",")] if lines else []
    if not {"video", "audio"} <= set(header):
        raise DataError(f"{path}: found the header {','.join(header)!r}, expected video,audio,label. Fetch it again")
    negatives = []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        row = dict(zip(header, (cell.strip() for cell in line.split(",")), strict=False))
        if not (row.get("video") and row.get("audio")):
            raise DataError(f"{path}: line {number}: found {line!r}, expected {','.join(header)}. Correct the row")
        negatives.append(NegativePair(normalize_clip_id(row["video"]), normalize_clip_id(row["audio"])))
    return tuple(negatives)


FieldRule = tuple[Callable[[Any], bool], str]
_TEXT: FieldRule = (lambda value: isinstance(value, str) and bool(value), "text")
_BOX: FieldRule = (lambda value: _is_box(value), "a box [x0, y0, x1, y1] of numbers")
_BOXES: FieldRule = (lambda value: isinstance(value, list) and all(map(_is_box, value)), "a list of [x0, y0, x1, y1]")
FRACTION_BOX_FIELDS: dict[str, FieldRule] = {"file": _TEXT, "class": _TEXT, "bbox": _BOXES}
BOX_FIELDS: dict[str, FieldRule] = {"image": _TEXT, "audio": _TEXT, "gt_box": _BOX}
MASK_FIELDS: dict[str, FieldRule] = {"image": _TEXT, "audio": _TEXT, "gt_box": (_TEXT[0], "the path of a mask")}
UNUSED_FIELDS = {"offset"}  # constant in each file; no released code reads it


def read_entries(path: str | os.PathLike[str], fields: dict[str, FieldRule], id_field: str) -> list[dict[str, Any]]:
    """The objects of a JSON list, once each has the `keys` it needs; further keys are left alone.

    Args:
        path: the file.
        keys: what an entry must have: FRACTIONS (VGG-SS), BOXED or MASKED (the alignment paper's sets).
        names: the key that tells entries apart.

    Raises:
        DataError: no JSON, no list, an entry that lacks a key or holds another kind of value, or one listed twice.
    """
    path = Path(path)
    entries = read_json(path)
    for number, entry in enumerate(entries):
        where = f"{path}: entry {number}"
        if not isinstance(entry, dict):
            raise DataError(
                f"{where}: found {entry!r:.60}, expected an object with {', '.join(fields)}. Fetch it again"
            )
        called = f"{where} ({entry.get(id_field, 'no ' + id_field)})"
        for key, (fits, expected) in fields.items():
            if key not in entry:
                there = ", ".join(map(str, entry)) or "none"
                raise DataError(f"{called}: the key {key!r} is missing, expected {expected}; its keys: {there}")
            if not fits(entry[key]):
                raise DataError(
                    f"{called}: found {entry[key]!r:.60} for {key!r}, expected {expected}. Correct the entry"
                )
    for name, times in Counter(entry[id_field] for entry in entries).items():
        if times > 1:
            raise DataError(f"{path}: found {times} entries of {name}, expected one. Take the others out")
    return entries


def read_json(path: Path) -> list[Any]:
    """The list in a JSON file.

    Raises:
        DataError: there is none.
    """
    try:
        value = json.loads(_text(path, "the annotation file")[0])
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: found no valid JSON ({error}), expected a list of entries. Fetch it again") from error
    if not isinstance(value, list) or not value:
        raise DataError(f"{path}: found {value!r:.40}, expected a list of entries. Fetch it again")
    return value


def read_consensus_boxes(path: str | os.PathLike[str]) -> tuple[tuple[Box, ...], int]:
    """Flickr-SoundNet's boxes of one clip, in a picture of 256 x 256, each with its annotator; how many those are.

    `root > annotator > bbox`; of a bbox's children those named xmin, ymin, xmax, ymax where all are, else the second to
    fifth, which is what the released codes take. Children of an annotator that are no bbox are passed over.
    """
    boxes, others = [], 0
    annotators = list(_xml(Path(path)))
    for number, annotator in enumerate(annotators):
        for found in annotator:
            if found.tag != "bbox":
                others += 1
                continue
            named = {child.tag.lower(): child.text for child in found}
            corners = ("xmin", "ymin", "xmax", "ymax")
            cells = [named[c] for c in corners] if set(corners) <= set(named) else [c.text for c in found][1:5]
            boxes.append(_box_of(path, cells, number))
    if others and not boxes:
        raise DataError(f"{path}: found no <bbox> two levels below the root, expected Flickr-SoundNet's annotation")
    return tuple(boxes), len(annotators)


def read_fraction_boxes(path: str | os.PathLike[str]) -> tuple[Box, ...]:
    """VGG-SS's boxes of one clip as SSL-TIE ships them: `root > bbox > box > four fractions`."""
    marked = [child for child in _xml(Path(path)) if child.tag == "bbox"]
    if not marked:
        raise DataError(f"{path}: found no <bbox> below the root, expected SSL-TIE's annotation of a VGG-SS clip")
    return tuple(_box_of(path, [cell.text for cell in box]) for bbox in marked for box in bbox)


def to_box(corners: Iterable[float | int | str], annotator: int = 0) -> Box:
    """A box of x0, y0, x1, y1."""
    x0, y0, x1, y1 = map(float, corners)
    return Box(x0, y0, x1, y1, annotator)


def _box_of(path: str | os.PathLike[str], cells: Sequence[str | None], annotator: int = 0) -> Box:
    try:
        corners = [float(cell or "") for cell in cells]
    except ValueError:
        corners = []
    if not _is_box(corners):
        raise DataError(f"{path}: found a box of {list(cells)}, expected xmin, ymin, xmax, ymax. Correct the file")
    return to_box(corners, annotator)


def _xml(path: Path) -> Any:
    """The root of an XML file that has no document type: no entities, nothing outside of it, nothing that grows."""
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import parse

    try:
        return parse(path, forbid_dtd=True).getroot()
    except DefusedXmlException as error:
        raise DataError(
            f"{path}: found a document type or entities ({type(error).__name__}), expected plain XML. Nothing "
            "of it was read: such files can grow without end or name files of this machine. Fetch the authors' own"
        ) from error
    except (ParseError, OSError, ValueError, LookupError) as error:
        raise DataError(f"{path}: found no readable XML ({error}), expected one annotation. Fetch it again") from error


def _text(path: Path, what: str) -> tuple[str, list[str]]:
    """A text file and what is odd about its form."""
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {what} cannot be read ({error}); expected a text file in UTF-8") from error
    empty = sum(not line.strip() for line in text.splitlines())
    odd = {
        "a byte order mark": raw.startswith(b"\xef\xbb\xbf"),
        "CRLF line ends": b"\r\n" in raw,
        "no final newline": bool(raw) and not raw.endswith(b"\n"),
        f"{empty} empty lines": bool(empty),
    }
    return text, [form for form, there in odd.items() if there]


def row_to_id(row: Sequence[str]) -> str:
    """The id of a row: a name by itself, or in VGGSound's table a YouTube id and a start second."""
    id = normalize_clip_id(row[0])
    if len(row) > 1 and len(id) == 11 and not id.isdecimal() and row[1].isdecimal():
        return f"{id}_{int(row[1]):06d}"
    return id


def _is_box(value: Any) -> bool:
    four = isinstance(value, list) and len(value) == 4
    return four and all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < _FINITE for x in value)
