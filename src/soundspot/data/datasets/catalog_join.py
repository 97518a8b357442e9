"""Several catalog folders below one parent as one catalog."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from soundspot.data.datasets.catalog_format import Annotations, check_splits, read_annotations
from soundspot.errors import DataError


def read_joined_annotations(root: str | os.PathLike[str], folders: Iterable[str]) -> Annotations:
    """Read the annotations of several catalog folders as those of one catalog.

    Files and ids are relative to the common parent. A group has one meaning in all folders: entries of equal groups are
    in one split, or an error is raised, and are held out together.

    Args:
        root: common parent of the folders.
        folders: paths of the catalog folders relative to `root`, each once, not empty.

    Returns:
        Entries of all folders, in their order.

    Raises:
        DataError: a folder is named twice, lies outside of `root`, or is no valid catalog, or a group is in one split
            of one folder and in another split of another.
    """
    root, names = Path(root), [PurePosixPath(folder) for folder in folders]
    if not names or len(set(names)) < len(names) or any(n.is_absolute() or ".." in n.parts for n in names):
        raise DataError(
            f"{root}: found folders {[*map(str, names)]}, expected one or more different catalog folders by their "
            "paths relative to this folder"
        )
    images, audio = [], []
    for name in names:
        annotations = read_annotations(root / name)
        annotations.raise_errors()

        for image in annotations.images:
            mask, recording = (file and str(name / file) for file in (image.mask, image.audio))
            id, file = str(name / image.id), str(name / image.file)
            images.append(replace(image, id=id, file=file, mask=mask, audio=recording))
        audio += [replace(entry, id=str(name / entry.id), file=str(name / entry.file)) for entry in annotations.audio]
    joined = Annotations(root, tuple(images), tuple(audio), ())
    for problem in check_splits(joined.entries):
        raise DataError(
            f"{root}: {problem}. Where the folders mean different things by one name, rename the group in one of them"
        )
    return joined
