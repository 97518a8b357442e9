"""Masks of the things in an image: drawn by clicks, a box and a brush, stored with all that made them."""

import itertools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw

from soundspot.benchmark.agreement import mask_iou, vote_masks
from soundspot.benchmark.project import Project
from soundspot.benchmark.records import AnnotationRecord, ImageRecord
from soundspot.benchmark.selection import STATUS
from soundspot.data.media.rle import decode_mask, encode_mask
from soundspot.errors import DataError, did_you_mean
from soundspot.inference.contours.segmenters import Click, Segmenter
from soundspot.types import Box
from soundspot.utils.safe_read import has_type

MAX_ACTIONS = 500  # of one mask
LOW_IOU = 0.7  # of two annotators, below which a mask should be looked at again


@dataclass(frozen=True)
class Action:
    """An action of an annotator on a mask.

    Attributes:
        kind: `object` or `background` for a click, `box` for two corners, `brush` or `eraser` for a line of discs.
        points: positions in pixels of the image.
        radius: radius of the discs in pixels.
    """

    kind: Literal["object", "background", "box", "brush", "eraser"]
    points: tuple[tuple[float | int, float | int], ...]
    radius: float | int = 0

    def to_json(self) -> list[Any]:
        """Convert the action to values that JSON has.

        Returns:
            Kind, points and radius.
        """
        return [self.kind, [list(point) for point in self.points], self.radius]

    @classmethod
    def from_json(cls, values: Any) -> "Action":
        """Convert what `to_json` returned, perhaps from a stranger, to an action.

        Args:
            values: kind, points and radius.

        Returns:
            The action.

        Raises:
            DataError: the values are of another kind.
        """
        kinds = {"object": 1, "background": 1, "box": 2, "brush": 0, "eraser": 0}
        if isinstance(values, list) and len(values) == 3 and isinstance(values[1], list):
            kind, points, radius = (
                values[0],
                tuple(tuple(p) if isinstance(p, list) else p for p in values[1]),
                values[2],
            )
            is_valid = (
                has_type(points, tuple[tuple[float, float], ...]) and has_type(radius, float) and 0 <= radius < 1000
            )
            if kind in kinds and is_valid and points and len(points) == (kinds[kind] or len(points)):
                return cls(kind, points, radius)
        raise DataError(f"found the action {values!r:.80}, expected a click, a box or a stroke. Reload the page")


@dataclass(frozen=True)
class MaskAgreement:
    """Agreement of two annotators on masks.

    Attributes:
        first, second: names of the annotators.
        num_masks: number of things that both drew.
        mean_iou: mean IoU of their masks.
        low: image and category of each thing with an IoU below 0.7.
    """

    first: str
    second: str
    num_masks: int
    mean_iou: float
    low: tuple[tuple[str, str], ...]


def render_mask(image: Image.Image, actions: Sequence[Action], segmenter: Segmenter) -> Bool[np.ndarray, "h w"]:
    """Compute the mask that actions make; without the last of them it is the mask before.

    Args:
        image: RGB image of w x h pixels.
        actions: clicks, boxes (the last one counts) and strokes, in their order.
        segmenter: segmenter of clicks and box; strokes are painted over its mask.

    Returns:
        (h, w) bool mask.
    """
    clicks = [Click(*a.points[0], a.kind == "object") for a in actions if a.kind in ("object", "background")]
    boxes = [_to_box(action) for action in actions if action.kind == "box"]
    mask = np.zeros((image.height, image.width), bool)
    if boxes or any(click.is_object for click in clicks):
        mask = segmenter.segment(image, clicks, boxes[-1] if boxes else None)
    for action in actions:
        if action.kind in ("brush", "eraser"):
            mask = np.where(_rasterize_stroke(action, image.size), action.kind == "brush", mask)
    return mask


def save_annotation(
    project: Project,
    annotator: str,
    record: ImageRecord,
    category: str,
    mask: Bool[np.ndarray, "h w"],
    actions: Sequence[Action] = (),
    tool: str = "grabcut",
) -> None:
    """Store the mask of a thing; an earlier mask of the same annotator stays in the journal.

    Args:
        project: the project.
        annotator: name of the annotator.
        record: image of the project.
        category: category of the thing, one of the image's.
        mask: (h, w) bool mask of the image's size, not empty.
        actions: actions that made it.
        tool: name of the segmenter, or of what the mask comes from.

    Raises:
        DataError: the image has no such category, or the mask is empty or of another size.
    """
    annotator = project.journal.match_annotator(annotator)
    project.journal.insert("annotations", **build_row(annotator, record, category, mask, actions, tool))


