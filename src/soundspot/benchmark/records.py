"""What the journal of a project holds: files with their origin, decisions, and masks."""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Source:
    """The origin of a file, as a license asks to state it.

    Attributes:
        kind: `folder`, `composed`, `generated`, `catalog` or `vggsound`.
        license: license of the file; empty where it is not known.
        author: name of its author; empty where it is not known.
        origin: address or path that it came from.
        group: name shared by files that come from one photograph or recording; empty: none.
        details: further facts, such as the prompt and the seed of a generated image.
    """

    kind: str
    license: str = ""
    author: str = ""
    origin: str = ""
    group: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Convert the source to JSON.

        Returns:
            One line of text.
        """
        return json.dumps(self.__dict__, ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True)
class ImageRecord:
    """An image of a project.

    Attributes:
        id: number in the journal, from 1.
        number: position in the plan.
        file: path relative to the project.
        categories: categories of the things in it that sound.
        width, height: size in pixels.
        sha256: checksum of the file.
        source: origin.
    """

    id: int
    number: int
    file: str
    categories: tuple[str, ...]
    width: int
    height: int
    sha256: str
    source: Source


@dataclass(frozen=True)
class AudioRecord:
    """A sound of a project.

    Attributes:
        id: number in the journal, from 1.
        key: name in its source, such as the path in a catalog.
        file: path relative to the project; empty where the sound was refused.
        category: category.
        sha256: checksum of the file.
        seconds: duration in seconds.
        problem: reason why the sound was refused; empty where it may be used.
        source: origin.
    """

    id: int
    key: str
    file: str
    category: str
    sha256: str
    seconds: float | int
    problem: str
    source: Source


@dataclass(frozen=True)
class Decision:
    """A decision of an annotator.

    Attributes:
        id: number in the journal, from 1.
        time: date and time in UTC, ISO 8601.
        annotator: name of the annotator.
        image: number of the image in the journal.
        step: step of the decision: `select`, `resolve` or `audio`.
        choice: `keep` or `drop`.
        reason: reason; for the step `audio` the category of the sound.
    """

    id: int
    time: str
    annotator: str
    image: int
    step: str
    choice: str
    reason: str


@dataclass(frozen=True)
class AnnotationRecord:
    """A mask that an annotator drew.

    Attributes:
        id: number in the journal, from 1.
        time: date and time in UTC, ISO 8601.
        annotator: name of the annotator.
        image: number of the image in the journal.
        category: category of the object.
        tool: name of the segmenter, or of the file that the mask was imported from.
        actions: clicks, boxes and strokes that made it, as JSON has them.
        attributes: attributes that a file of another tool gave it.
        mask: run-length encoded mask (`soundspot.data.media.rle`).
    """

    id: int
    time: str
    annotator: str
    image: int
    category: str
    tool: str
    actions: list[Any]
    attributes: dict[str, str]
    mask: dict[str, Any]
