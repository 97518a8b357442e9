"""The authors' own annotation files, read unmodified: lists of ids, tables of negatives, boxes in JSON and in XML.

Harmless oddities (byte order marks, line ends, headers, duplicate rows, further keys) are read and reported; what
cannot be meant (missing keys, malformed boxes, entities in XML) is an error that names file, entry and remedy.
"""

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
from soundspot.utils.safe_read import parse_json

_HEADERS = {"id", "ids", "file", "filename", "name", "video", "video_id", "ytid", "youtube_id", "clip"}
_FINITE = 1e300


@dataclass(frozen=True)
class IdList:
    """The ids of a text file, each once and in the order of the file.

    Attributes:
        path: path of the file.
        ids: ids, normalized by `soundspot.data.datasets.clip_ids.normalize_clip_id` unless read verbatim.
        duplicates: the repeated id for each further row that names the same clip.
        quirks: harmless oddities of the file: `CRLF line ends`, `a header row`...
    """

    path: Path
    ids: tuple[str, ...]
    duplicates: tuple[str, ...] = ()
    quirks: tuple[str, ...] = ()


@dataclass(frozen=True)
class NegativePair:
    """An image and a sound whose source is not in the image.

    Attributes:
        video: clip id of the image.
        audio: clip id of the sound.
    """

    video: str
    audio: str


def read_ids(path: str | os.PathLike[str], verbatim: bool = False) -> IdList:
    """Read a list of clips: one id in the first cell of each row; VGGSound's own table (`YouTube id,start,...`) also.

    Args:
        path: path of a text file in UTF-8; cells are separated by commas, and a header row and empty lines are skipped.
        verbatim: True keeps ids as they are written; False normalizes them (`VIDEO_000032.jpg` -> `VIDEO_000032`).

    Returns:
        The ids, the duplicates, and the oddities of the file.

    Raises:
        DataError: the file is missing, is no text in UTF-8, or holds no id.
    """
    path = Path(path)
    text, quirks = _read_text(path, "the list of ids")
    rows = [[cell.strip().strip('"') for cell in line.split(",")] for line in text.splitlines() if line.strip()]
    if rows and rows[0][0].lstrip("# ").lower() in _HEADERS:
        rows, quirks = rows[1:], [*quirks, "a header row"]
    ids = Counter(row[0] if verbatim else row_to_id(row) for row in rows)
    if not ids:
        raise DataError(f"{path}: the list of ids is empty; expected one id a line. Fetch it again")
    duplicates = tuple(id for id, times in ids.items() for _ in range(times - 1))
    return IdList(path, tuple(ids), duplicates, tuple(quirks))


def read_unique_ids(path: str | os.PathLike[str], verbatim: bool = False) -> tuple[str, ...]:
    """Read a list of clips, each id once; duplicate rows are counted in a warning.

    Args:
        path: path of a text file with one id in the first cell of each row.
        verbatim: True keeps ids as they are written; False normalizes them.

    Returns:
        The ids in the order of the file.

    Raises:
        DataError: the file is missing, is no text in UTF-8, or holds no id.
    """
    id_list = read_ids(path, verbatim)
    if id_list.duplicates:
        first = ", ".join(id_list.duplicates[:3])
        warnings.warn(
            f"{path}: {len(id_list.duplicates)} rows repeat a clip ({first}); each is used once", stacklevel=4
        )
    return id_list.ids


