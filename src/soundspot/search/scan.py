"""Files to index below the root folder of an index; links that lead out of it are not followed."""

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from soundspot.data.media.file_types import detect_file_type, iter_files
from soundspot.errors import DataError, InputError
from soundspot.search.result import IndexingSummary, escape_unprintable
from soundspot.search.store import FileRecord

AnyPath = str | os.PathLike[str]
Paths = AnyPath | Iterable[AnyPath]


def relative_path(path: AnyPath, root: Path) -> bytes:
    """Return a path relative to the root folder; links are not followed.

    Args:
        path: path of a file or folder, which need not exist.
        root: absolute path of the root folder.

    Returns:
        The relative path in the system's bytes; empty for the root itself.

    Raises:
        InputError: the path lies outside the root.
    """
    absolute = Path(os.path.abspath(path))
    if not absolute.is_relative_to(root):
        raise InputError(
            f"{escape_unprintable(absolute)}: found a path outside the folder {root} of this index, expected one below "
            "it. Copy the file there, or make another index: `soundspot search index FOLDER --index NAME`",
            "outside",
        )
    return b"" if absolute == root else os.fsencode(os.path.relpath(absolute, root))


def scan_files(paths: Paths, root: Path, summary: IndexingSummary) -> list[FileRecord]:
    """List the image, audio and video files among some files and below some folders, sorted by path.

    Args:
        paths: a path or several paths, of files and folders below the root.
        root: folder of the index's files.
        summary: summary whose `skipped` is increased by the files of other types.

    Returns:
        One record per file; those that must not be opened (broken links, links out of the root, pipes) have a `cause`.

    Raises:
        InputError: a path lies outside the root, does not exist, or is a file of another type.
    """
    real_root = Path(os.path.realpath(root))
    candidates: list[Path] = []
    for path in map(Path, map(os.path.abspath, _as_list(paths))):
        relative_path(path, root)
        if not os.path.lexists(path):
            raise InputError(f"{escape_unprintable(path)}: found no such file or folder. Check the path", "missing")
        if not path.is_dir() and detect_file_type(os.fsencode(path)) is None:
            raise InputError(
                f"{escape_unprintable(path)}: found a file that is no image, audio or video by its suffix, expected "
                "one such as .jpg, .wav or .mp4. Rename it"
            )
        candidates += iter_files(path) if path.is_dir() else [path]
    records: dict[bytes, FileRecord] = {}
    for path in candidates:
        name = os.fsencode(os.path.relpath(path, root))
        if name in records or path.is_dir():
            continue
        if file_type := detect_file_type(name):
            records[name] = _inspect(path, FileRecord(name, file_type), real_root)
        else:
            summary.skipped[path.suffix.lower()] += 1
    return [records[name] for name in sorted(records)]


def _inspect(path: Path, record: FileRecord, real_root: Path) -> FileRecord:
    """Return the record with the size and time of its file, or with the cause why it must not be opened."""
    name = escape_unprintable(path)
    try:
        status = path.stat()
    except OSError:  # gone meanwhile, or a broken link
        return record.with_failure("missing", f"{name}: leads to no file. Mend the link")
    if not stat.S_ISREG(status.st_mode):
        return record.with_failure("no file", f"{name}: is no regular file. Leave it out")
    if not Path(os.path.realpath(path)).is_relative_to(real_root):
        remedy = "Copy the file there, or index the folder in which it lies"
        return record.with_failure("outside", f"{name}: is a link out of the folder {real_root}. {remedy}")
    return FileRecord(record.path, record.file_type, status.st_size, status.st_mtime_ns)


def select_files(indexed: Iterable[bytes], paths: Paths, root: Path) -> list[bytes]:
    """Select the indexed files that some paths name, or that lie below folders they name.

    Args:
        indexed: paths of the index's files relative to the root, in the system's bytes.
        paths: a path or several paths, of files and folders.
        root: folder of the index's files.

    Returns:
        The selected relative paths, each once, sorted.

    Raises:
        InputError: a path lies outside the root, or names no indexed file.
    """
    indexed, selected = list(indexed), set[bytes]()
    for path in _as_list(paths):
        name = relative_path(path, root)
        named = {file for file in indexed if not name or file == name or file.startswith(name + b"/")}
        if not named:
            raise InputError(
                f"{escape_unprintable(str(path))}: is not in the index of {root}. Check the path", "missing"
            )
        selected |= named
    return sorted(selected)


def is_deleted(path: Path) -> bool:
    """Return True if a file certainly no longer exists; False where a disk or a permission hides it.

    Args:
        path: path of an indexed file.

    Returns:
        True also where a folder stands in its place.
    """
    try:
        os.lstat(path)
    except OSError as error:
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    return os.path.isdir(path)


def check_present(root: Path, num_indexed: int) -> None:
    """Check that the root folder of an index is there: a disk that is not connected must not empty the index.

    Args:
        root: folder of the index's files.
        num_indexed: number of files in the index.

    Raises:
        DataError: the folder is gone, or holds nothing to index although files are indexed.
    """
    if not root.is_dir():
        raise DataError(
            f"{escape_unprintable(root)}: found no such folder, expected that of the {num_indexed} files of this "
            "index; none was removed from it. Connect its disk, or, where the folder was moved, say so: `soundspot "
            "search index FOLDER --relocate`"
        )
    if num_indexed and not any(detect_file_type(os.fsencode(path)) for path in iter_files(root)):
        raise DataError(
            f"{escape_unprintable(root)}: found nothing to index, expected some of the {num_indexed} files of this "
            "index; none was removed from it. Connect its disk, or, where all were deleted, say so: `soundspot search "
            f"remove {escape_unprintable(root)}`"
        )


def check_root(root: Path, indexed: Sequence[bytes]) -> None:
    """Check that a folder can be the new place of the indexed files.

    Args:
        root: the folder.
        indexed: paths of the index's files relative to the root, in the system's bytes.

    Raises:
        DataError: the path is no folder, or the folder holds none of the indexed files.
    """
    if not root.is_dir():
        raise DataError(
            f"{escape_unprintable(root)}: found no such folder, expected the one of your files. Check the path"
        )
    if indexed and all(is_deleted(root / os.fsdecode(path)) for path in indexed):
        raise DataError(
            f"{escape_unprintable(root)}: found none of the {len(indexed)} files of this index, expected the folder in "
            "which they lie now. Check the path, or make another index: `soundspot search index FOLDER --index NAME`"
        )


def _as_list(paths: Paths) -> list[AnyPath]:
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)
