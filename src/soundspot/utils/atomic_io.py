"""Write results to disk: refused where something is in the way, complete or not there at all."""

import errno
import itertools
import json
import math
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any

from soundspot.errors import OutputError, SoundspotError
from soundspot.utils.safe_read import read_json_object

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Numbers of the errors of a full disk or quota."""


class DiskFullError(OutputError):
    """No room is left where a result should be written."""


def check_output(path: Path, overwrite: bool = False, suffixes: tuple[str, ...] = ()) -> None:
    """Check that a result can be written to a path; to be called before the work that computes the result.

    Args:
        path: path of a file, or of a folder to be made; its parent must exist.
        overwrite: whether an existing file or folder may be replaced.
        suffixes: allowed suffixes of a file, such as (".png", ".npz"), in any case; empty: any, and a folder may be
            meant.

    Raises:
        OutputError: another suffix, no parent folder, a folder where a file is meant, or the path exists already.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise OutputError(
            f"{path}: cannot write {path.suffix or 'a file without a suffix'}; use {', '.join(suffixes)}."
        )
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist. Make it, or write elsewhere.")
    if suffixes and path.is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file in it.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already. Pass --overwrite to replace it, or give another name.")


def next_free_path(path: Path) -> Path:
    """Return a path at which nothing exists yet.

    Args:
        path: the desired path.

    Returns:
        `path`, or where it exists the first of NAME-2, NAME-3... that does not; the number follows the suffix.
    """
    numbered = (path.with_name(f"{path.name}-{n}") for n in itertools.count(2))
    return path if not path.exists() else next(other for other in numbered if not other.exists())