def read_negatives(path: str | os.PathLike[str]) -> tuple[NegativePair, ...]:
    """Read `*_plus_silent.csv`: images paired with sounds of other clips, in columns `video` and `audio`.

    Args:
        path: path of the CSV file; further columns are ignored.

    Returns:
        A pair of normalized clip ids for each row that is not blank, in the order of the file.

    Raises:
        DataError: the file cannot be read, its header lacks `video` or `audio`, or a row lacks a video or an audio
            (its line is named).
    """
    path = Path(path)
    lines = _read_text(path, "the table of negatives")[0].splitlines()
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
_BOX: FieldRule = (lambda value: is_box(value), "a box [x0, y0, x1, y1] of numbers")
_BOXES: FieldRule = (lambda value: isinstance(value, list) and all(map(is_box, value)), "a list of [x0, y0, x1, y1]")
FRACTION_BOX_FIELDS: dict[str, FieldRule] = {"file": _TEXT, "class": _TEXT, "bbox": _BOXES}
BOX_FIELDS: dict[str, FieldRule] = {"image": _TEXT, "audio": _TEXT, "gt_box": _BOX}
MASK_FIELDS: dict[str, FieldRule] = {"image": _TEXT, "audio": _TEXT, "gt_box": (_TEXT[0], "the path of a mask")}
UNUSED_FIELDS = {"offset"}  # constant in each file; no released code reads it


def read_entries(path: str | os.PathLike[str], fields: dict[str, FieldRule], id_field: str) -> list[dict[str, Any]]:
    """Read the objects of a JSON list and check that each has the required fields; further keys are left alone.

    Args:
        path: path of the JSON file.
        fields: (test of a value, description of a valid value) of each required field by its name: FRACTION_BOX_FIELDS
            (VGG-SS), BOX_FIELDS or MASK_FIELDS (the alignment paper's sets).
        id_field: name of the field that identifies an entry.

    Returns:
        The entries, in the order of the file.

    Raises:
        DataError: the file holds no JSON or no list, an entry lacks a field or has a value of another kind, or two
            entries have the same id.
    """
    path = Path(path)
    entries = read_json(path)
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DataError(
                f"{path}: entry {number}: found {entry!r:.60}, expected an object with {', '.join(fields)}. Fetch it "
                "again"
            )
        location = f"{path}: entry {number} ({entry.get(id_field, 'no ' + id_field)})"
        for key, (is_valid, expected) in fields.items():
            if key not in entry:
                keys = ", ".join(map(str, entry)) or "none"
                raise DataError(f"{location}: the key {key!r} is missing, expected {expected}; its keys: {keys}")
            if not is_valid(entry[key]):
                raise DataError(
                    f"{location}: found {entry[key]!r:.60} for {key!r}, expected {expected}. Correct the entry"
                )
    for name, times in Counter(entry[id_field] for entry in entries).items():
        if times > 1:
            raise DataError(f"{path}: found {times} entries of {name}, expected one. Take the others out")
    return entries


def read_json(path: Path) -> list[Any]:
    """Read the list in a JSON file.

    Args:
        path: path of the file.

    Returns:
        The items of the list, not empty, of any kind.

    Raises:
        DataError: the file cannot be read, is no JSON, or holds no list or an empty list.
    """
    try:
        value = parse_json(_read_text(path, "the annotation file")[0])
    except ValueError as error:
        raise DataError(f"{path}: found no valid JSON ({error}), expected a list of entries. Fetch it again") from error
    if not isinstance(value, list) or not value:
        raise DataError(f"{path}: found {value!r:.40}, expected a list of entries. Fetch it again")
    return value


def read_consensus_boxes(path: str | os.PathLike[str]) -> tuple[tuple[Box, ...], int]:
    """Read Flickr-SoundNet's XML annotation of one clip: the boxes and the number of annotators.

    The layout is `root > annotator > bbox`. Of a bbox's children those named xmin, ymin, xmax, ymax are used where all
    four exist, else the second to fifth child, which is what the released codes read. Other children of an annotator
    are skipped.

    Args:
        path: path of the XML file.

    Returns:
        Boxes in pixels of an image of 256 x 256, each with the index of its annotator from 0; and the number of
        annotators, those without a box included.

    Raises:
        DataError: the file is no plain XML (a document type or entities are refused), a box is not four finite numbers,
            or the annotators have children of which none is a bbox.
    """
    boxes, has_others = [], False
    annotators = list(_parse_xml(Path(path)))
    for number, annotator in enumerate(annotators):
        for element in annotator:
            if element.tag != "bbox":
                has_others = True
                continue
            named = {child.tag.lower(): child.text for child in element}
            corners = ("xmin", "ymin", "xmax", "ymax")
            cells = [named[c] for c in corners] if set(corners) <= set(named) else [c.text for c in element][1:5]
            boxes.append(_parse_box(path, cells, number))
    if has_others and not boxes:
        raise DataError(f"{path}: found no <bbox> two levels below the root, expected Flickr-SoundNet's annotation")
    return tuple(boxes), len(annotators)


