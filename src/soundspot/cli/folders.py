"""Inputs of a folder that are located one by one, and where the results of each go."""

from collections.abc import Collection
from pathlib import Path

from soundspot.data.media.file_types import iter_files
from soundspot.errors import DataError
from soundspot.utils.atomic_io import convert_os_errors

EXIT_SOME_FAILED = 2
FOLDER_OUTPUT = Path("located")


def list_inputs(folder: Path, output: Path) -> list[Path]:
    """List the files below a folder, sorted, without hidden ones (drafts of a run that was killed) and results."""
    return [
        path
        for path in sorted(iter_files(folder))
        if not any(name.startswith(".") for name in path.relative_to(folder).parts)
        and output.absolute() not in (path.absolute(), *path.absolute().parents)
    ]


def plan_targets(folder: Path, output: Path, suffixes: Collection[str]) -> dict[Path, Path]:
    """Map the files below a folder that have one of several suffixes to paths of their results, without suffix.

    Args:
        folder: folder of the files.
        output: folder of the results; nothing is made there.
        suffixes: suffixes in lower case.

    Returns:
        Path of each file -> path of its results.

    Raises:
        DataError: two files have one name (`a.mp4`, `a.mkv`).
    """
    files: dict[Path, Path] = {}
    for path in list_inputs(folder, output):
        if path.suffix.lower() in suffixes:
            stem = path.relative_to(folder).with_suffix("")
            if stem in files:
                raise DataError(
                    f"{folder}: found {path.name} and {files[stem].name}, expected one name each. Rename one"
                )
            files[stem] = path
    return {path: output / stem for stem, path in files.items()}


def make_parent(target: Path) -> None:
    """Make the folder of a result."""
    with convert_os_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
