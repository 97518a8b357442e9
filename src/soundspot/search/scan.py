"""Which files there are to index: below one folder, and nothing that only a link leads to from there."""

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundspot.data.shards.from_videos import iter_files
from soundspot.errors import DataError, InputError
from soundspot.search.file_reader import detect_file_type
from soundspot.search.result import IndexingSummary, escape_unprintable


@dataclass(frozen=True)
class ScannedFile:
    """A file as the folder shows it: path below the root, size in bytes, and when it was changed, in nanoseconds.

    Attributes:
        cause, told: why it is not to be opened.
    """

    path: bytes
    size: int = 0
    mtime_ns: int = -1
    cause: str = ""
    message: str = ""


def relative_path(path: str | os.PathLike[str], root: Path) -> bytes:
    """A path below the root, in the system's bytes.

    Raises:
        InputError: it lies elsewhere.
    """
    whole = os.path.abspath(path)
    if not Path(whole).is_relative_to(root) or Path(whole) == root:
        raise InputError(
            f"{escape_unprintable(whole)}: found a path outside the folder {root} that this index is of, expected one below it. "
            "Copy the file there, or make another index: `soundspot search index FOLDER --index NAME`",
            "outside",
        )
    return os.fsencode(os.path.relpath(whole, root))


def scan_files(paths: Iterable[str | os.PathLike[str]], root: Path, outcome: IndexingSummary) -> list[ScannedFile]:
    """The pictures, sounds and videos among some files and below some folders, each once, in order.

    Links that lead out of the root and what is no file are told as such; other kinds of files are counted as passed.

    Raises:
        InputError: a path lies outside the root, is not there, or is no picture, sound or video by its name.
    """
    real = os.path.realpath(root)
    found: dict[bytes, ScannedFile] = {}
    for path in paths:
        whole = Path(os.path.abspath(path))
        if whole != root:
            relative_path(whole, root)
        if not os.path.lexists(whole):
            raise InputError(f"{escape_unprintable(whole)}: found no such file or folder. Check the path", "missing")
        if whole.is_dir():
            for one in iter_files(whole):
                _look(one, root, real, found, outcome)
        elif detect_file_type(os.fsencode(whole)) is None:
            raise InputError(
                f"{escape_unprintable(whole)}: found a file that is no picture, sound or video by its name, expected one such "
                "as .jpg, .wav or .mp4. Rename it"
            )
        else:
            _look(whole, root, real, found, outcome)
    return sorted(found.values(), key=lambda one: one.path)


def select_indexed(known: Iterable[bytes], paths: Iterable[str | os.PathLike[str]], root: Path) -> list[bytes]:
    """Which of the known files, below the root, are named by some paths or lie below folders that are.

    Raises:
        InputError: a path lies outside the root, or names none.
    """
    known = sorted(known)
    gone: set[bytes] = set()
    for path in paths:
        name = b"" if Path(os.path.abspath(path)) == root else relative_path(path, root)
        mine = {one for one in known if not name or one == name or one.startswith(name + b"/")}
        if not mine:
            raise InputError(
                f"{escape_unprintable(str(path))}: is not in the index of {root}. Check the path", "missing"
            )
        gone |= mine
    return sorted(gone)


def is_deleted(path: Path) -> bool:
    """Whether no file lies there any more: not where a disk or a permission keeps us from seeing it."""
    try:
        os.lstat(path)
    except OSError as error:
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    return os.path.isdir(path)


def check_files_present(root: Path, known: int) -> None:
    """Raise DataError where a folder is not there, or nothing to index lies in it, but `known` files did: a disk that
    is not connected is not a folder whose files were deleted."""
    if not root.is_dir():
        raise DataError(
            f"{escape_unprintable(root)}: found no such folder, expected that of the {known} files of this index; none was "
            "forgotten. Connect its disk, or, where it was moved, say so: `soundspot search index FOLDER --moved`"
        )
    if known and not any(detect_file_type(os.fsencode(one)) for one in iter_files(root)):
        raise DataError(
            f"{escape_unprintable(root)}: found nothing to index, expected some of the {known} files of this index; none was "
            f"forgotten. Connect its disk, or, where all were deleted, say so: `soundspot search remove {escape_unprintable(root)}`"
        )


def check_new_root(root: Path, known: Sequence[bytes]) -> None:
    """Raise DataError where a folder cannot be the one in which the known files lay."""
    if not root.is_dir():
        raise DataError(
            f"{escape_unprintable(root)}: found no such folder, expected the one of your files. Check the path"
        )
    if known and all(is_deleted(root / os.fsdecode(one)) for one in known):
        raise DataError(
            f"{escape_unprintable(root)}: found none of the {len(known)} files of this index, expected the folder in which they "
            "lie now. Check the path, or make another index: `soundspot search index FOLDER --index NAME`"
        )


def _look(path: Path, root: Path, real: str, found: dict[bytes, ScannedFile], outcome: IndexingSummary) -> None:
    name = os.fsencode(os.path.relpath(path, root))
    if name in found:
        return
    try:
        told = path.stat()
    except OSError:
        told = None  # gone meanwhile, or a link to nothing
    if told and stat.S_ISDIR(told.st_mode):
        return
    if detect_file_type(name) is None:
        outcome.skipped += 1
    elif told is None:
        found[name] = ScannedFile(
            name, cause="missing", message=f"{escape_unprintable(path)}: leads to no file. Mend the link"
        )
    elif not stat.S_ISREG(told.st_mode):
        found[name] = ScannedFile(
            name, cause="no file", message=f"{escape_unprintable(path)}: is no plain file. Leave it out"
        )
    elif not Path(os.path.realpath(path)).is_relative_to(real):
        advice = "Copy the file there, or index the folder in which it lies"
        words = f"{escape_unprintable(path)}: is a link out of the folder {root}. {advice}"
        found[name] = ScannedFile(name, cause="outside", message=words)
    else:
        found[name] = ScannedFile(name, told.st_size, told.st_mtime_ns)
