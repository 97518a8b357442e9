"""File types by suffix, the check of a file before it is opened, and listings of folders."""

import os
from collections.abc import Iterator
from pathlib import Path

from soundspot.errors import InputError

# Suffixes of people's files of each type, the most frequent first.
# fmt: off
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".jfif",
)
AUDIO_SUFFIXES = (
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff", ".wma", ".au", ".caf",
)
VIDEO_SUFFIXES = (
    ".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".3gp", ".wmv", ".ogv",
)
# fmt: on


def check_readable(path: Path, expected: str) -> None:
    """Raise InputError where a file cannot be opened.

    Args:
        path: path of the file.
        expected: noun phrase for what the file should be, for the message.

    Raises:
        InputError: the path does not exist, is a folder, may not be read, or is an empty file.
    """
    if not path.exists():
        problem, remedy, cause = "no such file", "Check the path", "missing"
    elif path.is_dir():
        problem, remedy, cause = "a folder", "Name a file in it", "a folder"
    elif not os.access(path, os.R_OK):
        problem, remedy, cause = "a file that may not be read", "Change its permissions", "no permission"
    elif path.stat().st_size == 0:
        problem, remedy, cause = "an empty file (0 bytes)", "Fetch or write it again", "empty"
    else:
        return
    raise InputError(f"{path}: found {problem}, expected {expected}. {remedy}.", cause)


def iter_files(folder: Path) -> Iterator[Path]:
    """List all paths below a folder, through links too; a folder that is linked into itself is visited once.

    Args:
        folder: folder to search, with its subfolders.

    Yields:
        Paths that begin with `folder`, of files and of subfolders.
    """
    visited: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        stat = os.stat(parent)
        if (stat.st_dev, stat.st_ino) in visited:
            folders.clear()
            continue
        visited.add((stat.st_dev, stat.st_ino))
        folders.sort()
        yield from (Path(parent) / name for name in (*folders, *files))


class DirectoryIndex:
    """Cached listing of the files below a folder: `file in index` costs one listing per folder, not one stat per file.

    Files that come later are not seen in a folder that was listed before.

    Args:
        root: folder; names are relative to it, with `/` between their parts.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, dict[str, list[str]]] = {}

    def files_by_stem(self, folder: str) -> dict[str, list[str]]:
        """List the names in a folder by their stems (name without its last suffix).

        Args:
            folder: path of the folder relative to the root; empty for the root itself.

        Returns:
            Sorted names of files and subfolders by stem; empty where there is no such folder.
        """
        if folder not in self._folders:
            path = self.root / folder
            stems: dict[str, list[str]] = {}
            for name in sorted(os.listdir(path)) if path.is_dir() else ():
                stems.setdefault(name.rpartition(".")[0] or name, []).append(name)
            self._folders[folder] = stems
        return self._folders[folder]

    def __contains__(self, file: str) -> bool:
        folder, _, name = file.rpartition("/")
        return name in self.files_by_stem(folder).get(name.rpartition(".")[0] or name, ())
