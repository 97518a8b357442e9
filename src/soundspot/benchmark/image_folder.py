"""Images of a benchmark from one's own folders, one for each category or pair of categories."""

import csv
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from soundspot.benchmark.plan import PlannedImage, make_slug
from soundspot.benchmark.project import Project, add_image, check_pixels, missing_images
from soundspot.benchmark.records import Source
from soundspot.data.datasets.category_folders import list_categories
from soundspot.data.media.file_types import detect_file_type, iter_files
from soundspot.data.media.image import read_image
from soundspot.errors import DataError, SoundspotError, did_you_mean
from soundspot.utils.progress import track
from soundspot.utils.safe_read import convert_read_errors

SOURCES_FILE = "sources.csv"  # file,license,author,origin of each image, relative to the folder
MAX_SIDE = 1024  # pixels of the longer side of a stored image


@dataclass(frozen=True)
class ImageSummary:
    """Number of images that were added to a project, and what became of the others.

    Attributes:
        num_added: number of images that were added.
        num_missing: number of images of the plan that are still missing.
        messages: one message for each file that was not used.
    """

    num_added: int
    num_missing: int
    messages: tuple[str, ...] = ()


def add_image_folder(project: Project, folder: str | Path, license: str = "", author: str = "") -> ImageSummary:
    """Add the images of a folder whose subfolders are named by categories, as many as the plan asks for.

    A subfolder `dog` holds images of the category dog, `dog+cat` images that show both, in any order. A file
    `sources.csv` in the folder may name the license, the author and the origin of each. Files that were added before
    are passed over, so that the function continues after a kill.

    Args:
        project: the project.
        folder: the folder.
        license: license of the images that `sources.csv` does not name.
        author: author of these images.

    Returns:
        What became of the files.

    Raises:
        DataError: there are no subfolders, a subfolder is named by nothing in the plan, or `sources.csv` is wrong.
    """
    root = Path(folder)
    sources = _read_sources(root / SOURCES_FILE)
    missing: dict[frozenset[str], list[PlannedImage]] = defaultdict(list)
    for planned in missing_images(project):
        missing[frozenset(map(make_slug, planned.categories))].append(planned)
    known = {frozenset(map(make_slug, group)) for group in project.plan.groups}
    added_before = {str(record.source.details.get("original")): record.file for record in project.journal.read_images()}
    num_added, messages = 0, []
    for path, group in track([*_iter_images(root, known)], "images"):
        name = path.relative_to(root).as_posix()
        content = path.read_bytes() if os.access(path, os.R_OK) else b""
        digest = hashlib.sha256(content).hexdigest()
        if digest in added_before:
            if added_before[digest]:
                messages.append(f"{path}: has the content of {added_before[digest]}, which was added already")
            continue
        if not missing[group]:
            messages.append(f"{path}: the plan asks for no more images of {' and '.join(sorted(group))}")
            continue
        own = sources.get(name, {})
        source = Source(
            "folder",
            own.get("license") or license,
            own.get("author") or author,
            own.get("origin") or name,
            own.get("group", ""),
            {"original": digest},
        )
        try:
            image = read_image(path)
            image.thumbnail((MAX_SIDE, MAX_SIDE))
            check_pixels(image, str(path))
            record = add_image(project, missing[group][0], image, source)
        except SoundspotError as error:
            messages.append(str(error))
            continue
        missing[group].pop(0)
        added_before[digest] = record.file
        num_added += 1
    return ImageSummary(num_added, sum(map(len, missing.values())), tuple(messages))


def _iter_images(root: Path, known: set[frozenset[str]]) -> Iterator[tuple[Path, frozenset[str]]]:
    """Yield the image files below a folder with the slugs of their categories."""
    for name in list_categories(root):
        group = frozenset(map(make_slug, name.split("+")))
        if group not in known:
            names = ["+".join(sorted(other)) for other in known]
            raise DataError(
                f"{root / name}: is named by no categories that the plan has together"
                f"{did_you_mean('+'.join(sorted(group)), names)}"
            )
        for path in sorted(iter_files(root / name)):
            if path.is_file() and detect_file_type(os.fsencode(path)) == "image":
                yield path, group


def _read_sources(path: Path) -> dict[str, dict[str, str]]:
    """Read license, author and origin of files by their names; empty where there is no such file."""
    if not path.is_file():
        return {}
    expected = "expected a table with the columns file, license, author and origin. Correct it"
    with convert_read_errors(path, expected), path.open(encoding="utf-8-sig", newline="") as opened:
        reader = csv.DictReader(opened)
        if not {"file", "license"} <= set(reader.fieldnames or ()):
            raise DataError(f"{path}: found the columns {reader.fieldnames}, {expected}")
        return {
            (row["file"] or "").strip(): {key: (value or "").strip() for key, value in row.items() if key}
            for row in reader
        }
