"""File types by suffix, the check of a file before it is opened, and listings of folders."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Literal

from soundspot.errors import DataError, InputError

# Suffixes of people's files of each type, in lower case, the most frequent first: the one table of all commands.
# fmt: off
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".jfif",
    ".heic", ".heif", ".hif", ".jpe", ".mpo", ".jp2", ".tga", ".pbm", ".pnm", ".dib", ".apng",
)
AUDIO_SUFFIXES = (
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff", ".wma", ".au", ".caf",
    ".mka", ".weba", ".aifc", ".amr", ".awb", ".3ga", ".m4b", ".m4r", ".mp2", ".mpa", ".mpga", ".ac3", ".eac3", ".dts",
    ".w64", ".rf64", ".bwf", ".wave", ".wv", ".ape", ".tta", ".spx", ".snd", ".voc", ".gsm", ".ra",
)
VIDEO_SUFFIXES = (
    ".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".3gp", ".wmv", ".ogv",
    ".mts", ".m2ts", ".m2t", ".trp", ".tod", ".vob", ".qt", ".mxf", ".mpe", ".mpv", ".m2p", ".m1v", ".m2v", ".asf",
    ".f4v", ".3g2", ".divx", ".dv", ".wtv", ".ogm", ".ogx", ".mk3d", ".rm", ".rmvb", ".nut",
)
# fmt: on
FileType = Literal["image", "audio", "video"]
FILE_TYPES: tuple[FileType, ...] = ("image", "audio", "video")
SUFFIXES = dict(zip(FILE_TYPES, (IMAGE_SUFFIXES, AUDIO_SUFFIXES, VIDEO_SUFFIXES), strict=True))
MAX_NAMED = 6  # kinds of files in a message


def detect_file_type(path: bytes) -> FileType | None:
    """Return the type of a file by its suffix, in any case.

    Args:
        path: path or name of the file, in the system's bytes.

    Returns:
        `image`, `audio` or `video`; None where the suffix is none of theirs.
    """
    suffix = os.path.splitext(os.fsdecode(path))[1].lower()
    return next((file_type for file_type, suffixes in SUFFIXES.items() if suffix in suffixes), None)


def format_passed_over(counts: Counter[str]) -> str:
    """Format counts of files that were passed over, the most frequent kind first.

    Args:
        counts: number of files by suffix.

    Returns:
        A phrase such as `passed over 3 files: 2 .txt, 1 .xyz`, which names at most six kinds; empty without files.
    """
    if not counts:
        return ""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    phrases = [f"{count} {suffix or 'without a suffix'}" for suffix, count in ranked[:MAX_NAMED]]
    if rest := sum(count for _, count in ranked[MAX_NAMED:]):
        phrases.append(f"{rest} of other kinds")
    total = sum(counts.values())
    return f"passed over {total} {'file' if total == 1 else 'files'}: {', '.join(phrases)}"


def count_passed_over(files: Iterable[Path], suffixes: Collection[str]) -> Counter[str]:
    """Count the files that are passed over because their suffix, in any case, is none of those looked for.

    Args:
        files: paths of files, and of folders, which are ignored.
        suffixes: the suffixes looked for, in lower case.

    Returns:
        Number of files by suffix in lower case; `""` counts those without a suffix.
    """
    return Counter(path.suffix.lower() for path in files if path.suffix.lower() not in suffixes and path.is_file())


def no_videos_error(folder: Path, passed_over: Counter[str]) -> DataError:
    """Make the error of a folder without videos.

    Args:
        folder: the folder.
        passed_over: number of its other files by suffix.

    Returns:
        The error, to be raised.
    """
    note = format_passed_over(passed_over)
    kinds = ", ".join(VIDEO_SUFFIXES[:4])
    return DataError(
        f"{folder}: found no videos ({kinds}...){f', {note}' if note else ''}; expected some. Check the path."
    )


EXPECTED_AUDIO = "a sound file (wav, flac, ogg, mp3, m4a...) or a video with sound"
AUDIO_REMEDY = "Play it to see whether it is whole, and save it again as WAV or FLAC"


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


def check_inside(name: str, root: Path) -> None:
    """Check that a name of somebody's list stays below the root of its data set.

    Args:
        name: path relative to the root.
        root: folder of the data set, for the message.

    Raises:
        DataError: the name is absolute, has `..` between its folders, or a null character.
    """
    is_absolute = os.path.isabs(name) or os.path.splitdrive(name)[0]
    if is_absolute or ".." in name.replace("\\", "/").split("/") or "\0" in name:
        raise DataError(
            f"{root}: found the name {name!r} in a list or in annotations, which leads out of this folder, expected "
            "one below it. Nothing was opened: correct the name, or fetch the authors' own list"
        )


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

        Raises:
            DataError: the path leads out of the root.
        """
        if folder not in self._folders:
            check_inside(folder, self.root)
            path = self.root / folder
            stems: dict[str, list[str]] = {}
            for name in sorted(os.listdir(path)) if path.is_dir() else ():
                stems.setdefault(name.rpartition(".")[0] or name, []).append(name)
            self._folders[folder] = stems
        return self._folders[folder]

    def __contains__(self, file: str) -> bool:
        folder, _, name = file.rpartition("/")
        return name in self.files_by_stem(folder).get(name.rpartition(".")[0] or name, ())
