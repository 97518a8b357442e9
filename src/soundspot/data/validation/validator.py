"""Validation of a folder of data: its content and everything that is wrong with it (`soundspot data check`)."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from soundspot.data.datasets.base import PathLike
from soundspot.data.datasets.catalog_format import ANNOTATIONS_FILE
from soundspot.data.validation.catalog import validate_catalog
from soundspot.data.validation.findings import Findings, Problem, merge_findings
from soundspot.data.validation.lists import validate_lists, validate_train_lists
from soundspot.data.validation.samples import validate_dataset, validate_media


def validate_data(
    root: PathLike,
    dataset: str | None = None,
    options: Mapping[str, Any] | None = None,
    train_lists: Iterable[PathLike] = (),
    read_files: bool = False,
) -> Findings:
    """Recognize the content of a folder and detect all of its problems; nothing is opened for writing.

    Args:
        root: path of a catalog, a folder of authors' lists and annotation files, or a folder of images and audio.
        dataset: name of a data set to check there (`list_datasets()`); None: recognize the content.
        options: options of that data set.
        train_lists: paths of files of ids that are or will be trained on, checked for clips of the test sets.
        read_files: whether to decode every image, mask and audio file too.

    Returns:
        Tables of the content, and the problems, errors first; content that is not recognized is an error among them.

    Raises:
        RecipeError: an unknown data set or option.
        DataError: composed scenes or shards, which have no files to check, or a training list that cannot be read.
    """
    root = Path(root)
    train = validate_train_lists(Path(path) for path in train_lists)
    if dataset == "catalog" or (dataset is None and (root / ANNOTATIONS_FILE).is_file()):
        return merge_findings(validate_catalog(root, read_files), train)
    if dataset is not None:
        return merge_findings(validate_dataset(dataset, root, dict(options or {}), read_files), train)
    results = [result for result in (validate_lists(root), validate_media(root, read_files)) if result is not None]
    if results or train.tables:
        return merge_findings(*results, train)
    content = (
        f"a folder without {ANNOTATIONS_FILE}, known lists, or frames and audio" if root.is_dir() else "no such folder"
    )
    message = f"found {content}, expected a catalog, authors' lists, or images and audio"
    problem = Problem("error", str(root), message, "Check the path, or name the data set (`--data`)")
    return Findings("nothing", problems=(problem,))