def read_fraction_boxes(path: str | os.PathLike[str]) -> tuple[Box, ...]:
    """Read the boxes of one VGG-SS clip in SSL-TIE's XML: `root > bbox > box > four fractions`.

    Args:
        path: path of the XML file.

    Returns:
        Boxes in fractions of the image's width and height.

    Raises:
        DataError: the file is no plain XML (a document type or entities are refused), has no bbox below its root, or a
            box is not four finite numbers.
    """
    elements = [child for child in _parse_xml(Path(path)) if child.tag == "bbox"]
    if not elements:
        raise DataError(f"{path}: found no <bbox> below the root, expected SSL-TIE's annotation of a VGG-SS clip")
    return tuple(_parse_box(path, [cell.text for cell in box]) for bbox in elements for box in bbox)


def to_box(corners: Iterable[float | int | str], annotator: int = 0) -> Box:
    """Convert four corner coordinates to a box.

    Args:
        corners: x0, y0, x1, y1, as numbers or as text that `float` reads.
        annotator: index of the annotator, from 0.

    Returns:
        The box, in the units of the corners.
    """
    x0, y0, x1, y1 = map(float, corners)
    return Box(x0, y0, x1, y1, annotator)


def row_to_id(row: Sequence[str]) -> str:
    """Return the id of a row of a list.

    Args:
        row: cells of the row, not empty.

    Returns:
        The first cell, normalized; where it is a YouTube id and the second cell a whole number of seconds, as in
        VGGSound's table, `<YouTube id>_<start second in six digits>`.
    """
    id = normalize_clip_id(row[0])
    if len(row) > 1 and len(id) == 11 and not id.isdecimal() and row[1].isdecimal():
        return f"{id}_{int(row[1]):06d}"
    return id


def _parse_box(path: str | os.PathLike[str], cells: Sequence[str | None], annotator: int = 0) -> Box:
    try:
        corners = [float(cell or "") for cell in cells]
    except ValueError:
        corners = []
    if not is_box(corners):
        raise DataError(f"{path}: found a box of {list(cells)}, expected xmin, ymin, xmax, ymax. Correct the file")
    return to_box(corners, annotator)


def is_box(value: Any) -> bool:
    """Return True for a list of four finite numbers.

    Args:
        value: any value.

    Returns:
        True for a list (not a tuple) of four ints or floats, none of them a bool, NaN or infinite.
    """
    is_quadruple = isinstance(value, list) and len(value) == 4
    return is_quadruple and all(
        isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < _FINITE for x in value
    )


def _parse_xml(path: Path) -> Any:
    """Return the root of an XML file without document type: no entities, no external files, nothing that grows."""
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


def _read_text(path: Path, content: str) -> tuple[str, list[str]]:
    """Return the text of a file, and its harmless oddities; `content` names it in messages."""
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {content} cannot be read ({error}); expected a text file in UTF-8") from error
    empty = sum(not line.strip() for line in text.splitlines())
    quirks = {
        "a byte order mark": raw.startswith(b"\xef\xbb\xbf"),
        "CRLF line ends": b"\r\n" in raw,
        "no final newline": bool(raw) and not raw.endswith(b"\n"),
        f"{empty} empty lines": bool(empty),
    }
    return text, [quirk for quirk, applies in quirks.items() if applies]
