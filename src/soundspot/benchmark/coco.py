"""COCO's JSON of masks: read and written to the pixel."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from soundspot.benchmark.exchange import AnnotatedImage, AnnotatedObject, check_category, read_text
from soundspot.benchmark.polygons import check_polygon, rasterize_polygon, trace_polygons
from soundspot.data.media.rle import decode_mask, encode_mask
from soundspot.errors import DataError
from soundspot.inference.connected_components import bounding_box
from soundspot.types import Box
from soundspot.utils.atomic_io import atomic_write_bytes
from soundspot.utils.safe_read import has_type, parse_json

EXPECTED = "expected COCO's JSON with images, annotations and categories. Export it again"


def read_coco(path: Path, categories: Sequence[str] = ()) -> list[AnnotatedImage]:
    """Read a COCO file.

    Segmentations are polygons (their union), or run-length encodings, compressed or not; an annotation with a box
    alone has a box.

    Args:
        path: path of the file.
        categories: categories that are allowed; empty: all.

    Returns:
        The images in the order of the file, those without annotations included.

    Raises:
        DataError: the file is no COCO, names an unknown image or category, or an annotation is malformed.
    """
    try:
        document = parse_json(read_text(path, EXPECTED))
    except ValueError as error:
        raise DataError(f"{path}: found no valid JSON ({error}), {EXPECTED}") from error
    lists: dict[str, Any] = {}
    for key in ("images", "annotations", "categories"):
        entries = lists[key] = document.get(key) if isinstance(document, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DataError(f"{path}: found no list of objects {key!r}, {EXPECTED}")
    names = {entry.get("id"): entry.get("name") for entry in lists["categories"]}
    objects: dict[Any, list[AnnotatedObject]] = {}
    sizes: dict[Any, tuple[int, int]] = {}
    for number, entry in enumerate(lists["images"]):
        size = (entry.get("width"), entry.get("height"))
        if (
            not has_type((*size, str(entry.get("file_name", ""))), tuple[int, int, str])
            or "id" not in entry
            or min(size) < 1
        ):
            raise DataError(f"{path}: images[{number}]: found {entry!r:.80}, expected id, file_name, width and height")
        objects[entry["id"]], sizes[entry["id"]] = [], size
    for number, entry in enumerate(lists["annotations"]):
        location = f"{path}: annotations[{number}]"
        if entry.get("image_id") not in objects:
            raise DataError(f"{location}: found image_id {entry.get('image_id')!r:.40}, expected the id of an image")
        category = names.get(entry.get("category_id"), f"number {entry.get('category_id')}")
        name = check_category(category, categories or [n for n in names.values() if isinstance(n, str)], location)
        objects[entry["image_id"]].append(_to_object(entry, name, sizes[entry["image_id"]], location))
    return [
        AnnotatedImage(str(entry["file_name"]), *sizes[entry["id"]], tuple(objects[entry["id"]]))
        for entry in lists["images"]
    ]


def write_coco(images: Iterable[AnnotatedImage], path: Path, polygons: bool = False) -> None:
    """Write a COCO file: ids from 1, `iscrowd` 0 throughout, boxes around the masks.

    Args:
        images: images whose things have masks, gone through once.
        path: path of the file; an existing file is replaced.
        polygons: whether masks are written as polygons along the edges of pixels, a thing with holes in several, in
            place of run-length encodings. Both give the masks back to the pixel.

    Raises:
        OutputError: the file cannot be written.
    """
    names: dict[str, int] = {}
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(images, 1):
        entries.append({"id": image_id, "file_name": image.file, "width": image.width, "height": image.height})
        for thing in image.objects:
            mask = thing.mask
            segmentation: Any = thing.rle
            x0, y0, x1, y1 = bounding_box(mask)
            if polygons:
                segmentation = [[side for point in outline for side in point] for outline in trace_polygons(mask)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": names.setdefault(thing.category, len(names) + 1),
                    "segmentation": segmentation,
                    "area": int(mask.sum()),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "iscrowd": 0,
                    "attributes": thing.attributes,
                }
            )
    document = {
        "info": {"description": "written by soundspot"},
        "images": entries,
        "categories": [{"id": number, "name": name} for name, number in names.items()],
        "annotations": annotations,
    }
    atomic_write_bytes(path, (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode())


def _to_object(entry: dict[str, Any], category: str, size: tuple[int, int], location: str) -> AnnotatedObject:
    segmentation, box = entry.get("segmentation"), entry.get("bbox")
    attributes = entry.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise DataError(f"{location}: found attributes {attributes!r:.40}, expected an object. Export it again")
    attributes = {str(key): str(value) for key, value in attributes.items()}
    if isinstance(segmentation, dict):
        mask = decode_mask(segmentation, location)
        if mask.shape != size[::-1]:
            raise DataError(
                f"{location}: found a mask of {mask.shape[1]} x {mask.shape[0]} pixels, expected {size[0]} x {size[1]} "
                "as the image has. Export it again"
            )
        return AnnotatedObject(category, encode_mask(mask), attributes=attributes)
    if isinstance(segmentation, list) and segmentation:
        mask = np.zeros(size[::-1], bool)
        for sides in segmentation:
            if not has_type(tuple(sides) if isinstance(sides, list) else None, tuple[float, ...]) or len(sides) % 2:
                raise DataError(
                    f"{location}: found the polygon {sides!r:.40}, expected x0, y0, x1, y1... Export it again"
                )
            polygon = list(zip(sides[::2], sides[1::2], strict=True))
            check_polygon(polygon, size, location)
            mask |= rasterize_polygon(polygon, size)
        return AnnotatedObject(category, encode_mask(mask), attributes=attributes)
    if has_type(tuple(box) if isinstance(box, list) else None, tuple[float, float, float, float]):
        x, y, width, height = map(float, box or ())
        return AnnotatedObject(category, box=Box(x, y, x + width, y + height), attributes=attributes)
    raise DataError(f"{location}: found neither a segmentation nor a box of four numbers. Export it again")