@contextmanager
def convert_os_errors(path: Path) -> Iterator[None]:
    """Convert each OSError of the block, which writes to `path`, to an error with a remedy.

    Args:
        path: path that the block writes to, for the message.

    Raises:
        OutputError: the path cannot be written.
        DiskFullError: the disk or the quota is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise OutputError(
                f"{path}: could not be written ({error.strerror or error}). Check that the folder may be written to "
                "and its disk is connected, then give the same command again"
            ) from error
        folder = next(folder for folder in path.absolute().parents if folder.is_dir())
        free = format_bytes(shutil.disk_usage(folder).free)
        raise DiskFullError(
            f"{path}: could not be written ({error.strerror}): {free} are left on the disk of {folder}. Complete files "
            "stay: make room there and give the same command again, and it continues from them"
        ) from error


@contextmanager
def convert_full_disk(path: Path) -> Iterator[None]:
    """Convert an OSError of the block, or of a thread that it starts, to an error with a remedy if the disk is full.

    Other errors pass. Python prints the traceback of a thread's error; of a full disk there is none.

    Args:
        path: path that the block writes to, for the message.

    Raises:
        DiskFullError: the disk or the quota is full.
    """
    others, print_error, failures = {*threading.enumerate()}, threading.excepthook, list[OSError]()

    def on_thread_error(arguments: threading.ExceptHookArgs) -> None:
        if isinstance(arguments.exc_value, OSError) and arguments.exc_value.errno in DISK_FULL:
            failures.append(arguments.exc_value)
        else:
            print_error(arguments)

    threading.excepthook = on_thread_error
    try:
        yield
        if failures:
            raise failures[0]
    except (OSError, DiskFullError) as error:
        if isinstance(error, OSError) and error.errno not in DISK_FULL:
            raise
        for thread in {*threading.enumerate()} - others:
            thread.join(timeout=1.0)  # it may be about to end of the same full disk
        if isinstance(error, DiskFullError):
            raise
        with convert_os_errors(path):
            raise
    finally:
        threading.excepthook = print_error


def temporary_path(name: str) -> Path:
    """Return a path in the folder of temporary files, for messages about them.

    Args:
        name: name of the file or folder.

    Returns:
        The path; where no such folder can be written to, in the working folder.
    """
    try:
        return Path(tempfile.gettempdir()) / name
    except OSError:
        return Path(name)


def format_bytes(num_bytes: float | int) -> str:
    """Format a number of bytes with three significant digits and a decimal unit: `12 kB`, `3.4 GB`.

    Args:
        num_bytes: number of bytes.

    Returns:
        Number and unit: bytes, kB, MB, GB or TB, each 1000 times the previous unit.
    """
    step = min(4, max(0, math.floor(math.log(max(num_bytes, 1), 1000))))
    return f"{num_bytes / 1000**step:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[step]}"


def write_all(file: FileIO, content: bytes | bytearray | memoryview) -> None:
    """Write all bytes of `content` to a file; nothing stays in a buffer.

    Args:
        file: unbuffered file, open for writing.
        content: bytes to write at its position.

    Raises:
        OSError: the bytes cannot be written.
    """
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """Write a file that appears completely or not at all.

    The bytes go to NAME.part first, which then replaces `path`; after an error it is deleted.

    Args:
        path: path of the file; an existing file is replaced.
        content: bytes of the file.

    Raises:
        OutputError: the file cannot be written (DiskFullError: no space is left).
    """
    draft = path.with_name(f"{path.name}.part")
    with convert_os_errors(path):
        try:
            with FileIO(draft, "wb") as file:
                write_all(file, content)
            os.replace(draft, path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise


@contextmanager
def lock_folder(folder: Path, wait: bool = False) -> Iterator[None]:
    """Lock a folder against other processes during the block; without effect on systems without such locks.

    Args:
        folder: an existing folder.
        wait: whether another process that holds the lock is waited for.

    Raises:
        OutputError: another process holds the lock, and it is not waited for.
    """
    descriptor = None if fcntl is None else os.open(folder, os.O_RDONLY)
    try:
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):  # else: a file system without locks
            assert descriptor is not None
            os.close(descriptor)
            raise OutputError(f"{folder}: another run writes here now. Wait for its end, or write elsewhere") from error
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path whose file replaces `path` at the end: readers see the old file or the new file.

    After an error in the block `path` is unchanged, and the temporary file is deleted.

    Args:
        path: path of the file; an existing file is replaced.

    Yields:
        Path of the same name in a temporary folder beside it; the block must write a file there.

    Raises:
        OutputError: the file cannot be written (DiskFullError: no space is left).
    """
    with convert_os_errors(path), _draft_folder(path) as folder:
        draft = folder / path.name
        yield draft
        os.replace(draft, path)


@contextmanager
def atomic_write_folder(path: Path, overwrite: bool = False, marker_file: str = "") -> Iterator[Path]:
    """Yield an empty temporary folder, which replaces `path` at the end of the block.

    After an error in the block `path` is unchanged, and the temporary folder is deleted.

    Args:
        path: path of the folder of results.
        overwrite: whether an existing folder may be replaced.
        marker_file: name of a file that every folder of this kind holds: a non-empty folder without it is not replaced;
            empty: any is.

    Yields:
        Path of the temporary folder, beside `path`.

    Raises:
        OutputError: `path` exists and `overwrite` is False, it holds something else, or its parent does not exist.
    """
    check_output_folder(path, overwrite, marker_file)
    with convert_os_errors(path), _draft_folder(path) as folder:
        draft = folder / "new"
        draft.mkdir()
        yield draft
        _replace_folder(draft, path)


