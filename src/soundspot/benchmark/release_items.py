"""The things of a project that are ready to be released, and all that keeps it from being released."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from soundspot.benchmark.annotation import combine_masks, read_masks
from soundspot.benchmark.audio import read_dropped_audio
from soundspot.benchmark.journal import COMPOSER
from soundspot.benchmark.licenses import describe_problem
from soundspot.benchmark.plan import make_slug
from soundspot.benchmark.project import Project, check_files
from soundspot.benchmark.records import AnnotationRecord, AudioRecord, ImageRecord, Source
from soundspot.benchmark.selection import list_disagreements, selected_images
from soundspot.data.media.rle import decode_mask, encode_mask
from soundspot.errors import DataError

MAX_NAMED = 10  # problems in one message


@dataclass(frozen=True, eq=False)
class ReleaseItem:
    """A thing that sounds in an image, ready to be released.

    Attributes:
        stem: name of its files, as in IS3: categories, number and the category that sounds.
        record: the image.
        category: category of the thing.
        rle: run-length encoded mask of the thing at the size of the image.
        tool: origin of the mask: `composed`, or `annotated`.
        annotators: number of annotators of the mask.
        audio: the sound.
    """

    stem: str
    record: ImageRecord
    category: str
    rle: dict[str, Any]
    tool: str
    annotators: int
    audio: AudioRecord

    @property
    def mask(self) -> Bool[np.ndarray, "h w"]:
        """(h, w) bool mask of the thing; decoded on each access, as all masks of a benchmark may not fit in memory."""
        return decode_mask(self.rle, self.record.file)


def collect_items(project: Project) -> list[ReleaseItem]:
    """Collect the things of the selected images, each with its mask and its sound.

    Args:
        project: the project.

    Returns:
        The things, those of an image one after the other.

    Raises:
        DataError: something keeps the project from being released; the message names up to ten problems.
    """
    records = selected_images(project)
    problems = list(_iter_problems(project, records))
    if problems:
        more = f"\n  and {len(problems) - MAX_NAMED} more" if problems[MAX_NAMED:] else ""
        listing = "".join(f"\n  {problem}" for problem in problems[:MAX_NAMED])
        raise DataError(f"{project.folder}: cannot be released yet:{listing}{more}")
    pairings = project.journal.read_pairings()
    audio = {record.id: record for record in project.journal.read_audio()}
    items = []
    for record in records:
        for category, annotations in read_masks(project, record).items():
            exact = [annotation for annotation in annotations if annotation.annotator == COMPOSER]
            items.append(
                ReleaseItem(
                    f"{Path(record.file).stem}_{make_slug(category)}",
                    record,
                    category,
                    encode_mask(combine_masks(exact or annotations, record.file)),
                    "composed" if exact else "annotated",
                    len(annotations) - len(exact),
                    audio[pairings[record.id, category]],
                )
            )
    return items


def _iter_problems(project: Project, records: list[ImageRecord]) -> Iterator[str]:
    if not records:
        yield "no image is kept. Select some: `soundspot benchmark select`"
        return
    if disputed := list_disagreements(project):
        names = ", ".join(Path(record.file).name for record, _ in disputed[:3])
        yield f"annotators disagree about {len(disputed)} images ({names}). Resolve that: `soundspot benchmark select`"
    yield from check_files(project, records)
    for file, times in Counter(record.sha256 for record in records).items():
        if times > 1:
            names = ", ".join(Path(record.file).name for record in records if record.sha256 == file)
            yield f"{names} are one and the same image. Drop the others"
    pairings, dropped = project.journal.read_pairings(), read_dropped_audio(project)
    audio = {record.id: record for record in project.journal.read_audio()}
    for record in records:
        name = Path(record.file).name
        for source in (record.source, *_list_composed(record.source)):
            if problem := describe_problem(source.license, source.author):
                yield f"{name}: {problem}. State it where the image is added, or drop the image"
                break
        masks: dict[str, list[AnnotationRecord]] = read_masks(project, record)
        for category in record.categories:
            if not masks[category]:
                yield f"{name}: {category} has no mask. Draw it: `soundspot benchmark annotate`"
            number = pairings.get((record.id, category))
            if number is None or number in dropped:
                yield f"{name}: {category} has no sound. Match one: `soundspot benchmark audio`"
            elif problem := describe_problem(audio[number].source.license, audio[number].source.author):
                yield f"{audio[number].key}, the sound of {name}: {problem}. State it, or drop the sound"


def _list_composed(source: Source) -> list[Source]:
    """Return the origins of the images that a composition is made of."""
    return [
        Source("catalog", entry["license"], entry["author"], entry["origin"], entry["group"])
        for entry in source.details.get("images", ())
    ]
