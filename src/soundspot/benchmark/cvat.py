"""XML of *CVAT for images 1.1*: points, boxes, polygons and masks, read and written to the pixel.

A mask is stored row by row inside its box, whose far edges are inclusive; polygons cannot have holes. Shapes of one
label and one group are one thing.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from soundspot.benchmark.exchange import AnnotatedImage, AnnotatedObject, check_category, merge_objects, read_text
from soundspot.benchmark.polygons import check_polygon, rasterize_polygon
from soundspot.data.media.rle import count_runs, encode_mask, expand_runs
from soundspot.errors import DataError
from soundspot.inference.connected_components import bounding_box
from soundspot.inference.contours.segmenters import Click
from soundspot.types import Box
from soundspot.utils.atomic_io import atomic_write_bytes

EXPECTED = 'expected XML of "CVAT for images 1.1". Export it again'
SHAPES = ("box", "polygon", "points", "mask")


def read_cvat(path: Path, categories: Sequence[str] = ()) -> list[AnnotatedImage]:
    """Read a CVAT file. Polylines, ellipses, cuboids, skeletons and tags are passed over.

    Args:
        path: path of the file.
        categories: labels that are allowed; empty: all.

    Returns:
        The images in the order of the file, those without shapes included.

    Raises:
        DataError: the file is no such XML, has a document type or entities, or a shape is malformed or has an unknown
            label.
    """
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root = fromstring(read_text(path, EXPECTED), forbid_dtd=True)
    except DefusedXmlException as error:
        raise DataError(f"{path}: found a document type or entities, which are not read; {EXPECTED}") from error
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{path}: found no valid XML ({error}), {EXPECTED}") from error
    if root.tag != "annotations":
        raise DataError(f"{path}: found <{root.tag:.40}>, {EXPECTED}")
    if root.find("track") is not None:
        raise DataError(f"{path}: found tracks of a video, {EXPECTED}")
    return [_read_image(element, path, categories) for element in root.iter("image")]


def write_cvat(images: Sequence[AnnotatedImage], path: Path) -> None:
    """Write a CVAT file: each thing as a mask.

    Args:
        images: images whose things have masks.
        path: path of the file; an existing file is replaced.

    Raises:
        OutputError: the file cannot be written.
    """
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    for name, text in (("name", path.stem), ("size", str(len(images))), ("mode", "annotation")):
        ElementTree.SubElement(task, name).text = text
    labels = ElementTree.SubElement(task, "labels")
    attributes: dict[str, set[str]] = defaultdict(set)
    for image in images:
        for thing in image.objects:
            attributes[thing.category] |= thing.attributes.keys()
    for category in sorted(attributes):
        _write_label(labels, category, sorted(attributes[category]))
    for number, image in enumerate(images):
        size = {"width": str(image.width), "height": str(image.height)}
        element = ElementTree.SubElement(root, "image", {"id": str(number), "name": image.file, **size})
        for thing in image.objects:
            _write_mask(element, thing)
    ElementTree.indent(root)
    content = b'<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="utf-8") + b"\n"
    atomic_write_bytes(path, content)


def _write_label(labels: ElementTree.Element, category: str, names: Sequence[str]) -> None:
    label = ElementTree.SubElement(labels, "label")
    ElementTree.SubElement(label, "name").text = category
    listed = ElementTree.SubElement(label, "attributes")
    for name in names:
        attribute = ElementTree.SubElement(listed, "attribute")
        facts = {"name": name, "mutable": "False", "input_type": "text", "default_value": "", "values": ""}
        for key, value in facts.items():
            ElementTree.SubElement(attribute, key).text = value


def _write_mask(element: ElementTree.Element, thing: AnnotatedObject) -> None:
    mask = thing.mask
    x0, y0, x1, y1 = bounding_box(mask)
    facts = {
        "label": thing.category,
        "source": "manual",
        "occluded": "0",
        "rle": ", ".join(map(str, count_runs(mask[y0:y1, x0:x1]))),
        "left": str(x0),
        "top": str(y0),
        "width": str(x1 - x0),
        "height": str(y1 - y0),
        "z_order": "0",
    }
    shape = ElementTree.SubElement(element, "mask", facts)
    for name, value in thing.attributes.items():
        ElementTree.SubElement(shape, "attribute", {"name": name}).text = value


def _read_image(element: Any, path: Path, categories: Sequence[str]) -> AnnotatedImage:
    name = str(element.get("name"))
    location = f"{path}: image {name!r:.80}"
    width, height = (int(_number(element.get(key), f"{location}: {key}")) for key in ("width", "height"))
    if not 0 < width < 2**15 or not 0 < height < 2**15:
        raise DataError(f"{location}: found a size of {width} x {height}, expected pixels. Export it again")
    groups: dict[tuple[str, str], list[AnnotatedObject]] = defaultdict(list)
    for position, shape in enumerate(child for child in element if child.tag in SHAPES):
        where = f"{location}: <{shape.tag}> {position}"
        category = check_category(shape.get("label"), categories, where)
        group = shape.get("group_id") or "0"
        key = (category, group if group != "0" else f"single {position}")
        groups[key].append(_read_shape(shape, category, (width, height), where))
    objects = [merge_objects(shapes)[0] for shapes in groups.values()]
    return AnnotatedImage(name, width, height, tuple(objects))


def _read_shape(shape: Any, category: str, size: tuple[int, int], location: str) -> AnnotatedObject:
    attributes = {str(child.get("name")): child.text or "" for child in shape if child.tag == "attribute"}
    width, height = size
    if shape.tag == "box":
        sides = [_number(shape.get(key), f"{location}: {key}") for key in ("xtl", "ytl", "xbr", "ybr")]
        check_polygon([(sides[0], sides[1]), (sides[2], sides[1]), (sides[2], sides[3])], size, location)
        return AnnotatedObject(category, box=Box(sides[0], sides[1], sides[2], sides[3]), attributes=attributes)
    if shape.tag == "mask":
        left, top, w, h = (
            int(_number(shape.get(key), f"{location}: {key}")) for key in ("left", "top", "width", "height")
        )
        if min(left, top) < 0 or min(w, h) < 1 or left + w > width or top + h > height:
            raise DataError(
                f"{location}: found a mask of {w} x {h} pixels at {left}, {top}, expected it within {width} x "
                f"{height}. Export it again"
            )
        counts = [int(_number(text, f"{location}: rle")) for text in str(shape.get("rle")).split(",")]
        mask = np.zeros((height, width), bool)
        if min(counts) < 0:
            raise DataError(f"{location}: found a negative count in rle, expected numbers of pixels. Export it again")
        mask[top : top + h, left : left + w] = expand_runs(counts, h, w, location)
        return AnnotatedObject(category, encode_mask(mask), attributes=attributes)
    points = list(_read_points(str(shape.get("points")), location))
    if shape.tag == "points":
        return AnnotatedObject(category, clicks=tuple(Click(x, y) for x, y in points), attributes=attributes)
    check_polygon(points, size, location)
    return AnnotatedObject(category, encode_mask(rasterize_polygon(points, size)), attributes=attributes)


def _read_points(text: str, location: str) -> Iterator[tuple[float, float]]:
    for pair in text.split(";"):
        x, comma, y = pair.partition(",")
        if not comma:
            raise DataError(f"{location}: found the points {text!r:.60}, expected x,y;x,y... Export it again")
        yield _number(x, location), _number(y, location)


def _number(text: str | None, location: str) -> float:
    try:
        value = float(text or "")
    except ValueError as error:
        raise DataError(f"{location}: found {text!r:.40}, expected a number. Export it again") from error
    if not abs(value) < 1e9:
        raise DataError(f"{location}: found {text!r:.40}, expected a finite number. Export it again")
    return value
