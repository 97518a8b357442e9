"""Masks of a project written for other tools, and read back from them."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from soundspot.benchmark.annotation import build_row, combine_masks, read_masks
from soundspot.benchmark.coco import read_coco, write_coco
from soundspot.benchmark.cvat import read_cvat, write_cvat
from soundspot.benchmark.exchange import AnnotatedImage, AnnotatedObject, match_name, merge_objects
from soundspot.benchmark.journal import COMPOSER
from soundspot.benchmark.project import Project
from soundspot.benchmark.records import ImageRecord
from soundspot.benchmark.selection import selected_images
from soundspot.data.media.rle import encode_mask
from soundspot.errors import DataError, OutputError
from soundspot.inference.contours.segmenters import Segmenter
from soundspot.utils.append_journal import insert_row
from soundspot.utils.atomic_io import atomic_write_folder

READERS: dict[str, Callable[[Path, Sequence[str]], list[AnnotatedImage]]] = {".xml": read_cvat, ".json": read_coco}


def export_task(project: Project, folder: Path, annotator: str = "", polygons: bool = False) -> int:
    """Write the selected images for another tool, with the masks that there are as CVAT's XML and COCO's JSON.

    Args:
        project: the project.
        folder: folder to create: `images/`, `annotations.xml` and `coco.json`.
        annotator: annotator whose masks are written; empty: the masks of all, combined.
        polygons: whether COCO's masks are polygons.

    Returns:
        Number of images.

    Raises:
        OutputError: the folder exists, or cannot be written.
        DataError: no image is selected, or an image is gone or was changed.
    """
    records = selected_images(project)
    if not records:
        raise DataError(f"{project.folder}: found no image that is kept. Select some: `soundspot benchmark select`")
    if annotator and annotator != COMPOSER:
        annotator = project.journal.match_annotator(annotator)
    images = [to_annotated(project, record, annotator) for record in records]
    with atomic_write_folder(folder) as draft:
        (draft / "images").mkdir()
        for record in records:
            project.read_image(record)
            shutil.copyfile(project.image_path(record), draft / "images" / Path(record.file).name)
        write_cvat(images, draft / "annotations.xml")
        write_coco(images, draft / "coco.json", polygons)
    return len(records)


def to_annotated(project: Project, record: ImageRecord, annotator: str = "") -> AnnotatedImage:
    """Convert an image of a project and its masks to what exchange formats hold.

    Args:
        project: the project.
        record: image of the project.
        annotator: annotator whose masks are used; empty: the masks of all, combined.

    Returns:
        The image with the things that have a mask.
    """
    objects = []
    for category, annotations in read_masks(project, record).items():
        own = [annotation for annotation in annotations if annotator in ("", annotation.annotator)]
        if own:
            attributes = own[-1].attributes
            rle = encode_mask(combine_masks(own, record.file))
            objects.append(AnnotatedObject(category, rle, attributes=attributes))
    return AnnotatedImage(Path(record.file).name, record.width, record.height, tuple(objects))


def import_masks(project: Project, path: Path, annotator: str, segmenter: Callable[[], Segmenter]) -> int:
    """Store the masks of a file of another tool; those of clicks and boxes are made by a segmenter.

    Nothing is stored where anything in the file is wrong, or where the process is killed.

    Args:
        project: the project.
        path: path of an XML of *CVAT for images 1.1*, or of a COCO JSON.
        annotator: name of the annotator.
        segmenter: function that returns the segmenter; called where it is needed.

    Returns:
        Number of masks.

    Raises:
        OutputError: the file has another suffix.
        DataError: the file is wrong, or does not fit the images of the project.
    """
    if path.suffix.lower() not in READERS:
        raise OutputError(f"{path}: found {path.suffix or 'no suffix'}, expected .xml (CVAT) or .json (COCO)")
    annotator = project.journal.match_annotator(annotator)
    records = {match_name(record.file): record for record in project.journal.read_images()}
    rows = []
    for image in READERS[path.suffix.lower()](path, project.plan.categories):
        record = records.get(match_name(image.file))
        if record is None:
            raise DataError(f"{path}: found the image {image.file!r:.80}, which the project does not have")
        if (image.width, image.height) != (record.width, record.height):
            raise DataError(
                f"{path}: found {image.file!r:.80} of {image.width} x {image.height} pixels, expected {record.width} x "
                f"{record.height}. Annotate the images that `soundspot benchmark annotate --export` writes"
            )
        for thing in merge_objects(image.objects):
            if thing.category not in record.categories:
                raise DataError(
                    f"{path}: {image.file!r:.80} is said to show {thing.category!r}, which it was not made for"
                )
            if thing.rle is None:
                mask = segmenter().segment(project.read_image(record), thing.clicks, thing.box)
            else:
                mask = thing.mask
            rows.append(build_row(annotator, record, thing.category, mask, (), path.name, thing.attributes))
    with project.journal.connect(write=True) as connection:
        for row in rows:
            insert_row(connection, "annotations", **row)
    return len(rows)


def count_masks(project: Project, records: Sequence[ImageRecord]) -> tuple[int, int]:
    """Count the things that have a mask.

    Args:
        project: the project.
        records: images of the project.

    Returns:
        Number of things with a mask, and of all.
    """
    with project.journal.reading() as connection:
        drawn = set(map(tuple, connection.execute("SELECT DISTINCT image, category FROM annotations")))
    things = [(record.id, category) for record in records for category in record.categories]
    return sum(thing in drawn for thing in things), len(things)
