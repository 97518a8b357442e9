"""What every reader asks of a file before it opens it."""

import os
from pathlib import Path

from whence.errors import InputError


def refuse_unreadable(path: Path, expected: str) -> None:
    """Raise InputError where `path` is missing, a folder, empty, or may not be read; `expected` ends the sentence."""
    if not path.exists():
        found, remedy = "no such file", "Check the path"
    elif path.is_dir():
        found, remedy = "a folder", "Name a file in it"
    elif not os.access(path, os.R_OK):
        found, remedy = "a file that may not be read", "Change its permissions"
    elif path.stat().st_size == 0:
        found, remedy = "an empty file (0 bytes)", "Fetch or write it again"
    else:
        return
    raise InputError(f"{path}: found {found}, expected {expected}. {remedy}.")
