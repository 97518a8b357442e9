"""Photographs, recordings and a clip to begin with; all are CC0, and no model has learned from them.

`README.txt` beside them names the author of each.
"""

import shutil
from pathlib import Path

from soundspot.errors import InputError, OutputError, did_you_mean
from soundspot.utils.atomic_io import atomic_write, convert_os_errors

FOLDER = Path(__file__).parent
PAIRS = {
    "cat": ("cat.jpg", "cat.flac"),
    "eagle": ("eagle.jpg", "crow.flac"),
    "helicopter": ("helicopter.jpg", "helicopter.flac"),
}
"""Name of a photograph -> its file, and a recording of what it shows."""
OFFSCREEN = "dog.flac"
"""Recording of what none of the photographs shows."""
CLIP = "clip.mp4"
"""Clip of 12 s: the cat and the helicopter side by side sound in turn, then a dog, which is not visible."""


def list_examples() -> list[str]:
    """List the names of the files.

    Returns:
        Names, sorted.

    Examples:
        >>> "cat.jpg" in list_examples()
        True
    """
    return sorted(path.name for path in FOLDER.iterdir() if path.is_file() and path.suffix not in (".py", ".pyc"))


def example_path(name: str) -> Path:
    """Return the path of an example.

    Args:
        name: name of a file, such as `cat.jpg`.

    Returns:
        Path of the file in the installed package.

    Raises:
        InputError: there is no such example.
    """
    if name not in list_examples():
        raise InputError(f"found no example {name!r}{did_you_mean(name, list_examples())}")
    return FOLDER / name


def copy_examples(folder: str | Path, overwrite: bool = False) -> list[Path]:
    """Copy all examples into a folder.

    Args:
        folder: folder to copy to; it is made where it does not exist.
        overwrite: whether existing files are replaced.

    Returns:
        Paths of the copies.

    Raises:
        OutputError: a file exists and `overwrite` is False, or cannot be written; before anything is copied.
    """
    folder = Path(folder)
    targets = [folder / name for name in list_examples()]
    if not overwrite and (existing := [target for target in targets if target.exists()]):
        raise OutputError(f"{existing[0]} exists already. Pass --overwrite to replace it, or give another folder.")
    with convert_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for target in targets:
        with atomic_write(target) as draft:
            shutil.copyfile(FOLDER / target.name, draft)
    return targets