@contextmanager
def resumable_folder(
    path: Path, settings: dict[str, Any], overwrite: bool = False, marker_file: str = ""
) -> Iterator[Path]:
    """Yield a folder for results that take hours: its files survive the process, and the next run continues with them.

    It is `.NAME.part/new` beside the result, and replaces `path` at the end of the block; other files of `.NAME.part`
    are scratch files of the work, deleted then. After an error all of them stay.

    Args:
        path: path of the folder of results.
        settings: all that the result depends on, as JSON can hold it; only a run with equal settings continues.
        overwrite: whether an existing result, and a draft begun with other settings, may be replaced.
        marker_file: name of a file that every folder of this kind holds: a non-empty folder without it is not replaced.

    Yields:
        Path of the folder, locked against other processes.

    Raises:
        OutputError: `path` may not be replaced, the draft was begun with other settings, or another process works in
            it.
        DiskFullError: no space is left.
    """
    check_output_folder(path, overwrite, marker_file)
    partial = path.absolute().with_name(f".{path.name}.part")
    file = partial / "plan.json"
    try:
        previous = read_json_object(file, "")
    except SoundspotError:
        previous = None
    if partial.exists() and previous != settings:
        if previous is not None and not overwrite:
            changes = ", ".join(
                f"{key} {previous.get(key)!r}, now {value!r}"
                for key, value in settings.items()
                if previous.get(key) != value
            )
            raise OutputError(
                f"{partial}: holds what was begun with other options ({changes}). Give the same options as then to "
                "continue it, --overwrite to delete it, or another output."
            )
        shutil.rmtree(partial)
    with convert_os_errors(path):
        (partial / "new").mkdir(parents=True, exist_ok=True)
    if previous != settings:
        with atomic_write(file) as draft:
            draft.write_text(json.dumps(settings), encoding="utf-8")
    with convert_full_disk(path), lock_folder(partial):
        yield partial / "new"
        _replace_folder(partial / "new", path)
    shutil.rmtree(partial)


@contextmanager
def _draft_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`, locked in the block; those of killed runs are removed first."""
    parent = path.absolute().parent
    for draft in _list_drafts(parent).pop(path.name, ()):
        _remove_if_abandoned(draft)
    with ExitStack() as stack:
        is_locked = False
        while not is_locked:  # another process may take it for abandoned until it is locked, and remove it
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f".{path.name}.draft-", dir=parent)))
            with suppress(FileNotFoundError):
                stack.enter_context(lock_folder(folder, True))
                is_locked = folder.exists()
        yield folder


@cache
def _list_drafts(parent: Path) -> dict[str, list[Path]]:
    """List the drafts in a folder by the name of their file; once, as many files may be written into a large folder."""
    drafts: dict[str, list[Path]] = {}
    for draft in parent.glob(".*.draft-????????"):
        drafts.setdefault(draft.name[1 : -len(".draft-????????")], []).append(draft)
    return drafts


def remove_drafts(folder: Path) -> None:
    """Remove the drafts that killed runs left in a folder, of whatever results; those in use stay.

    Args:
        folder: an existing folder.
    """
    for draft in folder.glob(".*.draft-????????"):
        _remove_if_abandoned(draft)


def _remove_if_abandoned(draft: Path) -> None:
    """Remove a draft whose lock no process holds; not where that cannot be known."""
    if fcntl is None:
        return
    with suppress(OSError):
        descriptor = os.open(draft, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(draft, ignore_errors=True)
        finally:
            os.close(descriptor)


def check_output_folder(path: Path, overwrite: bool, marker_file: str) -> None:
    """Check that a folder of results can be written.

    Args:
        path: path of the folder; its parent must exist.
        overwrite: whether an existing folder may be replaced.
        marker_file: name of a file that every folder of this kind holds: a non-empty folder without it is not replaced;
            empty: any is.

    Raises:
        OutputError: the folder exists and `overwrite` is False, it holds something else, or its parent does not exist.
    """
    check_output(path, overwrite)
    if marker_file and path.is_dir() and any(path.iterdir()) and not (path / marker_file).exists():
        raise OutputError(
            f"{path}: holds something else (there is no {marker_file} in it), so it is not replaced. Write elsewhere."
        )


def _replace_folder(draft: Path, path: Path) -> None:
    if path.exists():
        os.replace(path, draft.with_name("old"))
    os.replace(draft, path)