def build_row(
    annotator: str,
    record: ImageRecord,
    category: str,
    mask: Bool[np.ndarray, "h w"],
    actions: Sequence[Action],
    tool: str,
    attributes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Build the journal's row of the mask of a thing.

    Args:
        annotator: name of the annotator, as the journal has it (`DecisionJournal.match_annotator`).
        record: image of the project.
        category: category of the thing, one of the image's.
        mask: (h, w) bool mask of the image's size, not empty.
        actions: actions that made it.
        tool: name of the segmenter, or of what the mask comes from.
        attributes: attributes that a file of another tool gave it.

    Returns:
        Value of each column.

    Raises:
        DataError: the image has no such category, or the mask is empty or of another size.
    """
    if category not in record.categories:
        raise DataError(f"{record.file}: does not show {category!r}{did_you_mean(category, record.categories)}")
    if mask.shape != (record.height, record.width):
        raise DataError(
            f"{record.file}: found a mask of {mask.shape[1]} x {mask.shape[0]} pixels, expected {record.width} x "
            f"{record.height} as the image has. Draw it on the image of the project"
        )
    if not mask.any():
        raise DataError(
            f"{record.file}: found an empty mask of {category}, expected the thing. Click on it, or drop the image"
        )
    if len(actions) > MAX_ACTIONS:
        raise DataError(f"{record.file}: found {len(actions)} actions, expected at most {MAX_ACTIONS}. Begin again")
    return {
        "annotator": annotator,
        "image": record.id,
        "category": category,
        "tool": tool,
        "actions": json.dumps([action.to_json() for action in actions]),
        "attributes": json.dumps(dict(attributes or {}), ensure_ascii=False),
        "mask": json.dumps(encode_mask(mask)),
    }


def read_masks(project: Project, record: ImageRecord) -> dict[str, list[AnnotationRecord]]:
    """Read the masks of an image that count, of all annotators.

    Args:
        project: the project.
        record: image of the project.

    Returns:
        Category -> annotations, in the order of the image's categories; empty lists where nobody drew one.
    """
    masks: dict[str, list[AnnotationRecord]] = {category: [] for category in record.categories}
    for annotation in project.journal.read_annotations(record.id):
        masks[annotation.category].append(annotation)
    return masks


def next_thing(project: Project, annotator: str, after: tuple[int, str] | None = None) -> tuple[int, str] | None:
    """Return the next thing of the images that are kept whose mask an annotator has not drawn.

    Args:
        project: the project.
        annotator: name of the annotator.
        after: number of an image and a category of it; things after that come first. None: from the first.

    Returns:
        Number of the image in the journal and category; None where all are drawn.
    """
    undrawn = (
        "NOT EXISTS (SELECT 1 FROM annotations WHERE image = images.id AND category = thing.value AND annotator = ?)"
    )
    (image, category), annotator = after or (0, ""), project.journal.match_annotator(annotator)
    rank = "COALESCE((SELECT key FROM json_each(images.categories) WHERE value = ?), -1)"
    later = f"(images.id > ? OR images.id = ? AND thing.key > {rank})"
    with project.journal.reading() as connection:
        for condition in (f"images.id >= ? AND {later}", f"images.id <= ? AND NOT {later}"):
            row = connection.execute(
                f"SELECT images.id, thing.value FROM images, json_each(images.categories) AS thing WHERE {condition} "
                f"AND {undrawn} AND {STATUS} = 'keep' ORDER BY images.id, thing.key LIMIT 1",
                (image, image, image, category, annotator),
            ).fetchone()
            if row is not None:
                return row[0], row[1]
    return None


def combine_masks(annotations: Sequence[AnnotationRecord], location: str) -> Bool[np.ndarray, "h w"]:
    """Combine the masks that several annotators drew of one thing, by majority in each pixel.

    Args:
        annotations: at least one; the earliest decides where votes are equal.
        location: name of the image, for messages.

    Returns:
        (h, w) bool.
    """
    return vote_masks([decode_mask(annotation.mask, location) for annotation in annotations])


def measure_mask_agreement(project: Project) -> list[MaskAgreement]:
    """Measure how far the masks of each two annotators agree.

    Args:
        project: the project.

    Returns:
        Agreement of each two that drew a common thing, sorted by their names.
    """
    several = "(SELECT COUNT(DISTINCT annotator) FROM annotations WHERE image = images.id) > 1"
    scores: dict[tuple[str, str], list[tuple[float, tuple[str, str]]]] = defaultdict(list)
    for record in project.journal.read_images(several):
        for category, annotations in read_masks(project, record).items():
            for pair in itertools.combinations(sorted(annotations, key=lambda item: item.annotator), 2):
                value = mask_iou(*(decode_mask(annotation.mask, record.file) for annotation in pair))
                scores[pair[0].annotator, pair[1].annotator].append((value, (record.file, category)))
    return [
        MaskAgreement(
            *names,
            len(values),
            float(np.mean([value for value, _ in values])),
            tuple(thing for value, thing in values if value < LOW_IOU),
        )
        for names, values in sorted(scores.items())
    ]


def _to_box(action: Action) -> Box:
    (x0, y0), (x1, y1) = action.points
    return Box(float(min(x0, x1)), float(min(y0, y1)), float(max(x0, x1)), float(max(y0, y1)))


def _rasterize_stroke(action: Action, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    canvas = Image.new("1", size)
    draw, radius = ImageDraw.Draw(canvas), max(0.5, action.radius)
    for x, y in action.points:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)
    if len(action.points) > 1:
        draw.line([coordinate for point in action.points for coordinate in point], fill=1, width=round(2 * radius))
    return np.asarray(canvas)
