"""A project: its folder, its plan and its journal, and the image files that were added to it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image

from soundspot.benchmark.journal import COMPOSER, DATABASE_FILE, DecisionJournal
from soundspot.benchmark.plan import BenchmarkPlan, PlannedImage
from soundspot.benchmark.records import ImageRecord, Source
from soundspot.data.media.image import read_image
from soundspot.data.media.rle import encode_mask
from soundspot.errors import DataError, OutputError
from soundspot.utils.append_journal import insert_row
from soundspot.utils.atomic_io import atomic_write_bytes, convert_os_errors

IMAGE_FOLDER, AUDIO_FOLDER = "images", "audio"
JPEG_QUALITY = 95
BLACK = 8  # highest value of a channel in an image that counts as black
MIN_SIDE = 32  # pixels
_WORK = ("images", "decisions", "audio", "pairings", "annotations")


class Project:
    """A benchmark in the making.

    Args:
        folder: folder of the project, made by `create_project`.

    Attributes:
        folder: the folder.
        journal: the journal of all decisions.
        plan: the plan.

    Raises:
        DataError: there is no project in the folder, or its journal is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.journal = DecisionJournal(self.folder)
        self.plan = self.journal.read_plan()

    def image_path(self, record: ImageRecord) -> Path:
        """Return the path of an image.

        Args:
            record: image of the project.

        Returns:
            The path; the file may be gone.
        """
        return self.folder / record.file

    def read_image(self, record: ImageRecord) -> Image.Image:
        """Read an image, which must be what was added.

        Args:
            record: image of the project.

        Returns:
            RGB image.

        Raises:
            DataError: the file is gone or was changed since it was added.
            InputError: it cannot be decoded.
        """
        content = read_unchanged(self.folder, record.file, record.sha256)
        return read_image(self.image_path(record), content)


def create_project(folder: str | Path, plan: BenchmarkPlan) -> Project:
    """Create a project, or change the plan of one in which nothing was done yet.

    Args:
        folder: folder of the project; it is made where it is missing.
        plan: the plan.

    Returns:
        The project.

    Raises:
        DataError: the project has another plan and work has begun, so that the new one would contradict it.
        OutputError: the folder cannot be written, or holds something else.
    """
    folder = Path(folder)
    begun = {folder / IMAGE_FOLDER, folder / AUDIO_FOLDER}  # empty ones, of a run that was stopped before its journal
    is_other = any(path not in begun for path in folder.rglob("*"))
    if is_other and not (folder / DATABASE_FILE).is_file():
        raise OutputError(f"{folder}: holds something else, expected a project or a new folder. Name another")
    with convert_os_errors(folder):
        for name in (IMAGE_FOLDER, AUDIO_FOLDER):
            (folder / name).mkdir(parents=True, exist_ok=True)
    journal = DecisionJournal(folder, create=True)
    content = json.dumps(plan.to_dict(), ensure_ascii=False)
    with journal.connect(write=True) as connection:
        row = connection.execute("SELECT content FROM plans ORDER BY id DESC LIMIT 1").fetchone()
        if row is not None and row["content"] == content:
            return Project(folder)
        counts = {name: connection.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in _WORK}
        if row is not None and any(counts.values()):
            done = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
            before = json.loads(row["content"])
            changed = ", ".join(key for key, value in json.loads(content).items() if before.get(key) != value)
            raise DataError(
                f"{folder}: found another plan ({changed} changed) after work began ({done}), which would contradict "
                "it. Make a new project for the new plan"
            )
        insert_row(connection, "plans", content=content)
    return Project(folder)


def add_image(
    project: Project,
    planned: PlannedImage,
    image: Image.Image,
    source: Source,
    masks: Mapping[str, Bool[np.ndarray, "h w"]] | None = None,
) -> ImageRecord:
    """Add an image to a project, with its exact masks where they are known: both or neither, whatever is killed.

    The file holds pixels alone: metadata of the original, such as the place of a photograph, is left out.

    Args:
        project: the project.
        planned: image of the plan that it stands for.
        image: RGB image.
        source: origin.
        masks: category -> (h, w) bool mask of a composed image.

    Returns:
        The image in the journal; where another process was first, its image.

    Raises:
        DataError: the image is black all over, or too small.
        OutputError: it cannot be written.
    """
    check_pixels(image, planned.stem)
    buffer = BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    content, file = buffer.getvalue(), f"{IMAGE_FOLDER}/{planned.stem}.jpg"
    with project.journal.connect(write=True) as connection:
        taken = connection.execute("SELECT id FROM images WHERE number = ?", (planned.number,)).fetchone()
        if taken is None:
            atomic_write_bytes(project.folder / file, content)
            id = insert_row(
                connection,
                "images",
                number=planned.number,
                file=file,
                categories=json.dumps(planned.categories, ensure_ascii=False),
                width=image.width,
                height=image.height,
                sha256=hashlib.sha256(content).hexdigest(),
                source=source.to_json(),
            )
            for category, mask in (masks or {}).items():
                insert_row(
                    connection,
                    "annotations",
                    annotator=COMPOSER,
                    image=id,
                    category=category,
                    tool="cut-outs",
                    actions="[]",
                    attributes="{}",
                    mask=json.dumps(encode_mask(mask)),
                )
    return project.journal.read_image(id if taken is None else taken["id"])


def missing_images(project: Project) -> list[PlannedImage]:
    """List the images of the plan that were not added yet.

    Args:
        project: the project.

    Returns:
        The planned images, in the order of the plan.
    """
    with project.journal.reading() as connection:
        added = {row["number"] for row in connection.execute("SELECT number FROM images")}
    return [project.plan.image(number) for number in range(len(project.plan)) if number not in added]


def check_files(project: Project, records: Iterable[ImageRecord]) -> list[str]:
    """Check that images are what was added.

    Args:
        project: the project.
        records: images of the project.

    Returns:
        A message for each file that is gone, was changed, or cannot be read.
    """
    messages = []
    for record in records:
        try:
            read_unchanged(project.folder, record.file, record.sha256)
        except DataError as error:
            messages.append(str(error))
    return messages


def read_unchanged(folder: Path, file: str, sha256: str) -> bytes:
    """Read a file whose checksum is known.

    Args:
        folder: folder of the project.
        file: path relative to the folder.
        sha256: checksum in hexadecimal digits.

    Returns:
        The content.

    Raises:
        DataError: the file is gone, cannot be read, or has another content.
    """
    try:
        content = (folder / file).read_bytes()
    except OSError as error:
        raise DataError(
            f"{folder / file}: cannot be read ({error.strerror}), expected the file that was added. Restore it from a "
            "copy, or drop the image"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(
            f"{folder / file}: was changed since it was added (another checksum). Restore it from a copy, or drop the "
            "image: what was decided is about the old file"
        )
    return content


def check_pixels(image: Image.Image, name: str) -> None:
    """Check that an image shows something.

    Args:
        image: the image.
        name: name of the image, for the message.

    Raises:
        DataError: it is black all over (as safety checkers return it), or smaller than 32 pixels.
    """
    if min(image.size) < MIN_SIDE:
        raise DataError(f"{name}: found {image.width} x {image.height} pixels, expected at least {MIN_SIDE} each way")
    if np.asarray(image.convert("RGB")).max() <= BLACK:
        raise DataError(f"{name}: found an image that is black all over, expected one that shows something")
